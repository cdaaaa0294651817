// Draws the patches by WebGL: discs, farther ones paler. `null` where there is no WebGL, or, unless `insist`, only one without a
// graphics card, which takes ten times as long as the plain canvas.

const VERTEX = `
attribute vec3 direction;
attribute float distance_;
attribute vec4 colour;
uniform mat3 axes;
uniform vec2 scale;
uniform float eye, surface, size;
varying vec4 shown;
varying float near;
void main() {
  vec3 place = (direction * mix(distance_, 1.0, surface)) * axes;
  near = place.z;
  float depth = eye - place.z;
  gl_Position = vec4(place.xy * scale * eye, (-place.z) * depth * 0.5, depth);
  gl_PointSize = size * eye / depth;
  shown = colour;
  if (colour.a == 0.0) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
}`;

const FRAGMENT = `
precision mediump float;
uniform vec3 paper;
varying vec4 shown;
varying float near;
void main() {
  vec2 place = gl_PointCoord - 0.5;
  if (dot(place, place) > 0.25) discard;
  gl_FragColor = vec4(mix(paper, shown.rgb, 0.3 + 0.35 * (near + 1.0)), 1.0);
}`;

function isSoftware(gl) {
  if (!gl) return true;
  const names = gl.getExtension("WEBGL_debug_renderer_info");
  const name = gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
}

function webgl(canvas, insist) {
  // A canvas that has once had WebGL has no pixels to be set any more, so another one is asked first.
  if (!insist && isSoftware(document.createElement("canvas").getContext("webgl"))) return null;
  const gl = canvas.getContext("webgl", { alpha: false, antialias: false });
  if (!gl) return null;
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
  gl.useProgram(program);
  gl.enable(gl.DEPTH_TEST);
  const attribute = (name, values, width, type, normalised) => {
    const buffer = gl.createBuffer();
    const at = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, width, type, normalised, 0, 0);
    return buffer;
  };
  attribute("direction", directions, 3, gl.FLOAT, false);
  attribute("distance_", distances, 1, gl.FLOAT, false);
  const colourBuffer = attribute("colour", colours, 4, gl.UNSIGNED_BYTE, true);
  const at = (name) => gl.getUniformLocation(program, name);
  const uniforms = { axes: at("axes"), scale: at("scale"), eye: at("eye"), surface: at("surface"), size: at("size"), paper: at("paper") };
  return {
    kind: "webgl",
    recolour() {
      gl.bindBuffer(gl.ARRAY_BUFFER, colourBuffer);
      gl.bufferData(gl.ARRAY_BUFFER, colours, gl.STATIC_DRAW);
    },
    draw(width, height, size, paper) {
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clearColor(paper[0] / 255, paper[1] / 255, paper[2] / 255, 1);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      // The columns of the shader's matrix are the rows of ours, and it multiplies from the left.
      gl.uniformMatrix3fv(uniforms.axes, false, axes());
      gl.uniform2f(uniforms.scale, (2 * reach(width, height)) / width, (2 * reach(width, height)) / height);
      gl.uniform1f(uniforms.eye, EYE);
      gl.uniform1f(uniforms.surface, camera.surface);
      gl.uniform1f(uniforms.size, (size * canvas.width) / width);
      gl.uniform3f(uniforms.paper, paper[0] / 255, paper[1] / 255, paper[2] / 255);
      gl.drawArrays(gl.POINTS, 0, n);
    },
  };
}
