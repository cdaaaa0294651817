// From directions and distances to places on the stage. North stays up.

const START = { yaw: -0.6, pitch: 0.35, zoom: 1 };
const EYE = 3.2; // distance of the eye from the centre, in radii
const camera = { ...START, surface: 0 };

// Rows of the rotation: right, up, and towards the eye.
function axes() {
  const [cy, sy] = [Math.cos(camera.yaw), Math.sin(camera.yaw)];
  const [cp, sp] = [Math.cos(camera.pitch), Math.sin(camera.pitch)];
  return [cy, -sy, 0, sp * sy, sp * cy, cp, -cp * sy, -cp * cy, sp];
}

// How many pixels a radius is, before perspective.
const reach = (width, height) => 0.39 * Math.min(width, height) * camera.zoom;

// x, y and nearness (-1 to 1) of a point of the ball.
function projected(x, y, z, rows, width, height) {
  const right = rows[0] * x + rows[1] * y + rows[2] * z;
  const up = rows[3] * x + rows[4] * y + rows[5] * z;
  const near = rows[6] * x + rows[7] * y + rows[8] * z;
  const scale = (reach(width, height) * EYE) / (EYE - near);
  return [width / 2 + right * scale, height / 2 - up * scale, near];
}

// Where all patches are on a stage of this size: x, y and nearness of each.
const places = new Float32Array(3 * n);
function project(width, height) {
  const rows = axes();
  const size = reach(width, height) * EYE;
  const [a, b, d, e, f, g, h, k] = [rows[0], rows[1], rows[3], rows[4], rows[5], rows[6], rows[7], rows[8]];
  for (let i = 0, at = 0; i < n; i++, at += 3) {
    const r = distances[i] + (1 - distances[i]) * camera.surface;
    const x = directions[at] * r;
    const y = directions[at + 1] * r;
    const z = directions[at + 2] * r;
    const near = g * x + h * y + k * z;
    const scale = size / (EYE - near);
    places[at] = width / 2 + (a * x + b * y) * scale;
    places[at + 1] = height / 2 - (d * x + e * y + f * z) * scale;
    places[at + 2] = near;
  }
}

// The nearest to the eye of the patches around (x, y), -1 when there is none. After `project`.
function pick(x, y) {
  const REACH = 9;
  let [best, least] = [-1, Infinity];
  for (let i = 0, at = 0; i < n; i++, at += 3) {
    const dx = places[at] - x;
    const dy = places[at + 1] - y;
    const distance = dx * dx + dy * dy;
    if (distance > REACH * REACH || colours[4 * i + 3] === 0) continue;
    const cost = Math.sqrt(distance) - 3 * places[at + 2];
    if (cost < least) [best, least] = [i, cost];
  }
  return best;
}
