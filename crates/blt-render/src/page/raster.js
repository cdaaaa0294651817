// Draws points into the pixels of a canvas, without WebGL: for the sphere where there is none, and for the panels.

// Rows of half widths of a disc of so many pixels.
function disc(size) {
  const middle = (size - 1) / 2;
  return Array.from({ length: size }, (_, row) => {
    const half = Math.sqrt(Math.max(0, (size * size) / 4 - (row - middle) ** 2));
    return [Math.ceil(middle - half), Math.floor(middle + half)];
  });
}

function raster(canvas) {
  const context = canvas.getContext("2d");
  let [image, words, depths] = [null, null, null];
  return {
    kind: "canvas",
    recolour() {},
    draw(width, height, size, paper) {
      if (!image || image.width !== canvas.width || image.height !== canvas.height) {
        image = context.createImageData(canvas.width, canvas.height);
        words = new Uint32Array(image.data.buffer);
        depths = new Float32Array(words.length);
      }
      const ratio = canvas.width / width;
      // Pixels are red, green, blue, opaque on every machine that browsers run on: little endian.
      words.fill((0xff << 24) | (paper[2] << 16) | (paper[1] << 8) | paper[0]);
      depths.fill(-Infinity);
      project(width, height);
      const rows = disc(Math.max(1, Math.round(size * ratio)));
      for (let i = 0; i < n; i++) {
        if (colours[4 * i + 3] === 0) continue;
        const near = places[3 * i + 2];
        const left = Math.round(places[3 * i] * ratio - rows.length / 2);
        const top = Math.round(places[3 * i + 1] * ratio - rows.length / 2);
        const strength = 0.3 + 0.35 * (near + 1);
        const mix = (at) => (paper[at] + (colours[4 * i + at] - paper[at]) * strength) & 255;
        const word = (0xff << 24) | (mix(2) << 16) | (mix(1) << 8) | mix(0);
        for (let row = 0; row < rows.length; row++) {
          const y = top + row;
          if (y < 0 || y >= image.height) continue;
          const from = Math.max(0, left + rows[row][0]);
          const to = Math.min(image.width - 1, left + rows[row][1]);
          for (let at = y * image.width + from; at <= y * image.width + to; at++) {
            if (near > depths[at]) {
              depths[at] = near;
              words[at] = word;
            }
          }
        }
      }
      context.putImageData(image, 0, 0);
    },
  };
}
