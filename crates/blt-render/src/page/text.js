// What a patch holds, in words. All of it reaches the page as text, never as markup.

const INVISIBLE = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}\ufffe\uffff]/gu;

// A text whose line ends and invisible characters are written out.
function visible(text) {
  return text.replace(INVISIBLE, (character) => {
    if (character === "\n") return "⏎\n";
    if (character === "\t") return "⇥\t";
    return `\\u{${character.codePointAt(0).toString(16)}}`;
  });
}

// Bytes as text, line ends and what cannot be seen written out; in hex when they are no text.
function written(bytes) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { isText: false, text: Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ") };
  }
  return { isText: true, text: visible(text) };
}

const bytesOf = (i) => columns.bytes.subarray(byteStarts[i], byteStarts[i + 1]);
const textOf = (i) => written(bytesOf(i)).text;

// Whether patch j of the page follows patch i in its document.
const follows = (i, j) =>
  j < n && i >= 0 && columns.document[i] === columns.document[j] && columns.patchIdx[i] + 1 === columns.patchIdx[j];

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// The patch between its neighbours, as far as the page has them.
function passage(i) {
  const NEIGHBOURS = 16;
  let [first, last] = [i, i];
  while (i - first < NEIGHBOURS && follows(first - 1, first)) first--;
  while (last - i < NEIGHBOURS && follows(last, last + 1)) last++;
  const side = (from, to) => {
    let text = "";
    for (let j = from; j < to; j++) {
      const { isText, text: part } = written(bytesOf(j));
      text += isText ? part : `‹${part}›`;
    }
    return element("span", "context", text);
  };
  const shown = element("p", "text");
  const mark = element("mark", "", textOf(i) || "(empty)");
  shown.append(side(first, i), mark, side(i + 1, last + 1));
  return shown;
}

const digits = (value, places) => (Number.isFinite(value) ? value.toFixed(places) : "none");

function facts(i) {
  const degrees = (angle) => `${((angle * 180) / Math.PI).toFixed(1)}°`;
  const [start, length] = [columns.offset[i], columns.nBytes[i]];
  const place = start === UNKNOWN ? `${length}` : `${start} to ${start + length} (${length})`;
  const rows = [
    ["document", visible(data.documents[columns.document[i]])],
    ["patch", `${columns.patchIdx[i]} of its document, ${columns.id[i]} of the sphere`],
    ["bytes", columns.bytes ? place : "not in the sphere's file"],
    ["zone", data.zoneNames[columns.zone[i]]],
    ["radius", `${digits(columns.radius[i], 2)}, shell ${columns.shell[i]}`],
    ["direction", `${degrees(columns.theta[i])} from the north pole, ${degrees(columns.phi[i])} around it`],
    ["prominence", digits(columns.prominence[i], 3)],
  ];
  if (columns.entropy) rows.push(["entropy", `${digits(columns.entropy[i], 3)} nats`]);
  if (columns.share) rows.push(["share", `${columns.share[i].toExponential(2)} of the volume`]);
  return rows;
}

const card = document.getElementById("patch");

// Shows patch i; with -1, what to do to see one.
function describe(i) {
  if (i < 0) {
    card.replaceChildren(element("p", "note", n > 0 ? "Point at a patch to read it." : "There are no patches to draw."));
    return;
  }
  const list = element("dl");
  for (const [name, value] of facts(i)) list.append(element("dt", "", name), element("dd", "", value));
  const parts = columns.bytes ? [passage(i), list] : [list];
  if (columns.bytes) {
    if (columns.nBytes[i] > data.maxPatchBytes) parts.push(element("p", "note", `Shown are its first ${data.maxPatchBytes} bytes.`));
    if (!written(bytesOf(i)).isText) parts.push(element("p", "note", "Its bytes are no UTF-8 text: they are shown in hex."));
  }
  card.replaceChildren(...parts);
  const mark = card.querySelector("mark");
  if (mark) mark.parentElement.scrollTop = mark.offsetTop - mark.parentElement.clientHeight / 2;
}
