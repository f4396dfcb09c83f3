// Try a picture: upload, draw the answer, save it. What was uploaded stays in this browser alone.
import { draw, readMap } from "./draw.js";
import { openClip } from "./clip.js";
import { $, entry } from "./page.js";

const KEPT = 24;
let facts;
let shown = null; // the item on the stage
let items = [];
let running = null; // what can be stopped
let waiting = Promise.resolve();

const view = () => document.querySelector('input[name="view"]:checked').value;
const state = () => ({ view: view(), wiper: $("wiper").value / 100, opacity: $("opacity").value / 100, hidden: shown.hidden });

export function begin(given) {
  facts = given;
  const { picture_mib: mib, clip_s: seconds, clip_mib: clip } = facts.limits;
  $("limits").textContent = `JPEG, PNG or WebP to ${mib} MiB; clips to ${seconds} s and ${clip} MiB. Nothing is kept.`;
  for (const name of facts.models) $("model").add(new Option(name));
  $("model-row").hidden = facts.models.length < 2;
  for (const address of facts.examples) addExample(address, "image/jpeg");
  addExample(facts.clip, "video/mp4");
  for (const id of ["choose", "another"]) $(id).addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    take([...$("file").files]);
    $("file").value = "";
  });
  addEventListener("paste", (event) => take([...event.clipboardData.files]));
  for (const type of ["dragover", "drop", "dragleave"]) addEventListener(type, dragged);
  for (const id of ["wiper", "opacity"]) $(id).addEventListener("input", redraw);
  $("views").addEventListener("change", redraw);
  $("model").addEventListener("change", () => (shown && !shown.isClip ? again(shown) : redraw()));
  $("redo").addEventListener("click", () => again(shown));
  $("busy-stop").addEventListener("click", () => running?.abort());
  $("save-picture").addEventListener("click", savePicture);
  $("save-labels").addEventListener("click", () => save(shown.labelsPng, `${shown.name}-labels.png`));
  $("save-clip").addEventListener("click", () => save(shown.clip, `${shown.name}-annotated.mp4`));
  wipeByHand();
}

function dragged(event) {
  event.preventDefault();
  $("drop").classList.toggle("over", event.type === "dragover");
  if (event.type === "drop" && location.hash !== "#live" && location.hash !== "#api") take([...event.dataTransfer.files]);
}

function complain(line) {
  $("problem").hidden = !line;
  $("problem").textContent = line;
}

function take(files) {
  complain("");
  for (const file of files.filter((each) => each.size)) {
    const isClip = file.type.startsWith("video/") || /\.(mkv|mov|avi|mp4|webm)$/i.test(file.name);
    const most = isClip ? facts.limits.clip_mib : facts.limits.picture_mib;
    if (file.size > most * 2 ** 20) complain(`${file.name}: ${(file.size / 2 ** 20).toFixed(1)} MiB; the most are ${most} MiB`);
    else waiting = waiting.then(() => carryOut(add(file, file.name, isClip)));
  }
}

/** A thumbnail for a file, and what becomes of it. */
function add(file, name, isClip, button = null) {
  const item = { file, name: name.replace(/\.[^.]*$/, "") || "picture", isClip, hidden: new Set(), button };
  if (!button) {
    item.button = thumbnail(URL.createObjectURL(file), isClip, name);
    item.button.addEventListener("click", () => (item.answer ? put(item) : (waiting = waiting.then(() => carryOut(item)))));
    items.push(item);
    if (items.length > KEPT) items.shift().button.remove();
  }
  return item;
}

function thumbnail(address, isClip, name) {
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-pressed", "false");
  button.setAttribute("aria-label", name);
  const image = document.createElement(isClip ? "video" : "img");
  image.src = address;
  if (isClip) image.muted = true;
  else image.alt = "";
  button.append(image);
  if (isClip) {
    const tag = document.createElement("span");
    tag.className = "tag";
    tag.textContent = "clip";
    button.append(tag);
  }
  $("strip").append(button);
  return button;
}

function addExample(address, type) {
  const isClip = type === "video/mp4";
  const name = isClip ? "Example clip" : `Example ${address.split("/").pop() * 1 + 1}`;
  const button = thumbnail(isClip ? facts.examples[0] : address, false, name);
  if (isClip) {
    const tag = document.createElement("span");
    tag.className = "tag";
    tag.textContent = "clip";
    button.append(tag);
  }
  let item = null;
  button.addEventListener("click", () => {
    complain("");
    if (item?.answer) return put(item);
    waiting = waiting.then(async () => {
      const blob = await (await fetch(address)).blob();
      item = add(blob, isClip ? "drive.mp4" : `example-${address.split("/").pop()}.jpg`, isClip, button);
      await carryOut(item);
    });
  });
}

function busy(text, share = null) {
  $("busy").hidden = !text;
  $("busy-text").textContent = text;
  if (share === null) $("busy-bar").removeAttribute("value");
  else $("busy-bar").value = share;
}

async function carryOut(item) {
  running = new AbortController();
  try {
    await (item.isClip ? annotate(item) : label(item));
    put(item);
  } catch (error) {
    if (!item.answer) item.button.setAttribute("aria-pressed", "false");
    complain(error.name === "AbortError" ? "Stopped." : `${item.name}: ${error.message}`);
  } finally {
    busy("");
    running = null;
  }
}

/** Ask anew about an item; what is known of it stays until the answer has come. */
function again(item) {
  complain("");
  waiting = waiting.then(() => carryOut(item));
}

async function refused(answer) {
  const line = await answer.json().then((told) => told.error).catch(() => answer.statusText);
  const wait = answer.headers.get("retry-after");
  return new Error(wait ? `${line} (in ${wait} s)` : line);
}

async function label(item) {
  busy("Labelling ...");
  const query = new URLSearchParams({ model: $("model").value, confidence: "1" });
  const began = performance.now();
  const answer = await fetch(`/segment?${query}`, { method: "POST", body: item.file, signal: running.signal });
  if (!answer.ok) throw await refused(answer);
  const told = await answer.json();
  item.there_ms = performance.now() - began;
  item.bitmap ??= await createImageBitmap(item.file, { imageOrientation: "from-image" });
  const [labelsPng, labels] = await readMap(told.labels);
  const [, confidence] = told.confidence_map ? await readMap(told.confidence_map) : [null, null];
  Object.assign(item, { answer: told, labelsPng, labels, confidence });
}

async function annotate(item) {
  busy("Sending the clip ...");
  const [model, opacity] = [$("model").value, $("opacity").value / 100];
  const query = new URLSearchParams({ model, opacity });
  const answer = await fetch(`/clip?${query}`, { method: "POST", body: item.file, signal: running.signal });
  if (!answer.ok) throw await refused(answer);
  const [told, clip] = await openClip(answer, (frames, of) => busy(`${frames} of ${of ?? "?"} frames`, of ? frames / of : null));
  if (item.clipAddress) URL.revokeObjectURL(item.clipAddress);
  Object.assign(item, { answer: told, clip, clipAddress: null, model, opacity });
}

/** Put an item that has its answer on the stage. */
function put(item) {
  shown = item;
  for (const button of $("strip").children) button.setAttribute("aria-pressed", String(button === item.button));
  $("invite").hidden = true;
  $("drop").classList.add("full");
  $("frame").hidden = $("saves").hidden = false;
  $("picture").hidden = item.isClip;
  $("save-picture").hidden = $("save-labels").hidden = item.isClip;
  $("save-clip").hidden = $("player").hidden = !item.isClip;
  $("redo").hidden = true;
  for (const input of document.querySelectorAll('input[name="view"]'))
    input.disabled = (item.isClip && input.value !== "overlay") || (input.value === "confidence" && !item.confidence);
  if (document.querySelector('input[name="view"]:checked').disabled) document.querySelector('input[name="view"]').checked = true;
  if (item.isClip) showClip(item);
  else for (const id of ["clip-original", "clip-annotated"]) $(id).hidden = true;
  tell(item);
  redraw();
}

function pictureRows(told, there_ms) {
  const { decode, label: ms } = told.ms;
  const rows = [
    ["Labelled in", `${ms.toFixed(0)} ms (decoded in ${decode.toFixed(0)}, here after ${there_ms.toFixed(0)})`],
    ["Model", `${told.model}, input ${told.input}`],
    ["Engine", told.engine],
    ["Picture", `${told.width} x ${told.height} pixels`],
  ];
  const { mean, unsure } = told.confidence ?? {};
  if (told.confidence) rows.push(["Confidence", `${mean.toFixed(2)} of 1, unsure of ${(unsure * 100).toFixed(1)} %`]);
  return rows;
}

function clipRows(told, { model, opacity }) {
  const rate = (told.frames / told.seconds).toFixed(1);
  return [
    ["Annotated", `${told.frames} frames in ${told.seconds.toFixed(1)} s, ${rate} frames/s`],
    ["Recorded", `by ${model}, opacity\u00a0${Math.round(opacity * 100)}\u00a0%`],
    ["Shares", "means of the whole clip"],
  ];
}

function tell(item) {
  const told = item.answer;
  const rows = item.isClip ? clipRows(told, item) : pictureRows(told, item.there_ms);
  $("said").replaceChildren(
    ...rows.flatMap(([name, value]) => {
      const [term, text] = [document.createElement("dt"), document.createElement("dd")];
      [term.textContent, text.textContent] = [name, value];
      return [term, text];
    }),
  );
  const classes = told.classes.toSorted((a, b) => b.share - a.share);
  $("legend").replaceChildren(
    ...classes.map(({ id, name, colour, share }) => {
      const row = entry(name, colour, share, item.isClip ? null : (on) => {
        item.hidden[on ? "delete" : "add"](id);
        redraw();
      });
      if (item.hidden.has(id)) row.firstChild.setAttribute("aria-pressed", "false");
      return row;
    }),
  );
}

function redraw() {
  for (const id of ["wiper", "opacity"]) $(`${id}-out`).textContent = `${$(id).value} %`;
  if (!shown) return;
  const now = state();
  $("edge").style.left = `${now.wiper * 100}%`;
  $("edge").hidden = now.wiper <= 0 || now.wiper >= 1;
  if (shown.isClip) {
    $("clip-annotated").style.clipPath = `inset(0 0 0 ${now.wiper * 100}%)`;
    // Over the original a recording can be made weaker at once; a stronger one has to be made, as has one to keep.
    const weaker = $("clip-original").hidden ? 1 : Math.min(1, now.opacity / Math.max(0.01, shown.opacity));
    $("clip-annotated").style.opacity = weaker;
    $("redo").textContent = `Annotate again at ${$("opacity").value} %`;
    $("redo").hidden = now.opacity === shown.opacity && $("model").value === shown.model;
  } else draw($("picture"), shown, now, 2048);
}

function wipeByHand() {
  const move = (event) => {
    const box = $("frame").getBoundingClientRect();
    $("wiper").value = (100 * (event.clientX - box.left)) / box.width;
    redraw();
  };
  $("frame").addEventListener("pointerdown", (event) => {
    $("frame").setPointerCapture(event.pointerId);
    move(event);
  });
  $("frame").addEventListener("pointermove", (event) => event.buttons && move(event));
}

function showClip(item) {
  const [original, annotated] = [$("clip-original"), $("clip-annotated")];
  original.hidden = annotated.hidden = false;
  original.src = item.originalAddress ??= URL.createObjectURL(item.file);
  annotated.src = item.clipAddress ??= URL.createObjectURL(item.clip);
  const follow = () => Math.abs(original.currentTime - annotated.currentTime) > 0.06 && (original.currentTime = annotated.currentTime);
  const label = () => {
    $("play").textContent = annotated.paused ? "Play" : "Pause";
    $("play").setAttribute("aria-label", $("play").textContent);
  };
  original.onerror = () => ((original.hidden = true), redraw()); // a format that this browser cannot play: the annotated one it can
  annotated.onplay = () => (original.play().catch(() => {}), label());
  annotated.onpause = () => (original.pause(), label());
  annotated.onseeked = follow;
  annotated.ontimeupdate = () => {
    follow();
    $("time").value = annotated.currentTime;
    $("clock").textContent = `${annotated.currentTime.toFixed(1)} of ${(annotated.duration || 0).toFixed(1)} s`;
  };
  annotated.onloadedmetadata = () => ($("time").max = annotated.duration);
  $("time").oninput = () => (annotated.currentTime = $("time").value);
  $("play").onclick = () => (annotated.paused ? annotated.play() : annotated.pause());
}

function savePicture() {
  const whole = document.createElement("canvas");
  draw(whole, shown, { ...state(), wiper: 0 }, Infinity);
  whole.toBlob((blob) => save(blob, `${shown.name}-${view()}.png`), "image/png");
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
