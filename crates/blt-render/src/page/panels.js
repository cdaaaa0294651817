// The points of the panels that show radii and shares against signals, behind frames that are drawn already.

const plots = [];

function part({ low, high, log }, value) {
  return log ? (Math.log(value) - Math.log(low)) / (Math.log(high) - Math.log(low)) : (value - low) / (high - low);
}

for (const canvas of document.querySelectorAll("canvas[data-plot]")) {
  const { area, size, x, y } = data.plots[canvas.dataset.plot];
  const svg = canvas.previousElementSibling;
  const ring = document.createElement("span");
  ring.className = "ring";
  ring.hidden = true;
  canvas.after(ring);
  // Places in the panel's own units; not a finite number where a value is missing, or has no logarithm.
  const at = new Float32Array(2 * n);
  for (let i = 0; i < n; i++) {
    at[2 * i] = area[0] + area[2] * part(x, columns[x.column][i]);
    at[2 * i + 1] = area[1] + area[3] * (1 - part(y, columns[y.column][i]));
  }
  plots.push({ canvas, svg, ring, area, size, at });
}

const isPlaced = (at, i) => Number.isFinite(at[2 * i]) && Number.isFinite(at[2 * i + 1]);

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

// A pixel has the mean colour of its points. Of many points one is faint, and several in one place are not.
function drawPlots() {
  const opacity = 255 * Math.min(0.85, Math.max(0.22, 20000 / n));
  const rows = disc(Math.max(1, Math.round((n > 20000 ? 1 : 2.5) * devicePixelRatio)));
  for (const { canvas, area, at } of plots) {
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    const sums = new Float32Array(4 * canvas.width * canvas.height); // red, green, blue, number
    const scale = canvas.width / area[2];
    for (let i = 0; i < n; i++) {
      if (colours[4 * i + 3] === 0 || !isPlaced(at, i)) continue;
      const left = Math.round((at[2 * i] - area[0]) * scale - rows.length / 2);
      const top = Math.round((at[2 * i + 1] - area[1]) * scale - rows.length / 2);
      for (let row = 0; row < rows.length; row++) {
        const y = top + row;
        if (y < 0 || y >= image.height) continue;
        const end = Math.min(image.width - 1, left + rows[row][1]);
        for (let x = Math.max(0, left + rows[row][0]); x <= end; x++) {
          const pixel = 4 * (y * image.width + x);
          for (let k = 0; k < 3; k++) sums[pixel + k] += colours[4 * i + k];
          sums[pixel + 3]++;
        }
      }
    }
    for (let pixel = 0; pixel < sums.length; pixel += 4) {
      const number = sums[pixel + 3];
      if (number === 0) continue;
      for (let k = 0; k < 3; k++) image.data[pixel + k] = sums[pixel + k] / number;
      image.data[pixel + 3] = opacity * number; // more than 255 is 255
    }
    context.putImageData(image, 0, 0);
  }
}

function ringPlots(i) {
  for (const { canvas, ring, area, at } of plots) {
    ring.hidden = !(i >= 0 && isPlaced(at, i));
    if (ring.hidden) continue;
    const scale = canvas.clientWidth / area[2];
    ring.style.left = `${canvas.offsetLeft + (at[2 * i] - area[0]) * scale}px`;
    ring.style.top = `${canvas.offsetTop + (at[2 * i + 1] - area[1]) * scale}px`;
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
