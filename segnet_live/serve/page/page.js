// The parts of the page, and what they share.
import { begin as beginTrying } from "./try.js";
import { begin as beginWatching, show as showLive } from "./live.js";

export const $ = (id) => document.getElementById(id);
export const percent = (share) => (share > 0 && share < 0.001 ? "<0.1 %" : `${(share * 100).toFixed(1)} %`);

/** One entry of a legend; `toggle` makes it a button that hides the class. */
export function entry(name, colour, share, toggle) {
  const item = document.createElement("li");
  const row = document.createElement(toggle ? "button" : "div");
  const [swatch, text, bar, figure] = ["span", "span", "span", "span"].map((tag) => document.createElement(tag));
  const fill = document.createElement("i");
  row.className = toggle ? "" : "entry";
  swatch.className = "swatch";
  swatch.style.background = colour;
  text.textContent = name;
  bar.className = "bar";
  fill.style.width = `${Math.max(share > 0 ? 1 : 0, share * 100)}%`;
  bar.append(fill);
  figure.className = "figures";
  figure.textContent = percent(share);
  row.append(swatch, text, bar, figure);
  if (toggle) {
    row.type = "button";
    row.setAttribute("aria-pressed", "true");
    row.title = "Show or hide its colour";
    row.addEventListener("click", () => {
      const shown = row.getAttribute("aria-pressed") !== "true";
      row.setAttribute("aria-pressed", String(shown));
      toggle(shown);
    });
  }
  item.append(row);
  return item;
}

const parts = ["try", "live", "api"];

function turnTo(name) {
  const part = parts.includes(name) ? name : "try";
  for (const each of parts) {
    $(`part-${each}`).hidden = each !== part;
    const link = document.querySelector(`nav a[href="#${each}"]`);
    if (each === part) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${$(`${part}-title`).textContent} - segnet-live`;
  scrollTo(0, 0);
  showLive(part === "live");
}

function fillApi(facts) {
  const at = location.origin;
  $("curl-json").textContent = `curl --data-binary @photo.jpg ${at}/segment`;
  $("curl-png").textContent = `curl --data-binary @photo.jpg -H "Accept: image/png" ${at}/segment -o labels.png`;
  $("curl-models").textContent = `curl ${at}/models`;
  $("curl-health").textContent = `curl ${at}/health`;
  const { picture_mib: mib, megapixels } = facts.limits;
  $("limit-413").textContent = `more than ${mib} MiB or ${megapixels} million pixels`;
  $("version").textContent = `segnet-live ${facts.version}`;
}

async function begin() {
  const answer = await fetch("/facts");
  const facts = await answer.json();
  if (!answer.ok) throw new Error(facts.error);
  beginTrying(facts);
  beginWatching(facts);
  fillApi(facts);
  addEventListener("hashchange", () => turnTo(location.hash.slice(1)));
  turnTo(location.hash.slice(1));
  document.documentElement.dataset.ready = "yes";
}

begin().catch((error) => {
  $("problem").hidden = false;
  $("problem").textContent = `The server does not answer as it should: ${error.message}`;
});
