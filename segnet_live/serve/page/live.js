// Watch live: pictures come as one endless answer, figures over a WebSocket; both name the same viewer.
import { $, entry } from "./page.js";
import { showPictures } from "./pictures.js";

const WORDS = { overlay: "Overlay", "side-by-side": "Side by side", labels: "Labels", original: "Original" };
let watching = null; // {id, socket, stop, timer, skipped}
let stopped = false;
let wait = 500;

export function begin(facts) {
  facts.sources.forEach(({ name }, number) => $("source").add(new Option(name, number)));
  for (const view of facts.views) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    const text = document.createElement("span");
    Object.assign(input, { type: "radio", name: "live-view", value: view, checked: view === "overlay" });
    text.textContent = WORDS[view] ?? view;
    label.append(input, text);
    $("live-views").append(label);
  }
  for (const id of ["source", "live-views"]) $(id).addEventListener("change", restart);
  $("hud-button").addEventListener("click", () => {
    const on = $("hud-button").getAttribute("aria-pressed") !== "true";
    $("hud-button").setAttribute("aria-pressed", String(on));
    $("hud").hidden = !on || !$("hud-text").textContent;
  });
  $("full").addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : $("screen").requestFullscreen()));
  $("stop").addEventListener("click", () => {
    stopped = !stopped;
    $("stop").textContent = stopped ? "Go on" : "Stop";
    if (stopped) leave("Stopped");
    else restart();
  });
}

/** Begin when the part of the page is shown, and end when it is not: nobody then watches. */
export function show(isShown) {
  if (isShown && !watching && !stopped) enter();
  if (!isShown && watching) leave("");
}

function restart() {
  leave("Opening ...");
  stopped = false;
  $("stop").textContent = "Stop";
  enter();
}

function enter() {
  const id = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const view = document.querySelector('input[name="live-view"]:checked').value;
  const number = $("source").value || 0;
  const query = new URLSearchParams({ viewer: id, view });
  const stop = new AbortController();
  $("live-picture").hidden = false;
  const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/live/${number}/figures?${query}`);
  watching = { id, socket, stop, timer: 0, skipped: 0 };
  const skipped = (count) => watching?.id === id && (watching.skipped += count);
  showPictures(`/live/${number}?${query}`, $("live-picture"), stop.signal, skipped).then(
    () => watching?.id === id && later(),
    (error) => watching?.id === id && later(error.name === "Error" ? error.message : ""),
  );
  socket.addEventListener("message", (event) => watching?.id === id && tell(JSON.parse(event.data)));
  socket.addEventListener("close", () => watching?.id === id && later());
}

function leave(word) {
  if (watching) {
    clearTimeout(watching.timer);
    watching.socket.close();
    watching.stop.abort();
  }
  watching = null;
  $("live-picture").hidden = true;
  $("hud").hidden = true;
  $("live-state").textContent = word;
  $("drops").textContent = "\u00a0";
}

/** Try again, after a longer and longer wait; `line` says what the server did. */
function later(line = "") {
  if (watching.timer) return;
  $("live-state").textContent = line || "The connection is lost; trying again ...";
  watching.timer = setTimeout(() => {
    wait = Math.min(15000, wait * 2);
    leave("The connection is lost; trying again ...");
    enter();
  }, wait);
}

function tell(told) {
  if (watching.timer) return; // there are figures, but no pictures
  wait = 500;
  const state = told.state ? told.state[0].toUpperCase() + told.state.slice(1) : "";
  if ($("live-state").textContent !== state) $("live-state").textContent = state;
  const people = told.viewers === 1 ? "you alone watch" : `${told.viewers} watch`;
  if ("shown" in told) $("drops").textContent = `${told.shown - watching.skipped} pictures shown to you, ${told.dropped + watching.skipped} dropped; ${people}`;
  $("recording").textContent = told.recording ? `Recording: ${told.recording}` : "";
  if (told.hud) {
    $("hud-text").textContent = told.hud.join("\n");
    $("hud").hidden = $("hud-button").getAttribute("aria-pressed") !== "true";
    curve(told.history);
  }
  if (told.classes) legend(told.classes);
}

function legend(classes) {
  const list = $("live-legend");
  if (list.children.length !== classes.length) list.replaceChildren(...classes.map(({ name, colour, share }) => entry(name, colour, share, null)));
  classes.forEach(({ name, colour, share }, i) => {
    const fresh = entry(name, colour, share, null).firstChild;
    list.children[i].firstChild.replaceChildren(...fresh.children);
  });
}

/** The latency of the last ten seconds, newest at the right. */
function curve(history) {
  const canvas = $("hud-curve");
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  const worst = Math.max(0, ...history.map(([, ms]) => ms));
  const top = [50, 100, 200, 500, 1000, 2000, 5000, 10000].find((step) => worst <= step) ?? 60000;
  context.fillStyle = "#ffffff55";
  context.fillRect(0, 0, width, 1);
  context.fillRect(0, height - 1, width, 1);
  context.font = "11px ui-monospace, monospace";
  context.fillStyle = "#ffffffaa";
  context.fillText(`${top} ms`, 2, 12);
  context.strokeStyle = "#f2c14e";
  context.lineWidth = 1.5;
  context.beginPath();
  history.forEach(([age, ms], i) => context[i ? "lineTo" : "moveTo"](width * (1 - age / 10), height - 1 - (height - 2) * Math.min(1, ms / top)));
  context.stroke();
}
