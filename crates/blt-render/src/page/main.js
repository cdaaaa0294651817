// What the page does: draws when something has changed, and answers pointer and keys.

const stage = document.getElementById("stage");
const pointsCanvas = document.getElementById("points");
const marksCanvas = document.getElementById("marks");
// `#canvas` or `#webgl` behind the page's address says how to draw.
const painter = (location.hash !== "#canvas" && webgl(pointsCanvas, location.hash === "#webgl")) || raster(pointsCanvas);
stage.dataset.painter = painter.kind;
const hint = document.getElementById("hint");
if (painter.kind !== "webgl") hint.textContent += " · drawn on a plain canvas, without a graphics card";

let colourBy = data.colourBy;
let selected = -1; // the patch that is shown
let kept = false; // whether it was clicked, and stays
let [width, height] = [1, 1];
const paint = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// ---- drawing

function line(context, points, rows) {
  // The far side of a ring is fainter.
  for (let k = 1; k < points.length; k++) {
    const [from, to] = [projected(...points[k - 1], rows, width, height), projected(...points[k], rows, width, height)];
    context.globalAlpha = from[2] + to[2] > 0 ? 0.9 : 0.35;
    context.beginPath();
    context.moveTo(from[0], from[1]);
    context.lineTo(to[0], to[1]);
    context.stroke();
  }
  context.globalAlpha = 1;
}

function ringAt(theta) {
  const STEPS = 96;
  return Array.from({ length: STEPS + 1 }, (_, k) => {
    const phi = (2 * Math.PI * k) / STEPS;
    return [Math.sin(theta) * Math.cos(phi), Math.sin(theta) * Math.sin(phi), Math.cos(theta)];
  });
}

const angle = (data.zoneAngle ?? 0) * (Math.PI / 180);
const rings = [ringAt(Math.PI / 2), ...(angle > 0 ? [ringAt(angle), ringAt(Math.PI - angle)] : [])];
const poles = [[1, angle > 0 ? `north · ${data.zoneNames[0]}` : "north"], [-1, angle > 0 ? `south · ${data.zoneNames[2]}` : "south"]];

function drawMarks() {
  const context = marksCanvas.getContext("2d");
  const rows = axes();
  context.setTransform(marksCanvas.width / width, 0, 0, marksCanvas.height / height, 0, 0);
  context.clearRect(0, 0, width, height);
  context.strokeStyle = paint("--axis");
  context.lineWidth = 1;
  for (const ring of rings) line(context, ring, rows);
  context.globalAlpha = 0.5;
  context.beginPath();
  context.arc(width / 2, height / 2, (reach(width, height) * EYE) / Math.sqrt(EYE * EYE - 1), 0, 2 * Math.PI);
  context.stroke();
  context.globalAlpha = 1;
  context.font = "12px system-ui, sans-serif";
  context.textAlign = "center";
  context.fillStyle = paint("--text");
  // Letters have a rim of paper, so that they can be read above patches.
  context.strokeStyle = paint("--paper");
  context.lineWidth = 4;
  context.lineJoin = "round";
  for (const [z, name] of poles) {
    const [x, y] = projected(0, 0, z * 1.09, rows, width, height);
    context.strokeText(name, x, y + 4);
    context.fillText(name, x, y + 4);
  }
  if (selected < 0) return;
  const r = distances[selected] + (1 - distances[selected]) * camera.surface;
  const [x, y] = projected(...[0, 1, 2].map((k) => directions[3 * selected + k] * r), rows, width, height);
  context.strokeStyle = paint("--mark");
  context.lineWidth = 2;
  context.beginPath();
  context.arc(x, y, 8, 0, 2 * Math.PI);
  context.stroke();
}

const pointSize = () => Math.min(9, Math.max(2.2, 260 / Math.sqrt(n + 1)) * Math.sqrt(camera.zoom));

let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    painter.draw(width, height, pointSize(), rgb(paint("--paper")));
    drawMarks();
  });
}

function recolour() {
  colour(colourBy);
  painter.recolour();
  drawPlots();
  redraw();
}

function lay() {
  // While the page is not shown yet, the stage has no size; a canvas has to have one.
  [width, height] = [Math.max(1, stage.clientWidth), Math.max(1, stage.clientHeight)];
  for (const canvas of [pointsCanvas, marksCanvas]) {
    canvas.width = Math.max(1, Math.round(width * devicePixelRatio));
    canvas.height = Math.max(1, Math.round(height * devicePixelRatio));
  }
  layPlots();
  drawPlots();
  ringPlots(selected);
  redraw();
}

// ---- legend and choices

function drawRamp(canvas) {
  const context = canvas.getContext("2d");
  const { ramp } = theme();
  canvas.width = ramp.length;
  canvas.height = 1;
  ramp.forEach((step, k) => {
    context.fillStyle = step;
    context.fillRect(k, 0, 1, 1);
  });
}

function categoryRow(by, { name, patches, colour: own }) {
  const row = element("button", "category");
  const swatch = element("span", "swatch");
  const key = `${by} ${own}`;
  swatch.style.background = own === null ? data.other : theme().categories[own];
  row.type = "button";
  row.setAttribute("aria-pressed", String(!hidden.has(key)));
  row.title = `${visible(name)}: show or hide`;
  row.append(swatch, element("span", "name", visible(name)), element("span", "count", patches.toLocaleString("en")));
  row.addEventListener("click", () => {
    if (!hidden.delete(key)) hidden.add(key);
    row.setAttribute("aria-pressed", String(!hidden.has(key)));
    recolour();
  });
  return row;
}

function drawLegend() {
  const legend = document.getElementById("legend");
  const categories = data.categories[colourBy];
  if (categories) {
    const rows = categories.map((category) => categoryRow(colourBy, category));
    legend.replaceChildren(...rows, element("p", "note", "patches of the whole sphere; a click shows or hides"));
    return;
  }
  if (!data.shades[colourBy]) {
    legend.replaceChildren(element("p", "note", `no patch has a ${colourBy}`));
    return;
  }
  const { label, low, middle, high } = data.shades[colourBy];
  const canvas = element("canvas");
  canvas.id = "ramp";
  drawRamp(canvas);
  const ticks = element("div", "ticks");
  const places = high - low > 50 ? 0 : 2;
  for (const value of [low, (low + high) / 2, high]) ticks.append(element("span", "", value.toFixed(places)));
  const note = `half of the patches have less than ${middle.toFixed(places)}; the hundredth at either end has the end's colour`;
  legend.replaceChildren(element("div", "", label), canvas, ticks, element("p", "note", note));
}

const choices = document.getElementById("colour-by");
const possible = ["zone", "document", "radius", "shell", "prominence", "entropy"].filter((by) => data.categories[by] || data.shades[by]);
for (const by of possible) {
  const input = element("input");
  Object.assign(input, { type: "radio", name: "colour-by", value: by, checked: by === colourBy });
  const label = element("label");
  label.append(input, ` ${by}`);
  choices.append(label);
  input.addEventListener("change", () => {
    colourBy = by;
    drawLegend();
    recolour();
  });
}
document.getElementById("surface").addEventListener("change", (event) => {
  camera.surface = event.target.checked ? 1 : 0;
  redraw();
});

// ---- patches

function select(i) {
  if (i === selected) return;
  selected = i;
  describe(i);
  ringPlots(i);
  redraw();
}

// The next patch that is shown, in the order of the sphere.
function step(by) {
  for (let k = 1, i = selected; k <= n; k++) {
    i = (i + by + n) % n;
    if (colours[4 * i + 3] === 0) continue;
    kept = true;
    select(i);
    return;
  }
}

// ---- pointer and keys

function turn(dx, dy) {
  const speed = 1 / reach(width, height);
  camera.yaw += dx * speed;
  camera.pitch = Math.min(Math.PI / 2, Math.max(-Math.PI / 2, camera.pitch + dy * speed));
  redraw();
}

function zoom(factor) {
  camera.zoom = Math.min(40, Math.max(0.4, camera.zoom * factor));
  redraw();
}

let drag = null;
stage.addEventListener("pointerdown", (event) => {
  drag = { x: event.clientX, y: event.clientY, moved: 0 };
  stage.setPointerCapture(event.pointerId);
});
stage.addEventListener("pointermove", (event) => {
  if (drag) {
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    drag = { x: event.clientX, y: event.clientY, moved: drag.moved + Math.abs(dx) + Math.abs(dy) };
    turn(dx, dy);
  } else if (!kept) {
    const box = stage.getBoundingClientRect();
    project(width, height);
    select(pick(event.clientX - box.left, event.clientY - box.top));
  }
});
stage.addEventListener("pointerup", (event) => {
  const isClick = drag && drag.moved < 4;
  drag = null;
  if (!isClick) return;
  const box = stage.getBoundingClientRect();
  project(width, height);
  const picked = pick(event.clientX - box.left, event.clientY - box.top);
  kept = picked >= 0;
  select(picked);
});
stage.addEventListener("pointercancel", () => (drag = null));
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-0.0015 * event.deltaY));
}, { passive: false });
stage.addEventListener("keydown", (event) => {
  const STEP = 40;
  const keys = {
    ArrowLeft: () => turn(-STEP, 0), ArrowRight: () => turn(STEP, 0), ArrowUp: () => turn(0, -STEP), ArrowDown: () => turn(0, STEP),
    "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8),
    n: () => step(1), p: () => step(-1),
    0: () => { Object.assign(camera, START); redraw(); },
    Escape: () => { kept = false; select(-1); },
  };
  if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});
for (const plot of plots) {
  plot.canvas.addEventListener("pointermove", (event) => { if (!kept) select(pickInPlot(plot, event)); });
  plot.canvas.addEventListener("click", (event) => {
    const picked = pickInPlot(plot, event);
    kept = picked >= 0;
    select(picked);
  });
}

darkQuery.addEventListener("change", () => { drawLegend(); recolour(); });
new ResizeObserver(lay).observe(document.querySelector("main"));
describe(-1);
drawLegend();
lay();
recolour();
