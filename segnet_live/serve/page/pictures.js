// Show an endless answer of JPEGs (multipart/x-mixed-replace) on a canvas, always the newest. An <img> would show it,
// too, but 35 ms later (README), and could not say why there is none.

const HEAD = /content-length: (\d+)\r\n\r\n/;
const latin = new TextDecoder("latin1");

/** Take whole pictures from the front of `bytes`: [the last one or null, how many came before it, the rest]. */
function newest(bytes) {
  let [picture, count, at] = [null, 0, 0];
  for (;;) {
    const found = HEAD.exec(latin.decode(bytes.subarray(at, at + 200)));
    if (!found) break;
    const begin = at + found.index + found[0].length;
    const end = begin + Number(found[1]);
    if (end > bytes.length) break;
    picture = bytes.subarray(begin, end);
    count += 1;
    at = end;
  }
  return [picture, Math.max(0, count - 1), bytes.slice(at)];
}

/** Show pictures from an address until they end or `signal` aborts; `skipped` is told how many came too quickly. */
export async function showPictures(address, canvas, signal, skipped) {
  const answer = await fetch(address, { signal });
  if (!answer.ok) throw new Error((await answer.json()).error);
  const context = canvas.getContext("2d", { alpha: false });
  context.clearRect(0, 0, canvas.width, canvas.height);
  const reader = answer.body.getReader();
  let [rest, drawing, waiting] = [new Uint8Array(0), false, null];
  const draw = async (picture) => {
    if (drawing) {
      skipped(waiting ? 1 : 0);
      waiting = picture;
      return;
    }
    drawing = true;
    for (let next = picture; next; [next, waiting] = [waiting, null]) {
      const bitmap = await createImageBitmap(new Blob([next], { type: "image/jpeg" }));
      const { width, height } = bitmap;
      if (signal.aborted) return;
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      context.drawImage(bitmap, 0, 0);
      bitmap.close();
    }
    drawing = false;
  };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const bytes = new Uint8Array(rest.length + value.length);
    bytes.set(rest);
    bytes.set(value, rest.length);
    const [picture, before, left] = newest(bytes);
    rest = left;
    skipped(before);
    if (picture) draw(picture).catch(() => ([drawing, waiting] = [false, null]));
  }
}
