// Finds the edge of the picture next to a point, for polygons whose points snap.

/** @typedef {import("./mask.js").Point} Point */

const REACH = 8; // pixels of the window

/**
 * The place of the steepest change of brightness near a point; the point itself where all is even.
 * @param {import("./view.js").View} view
 * @param {Point} point
 * @returns {Point}
 */
export function nearestEdge(view, point) {
  const reach = Math.max(2, Math.min(24, Math.round(REACH / view.scale)));
  const half = reach + 1; // the change at a pixel takes those beside it
  const [left, top] = [Math.floor(point[0]) - half, Math.floor(point[1]) - half];
  const side = 2 * half + 1;
  const light = brightness(view, left, top, side);
  let best = 0;
  let found = point;
  for (let y = 1; y < side - 1; y++) {
    for (let x = 1; x < side - 1; x++) {
      const place = y * side + x;
      const across = light[place + 1] - light[place - 1];
      const down = light[place + side] - light[place - side];
      const distance = Math.hypot(x - half, y - half) / reach;
      const strength = Math.hypot(across, down) * (1 - 0.5 * distance);
      if (distance <= 1 && strength > best) {
        best = strength;
        found = [left + x + 0.5, top + y + 0.5];
      }
    }
  }
  return found;
}

/**
 * @param {import("./view.js").View} view
 * @param {number} left
 * @param {number} top
 * @param {number} side
 * @returns {Float32Array} row by row
 */
function brightness(view, left, top, side) {
  const canvas = new OffscreenCanvas(side, side);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  context.translate(-left, -top);
  if (view.bitmap) context.drawImage(view.bitmap, 0, 0, view.imageWidth, view.imageHeight);
  if (view.part) {
    const { x, y, width, height } = view.part.place;
    context.drawImage(view.part.bitmap, x, y, width, height);
  }
  const { data } = context.getImageData(0, 0, side, side);
  const light = new Float32Array(side * side);
  for (let place = 0; place < light.length; place++) {
    light[place] = 0.3 * data[4 * place] + 0.59 * data[4 * place + 1] + 0.11 * data[4 * place + 2];
  }
  return light;
}
