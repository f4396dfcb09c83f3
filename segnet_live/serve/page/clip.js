// The answer to a clip: lines of JSON about progress, and after the one with "bytes" the annotated mp4.

const joined = (a, b) => {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
};

/** Read such an answer and return [last line, mp4]; `progress` gets frames done and expected. */
export async function openClip(answer, progress) {
  const reader = answer.body.getReader();
  let text = new Uint8Array(0);
  let last = null;
  const parts = [];
  let received = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (last) {
      parts.push(value);
      received += value.length;
      continue;
    }
    text = joined(text, value);
    for (let end = text.indexOf(10); end >= 0 && !last; end = text.indexOf(10)) {
      const line = JSON.parse(new TextDecoder().decode(text.subarray(0, end)));
      text = text.slice(end + 1);
      if (line.error) throw new Error(line.error);
      if (line.bytes) {
        last = line;
        parts.push(text);
        received += text.length;
      } else progress(line.frames, line.of);
    }
  }
  if (!last || received !== last.bytes) throw new Error("the answer broke off; try again");
  return [last, new Blob(parts, { type: "video/mp4" })];
}
