// The data of the page: what stands in its JSON, with the columns as typed arrays.

const data = JSON.parse(document.getElementById("data").textContent);
const ARRAYS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array };
const UNKNOWN = 0xffffffff;

function decoded({ type, data }) {
  const text = atob(data);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return new ARRAYS[type](bytes.buffer);
}

const columns = {};
for (const [name, column] of Object.entries(data.columns)) {
  columns[name] = decoded(column);
  column.data = ""; // the text is not needed any more
}
const n = data.drawn;

// Where each patch's bytes begin: of long patches the page has the beginning.
const byteStarts = new Uint32Array(n + 1);
for (let i = 0; i < n; i++) byteStarts[i + 1] = byteStarts[i] + Math.min(columns.nBytes[i], data.maxPatchBytes);

// Directions, three numbers a patch, and distances from the centre, 1 at the rim.
const directions = new Float32Array(3 * n);
const distances = new Float32Array(n);
for (let i = 0; i < n; i++) {
  const ring = Math.sin(columns.theta[i]);
  directions[3 * i] = ring * Math.cos(columns.phi[i]);
  directions[3 * i + 1] = ring * Math.sin(columns.phi[i]);
  directions[3 * i + 2] = Math.cos(columns.theta[i]);
  distances[i] = data.rim > 0 ? columns.radius[i] / data.rim : 0;
}
const inner = n > 0 ? distances.reduce((least, distance) => Math.min(least, distance), Infinity) : 0;

const darkQuery = matchMedia("(prefers-color-scheme: dark)");
const theme = () => (darkQuery.matches ? data.themes.dark : data.themes.light);

function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

// The colour of every patch, red, green, blue and 255; or 0 where its category is switched off.
const colours = new Uint8Array(4 * n);
const hidden = new Set(); // `zone 1`, `document 3`

function categoryOf(by, i) {
  if (by === "zone") return data.zoneColours[columns.zone[i]];
  return columns.documentColour[i] === 255 ? null : columns.documentColour[i];
}

function colour(by) {
  const { categories, ramp } = theme();
  const [other, steps, own] = [rgb(data.other), ramp.map(rgb), categories.map(rgb)];
  const shades = data.shades[by];
  for (let i = 0; i < n; i++) {
    let chosen = other;
    let shown = 255;
    if (by === "zone" || by === "document") {
      const category = categoryOf(by, i);
      if (category !== null) chosen = own[category];
      if (hidden.has(`${by} ${category}`)) shown = 0;
    } else if (Number.isFinite(columns[by][i])) {
      const { low, high } = shades;
      const part = high > low ? Math.min(1, Math.max(0, (columns[by][i] - low) / (high - low))) : 0.5;
      chosen = steps[Math.round(part * (steps.length - 1))];
    }
    colours.set(chosen, 4 * i);
    colours[4 * i + 3] = shown;
  }
}
