// The points of the panels that show radii against signals, behind frames that are drawn already.

const SVG = "http://www.w3.org/2000/svg";
const plots = [];

function part({ low, high, log }, value) {
  return log ? (Math.log(value) - Math.log(low)) / (Math.log(high) - Math.log(low)) : (value - low) / (high - low);
}

for (const canvas of document.querySelectorAll("canvas[data-plot]")) {
  const name = canvas.dataset.plot;
  const { area, size, x, y } = data.plots[name];
  const svg = canvas.previousElementSibling;
  const ring = document.createElementNS(SVG, "circle");
  ring.setAttribute("class", "ring");
  ring.setAttribute("r", "6");
  ring.setAttribute("visibility", "hidden");
  svg.append(ring);
  // Places in the panel's own units; NaN where there is no value.
  const at = new Float32Array(2 * n);
  for (let i = 0; i < n; i++) {
    at[2 * i] = area[0] + area[2] * part(x, columns[name][i]);
    at[2 * i + 1] = area[1] + area[3] * (1 - part(y, columns.radius[i]));
  }
  plots.push({ canvas, svg, ring, area, size, at });
}

function layPlots() {
  for (const { canvas, svg, area, size } of plots) {
    const [frame, inside] = [svg.parentElement.getBoundingClientRect(), svg.getBoundingClientRect()];
    const scale = inside.width / size[0];
    const border = svg.parentElement.clientLeft;
    const style = {
      left: inside.left - frame.left - border + area[0] * scale,
      top: inside.top - frame.top - border + area[1] * scale,
      width: area[2] * scale,
      height: area[3] * scale,
    };
    for (const [name, length] of Object.entries(style)) canvas.style[name] = `${length}px`;
    canvas.width = Math.max(1, Math.round(style.width * devicePixelRatio));
    canvas.height = Math.max(1, Math.round(style.height * devicePixelRatio));
  }
}

function drawPlots() {
  for (const { canvas, area, at } of plots) {
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    const words = new Uint32Array(image.data.buffer);
    const scale = canvas.width / area[2];
    const rows = disc(Math.max(1, Math.round((n > 20000 ? 1 : 2.5) * devicePixelRatio)));
    // Of many patches one is faint, and several in one place are not.
    const opacity = Math.round(255 * Math.min(0.85, Math.max(0.1, 12000 / n)));
    for (let i = 0; i < n; i++) {
      if (colours[4 * i + 3] === 0 || !(at[2 * i] >= 0)) continue;
      const left = Math.round((at[2 * i] - area[0]) * scale - rows.length / 2);
      const top = Math.round((at[2 * i + 1] - area[1]) * scale - rows.length / 2);
      const colour = (colours[4 * i + 2] << 16) | (colours[4 * i + 1] << 8) | colours[4 * i];
      for (let row = 0; row < rows.length; row++) {
        const y = top + row;
        if (y < 0 || y >= image.height) continue;
        const line = y * image.width;
        const end = line + Math.min(image.width, left + rows[row][1] + 1);
        for (let at = line + Math.max(0, left + rows[row][0]); at < end; at++) {
          words[at] = (Math.min(255, (words[at] >>> 24) + opacity) << 24) | colour;
        }
      }
    }
    context.putImageData(image, 0, 0);
  }
}

function ringPlots(i) {
  for (const { ring, at } of plots) {
    const isThere = i >= 0 && at[2 * i] >= 0;
    ring.setAttribute("visibility", isThere ? "visible" : "hidden");
    if (!isThere) continue;
    ring.setAttribute("cx", at[2 * i]);
    ring.setAttribute("cy", at[2 * i + 1]);
  }
}

// The patch next to a place of a panel, -1 when none is near.
function pickInPlot({ canvas, area, at }, event) {
  const REACH = 8;
  const box = canvas.getBoundingClientRect();
  const scale = box.width / area[2];
  const x = (event.clientX - box.left) / scale + area[0];
  const y = (event.clientY - box.top) / scale + area[1];
  let [best, least] = [-1, (REACH / scale) ** 2];
  for (let i = 0; i < n; i++) {
    const distance = (at[2 * i] - x) ** 2 + (at[2 * i + 1] - y) ** 2;
    if (distance < least && colours[4 * i + 3] !== 0) [best, least] = [i, distance];
  }
  return best;
}
