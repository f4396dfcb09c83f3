// Draw label and confidence maps over a picture, as the window does.

// cividis (Nuñez et al. 2018), reversed: bright where the network is unsure
const STOPS = ["fee838", "c3b369", "a59c74", "8a8678", "707173", "575d6d", "3b496c", "123570", "00224e"];

const rgb = (hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));

function ramp(value) {
  const at = (value / 255) * (STOPS.length - 1);
  const low = Math.min(STOPS.length - 2, Math.floor(at));
  const [a, b] = [rgb(STOPS[low]), rgb(STOPS[low + 1])];
  return a.map((from, i) => Math.round(from + (b[i] - from) * (at - low)));
}

/** A grey PNG in base64 as [blob, {width, height, values}]. */
export async function readMap(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const blob = new Blob([bytes], { type: "image/png" });
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const values = new Uint8Array(bitmap.width * bitmap.height);
  for (let i = 0; i < values.length; i++) values[i] = data[4 * i];
  return [blob, { width: bitmap.width, height: bitmap.height, values }];
}

function coloured(map, table) {
  const canvas = new OffscreenCanvas(map.width, map.height);
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(map.width, map.height);
  const whole = new Uint32Array(pixels.data.buffer);
  for (let i = 0; i < whole.length; i++) whole[i] = table[map.values[i]];
  context.putImageData(pixels, 0, 0);
  return canvas;
}

const pack = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0; // little-endian RGBA

function colours(item, view, hidden) {
  const table = new Uint32Array(256);
  if (view === "confidence") return table.map((_, value) => pack(ramp(value)));
  for (const { id, colour } of item.answer.classes) if (!hidden.has(id)) table[id] = pack(rgb(colour.slice(1)));
  return table;
}

/** Draw an item into a canvas: the picture left of the wiper, the view right of it; no side longer than `most`. */
export function draw(canvas, item, { view, wiper, opacity, hidden }, most) {
  const key = `${view} ${item.answer.model} ${[...hidden].sort()}`;
  if (item.drawn?.key !== key || item.drawn.answer !== item.answer)
    item.drawn = { key, answer: item.answer, layer: coloured(view === "confidence" ? item.confidence : item.labels, colours(item, view, hidden)) };
  const { width, height } = item.answer;
  const scale = Math.min(1, most / Math.max(width, height));
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext("2d");
  context.globalAlpha = 1;
  context.drawImage(item.bitmap, 0, 0, w, h);
  const edge = Math.round(wiper * w);
  context.save();
  context.beginPath();
  context.rect(edge, 0, w - edge, h);
  context.clip();
  if (view === "overlay") context.globalAlpha = opacity;
  else context.fillRect(edge, 0, w - edge, h);
  context.drawImage(item.drawn.layer, 0, 0, w, h);
  context.restore();
  const names = item.answer.classes.filter((each) => each.share >= 0.01).toSorted((a, b) => b.share - a.share);
  canvas.setAttribute("aria-label", `${view} of the picture: ${names.map((each) => `${each.name} ${Math.round(each.share * 100)} percent`).join(", ")}`);
}
