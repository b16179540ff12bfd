// The mask that is being drawn: one byte a pixel, column by column as COCO's code, of the part of the picture around it.
// Pixels are filled by columns and never through a canvas, whose smooth edges would leave half pixels.
import { eachStretch, extentOf, textOf } from "./rle.js";

/** @typedef {import("./rle.js").Rle} Rle */
/** @typedef {import("./rle.js").Rect} Rect */
/** @typedef {[number, number]} Point x and y in pixels of the picture, of which the first has its center at 0.5 */

const MARGIN = 0.3;
const LEAST_MARGIN = 64;

export class Mask {
  /**
   * @param {number} imageWidth pixels
   * @param {number} imageHeight pixels
   * @param {Rect} around what lies around the mask at first; it grows with what is drawn
   */
  constructor(imageWidth, imageHeight, around) {
    this.imageWidth = imageWidth;
    this.imageHeight = imageHeight;
    const { x0, y0, x1, y1 } = this.withMargin(around);
    this.x = x0;
    this.y = y0;
    this.width = x1 - x0;
    this.height = y1 - y0;
    /** What is drawn: 0 or 1, column by column. */
    this.data = new Uint8Array(this.width * this.height);
    /** The mask of the label file, to show what has changed. */
    this.base = new Uint8Array(this.width * this.height);
  }

  /**
   * @param {Rect} rect
   * @returns {Rect} clipped to the picture
   */
  clipped({ x0, y0, x1, y1 }) {
    return {
      x0: Math.max(0, Math.floor(x0)),
      y0: Math.max(0, Math.floor(y0)),
      x1: Math.min(this.imageWidth, Math.ceil(x1)),
      y1: Math.min(this.imageHeight, Math.ceil(y1)),
    };
  }

  /**
   * @param {Rect} rect
   * @returns {Rect}
   */
  withMargin({ x0, y0, x1, y1 }) {
    const across = Math.max(LEAST_MARGIN, (x1 - x0) * MARGIN);
    const down = Math.max(LEAST_MARGIN, (y1 - y0) * MARGIN);
    return this.clipped({ x0: x0 - across, y0: y0 - down, x1: x1 + across, y1: y1 + down });
  }

  /** @returns {Rect} the part of the picture that is held */
  get rect() {
    return { x0: this.x, y0: this.y, x1: this.x + this.width, y1: this.y + this.height };
  }

  /**
   * Makes room for a part of the picture.
   * @param {Rect} rect
   */
  hold(rect) {
    const asked = this.clipped(rect);
    const old = this.rect;
    if (asked.x0 >= old.x0 && asked.y0 >= old.y0 && asked.x1 <= old.x1 && asked.y1 <= old.y1) return;
    const now = this.withMargin({
      x0: Math.min(asked.x0, old.x0),
      y0: Math.min(asked.y0, old.y0),
      x1: Math.max(asked.x1, old.x1),
      y1: Math.max(asked.y1, old.y1),
    });
    const width = now.x1 - now.x0;
    const height = now.y1 - now.y0;
    const data = new Uint8Array(width * height);
    const base = new Uint8Array(width * height);
    for (let column = 0; column < this.width; column++) {
      const from = column * this.height;
      const to = (column + old.x0 - now.x0) * height + old.y0 - now.y0;
      data.set(this.data.subarray(from, from + this.height), to);
      base.set(this.base.subarray(from, from + this.height), to);
    }
    Object.assign(this, { x: now.x0, y: now.y0, width, height, data, base });
  }

  /**
   * @param {number} x whole pixel
   * @param {number} y whole pixel
   * @returns {number} 0 or 1; 0 outside of what is held
   */
  at(x, y) {
    const column = x - this.x;
    const row = y - this.y;
    const isHeld = column >= 0 && row >= 0 && column < this.width && row < this.height;
    return isHeld ? this.data[column * this.height + row] : 0;
  }

  /**
   * Adds the pixels of a mask.
   * @param {Rle | null} rle
   * @param {"data" | "base"} which
   */
  add(rle, which = "data") {
    const extent = rle && extentOf(rle);
    if (!rle || !extent) return;
    this.hold(extent);
    const target = this[which];
    eachStretch(rle, (x, top, bottom) => {
      const column = (x - this.x) * this.height - this.y;
      target.fill(1, column + top, column + bottom);
    });
  }

  /** Removes all pixels. */
  clear() {
    this.data.fill(0);
  }

  /**
   * Fills the pixels whose centers lie within a radius of a line, and the pixel below its end.
   * @param {Point} from
   * @param {Point} to
   * @param {number} radius pixels
   * @param {0 | 1} value
   * @returns {Rect} what may have changed
   */
  line(from, to, radius, value) {
    const around = this.clipped({
      x0: Math.min(from[0], to[0]) - radius - 1,
      y0: Math.min(from[1], to[1]) - radius - 1,
      x1: Math.max(from[0], to[0]) + radius + 1,
      y1: Math.max(from[1], to[1]) + radius + 1,
    });
    if (around.x0 >= around.x1 || around.y0 >= around.y1) return { x0: 0, y0: 0, x1: 0, y1: 0 };
    if (value) this.hold(around);
    for (let x = around.x0; x < around.x1; x++) {
      const reach = reachOfLine(x + 0.5, from, to, radius);
      if (reach) this.column(x, reach[0], reach[1], value);
    }
    const [x, y] = [Math.floor(to[0]), Math.floor(to[1])];
    if (x >= 0 && x < this.imageWidth) this.column(x, y + 0.5, y + 0.5, value);
    return around;
  }

  /**
   * Fills a polygon by the even-odd rule: the pixels whose centers lie inside.
   * @param {Point[]} points
   * @param {0 | 1} value
   * @returns {Rect} what may have changed
   */
  polygon(points, value) {
    const xs = points.map(([x]) => x);
    const ys = points.map(([, y]) => y);
    const around = this.clipped({
      x0: Math.min(...xs),
      y0: Math.min(...ys),
      x1: Math.max(...xs) + 1,
      y1: Math.max(...ys) + 1,
    });
    if (value && around.x0 < around.x1 && around.y0 < around.y1) this.hold(around);
    for (let x = around.x0; x < around.x1; x++) {
      const crossings = crossingsOf(x + 0.5, points);
      for (let index = 0; index + 1 < crossings.length; index += 2) {
        this.column(x, crossings[index], crossings[index + 1], value);
      }
    }
    return around;
  }

  /**
   * Fills a stretch of a column: the pixels whose centers lie from `low` to `high`.
   * @param {number} x whole pixel
   * @param {number} low
   * @param {number} high
   * @param {0 | 1} value
   */
  column(x, low, high, value) {
    const column = x - this.x;
    if (column < 0 || column >= this.width) return;
    const top = Math.max(0, Math.ceil(low - 0.5) - this.y);
    const bottom = Math.min(this.height, Math.floor(high - 0.5) + 1 - this.y);
    if (top < bottom) this.data.fill(value, column * this.height + top, column * this.height + bottom);
  }

  /** @returns {boolean} whether it differs from the mask of the label file */
  get isChanged() {
    for (let index = 0; index < this.data.length; index++) {
      if (this.data[index] !== this.base[index]) return true;
    }
    return false;
  }

  /** @returns {number} its pixels */
  get area() {
    let sum = 0;
    for (let index = 0; index < this.data.length; index++) sum += this.data[index];
    return sum;
  }

  /** @returns {Rle} */
  rle() {
    /** @type {number[]} */
    const runs = [];
    let last = 0; // where the last run ended, counted over the whole picture
    let value = 0;
    let end = 0;
    for (let column = 0; column < this.width; column++) {
      const place = column * this.height;
      const global = (column + this.x) * this.imageHeight + this.y;
      if (value && global > end) ({ last, value } = closed(runs, last, end));
      for (let from = 0; from < this.height; ) {
        const to = nextChange(this.data, place + from, place + this.height, value) - place;
        if (to >= this.height) break;
        runs.push(global + to - last);
        last = global + to;
        value = 1 - value;
        from = to;
      }
      end = global + this.height;
    }
    if (value) ({ last } = closed(runs, last, end));
    const rest = this.imageWidth * this.imageHeight - last;
    if (rest > 0 || !runs.length) runs.push(rest);
    return { size: [this.imageHeight, this.imageWidth], counts: textOf(runs) };
  }
}

/**
 * Ends a run of foreground at the lower end of what is held.
 * @param {number[]} runs
 * @param {number} last
 * @param {number} end
 */
function closed(runs, last, end) {
  runs.push(end - last);
  return { last: end, value: 0 };
}

/**
 * @param {Uint8Array} data
 * @param {number} from
 * @param {number} end
 * @param {number} value
 * @returns {number} the next place with another value; `end` where there is none
 */
function nextChange(data, from, end, value) {
  const place = data.subarray(from, end).indexOf(1 - value); // would else search beyond the end of the column
  return place < 0 ? end : from + place;
}

/**
 * Where a vertical line lies within a radius of a line from one point to another.
 * @param {number} x
 * @param {Point} from
 * @param {Point} to
 * @param {number} radius
 * @returns {[number, number] | null}
 */
function reachOfLine(x, from, to, radius) {
  let low = Infinity;
  let high = -Infinity;
  /** @param {number} y */
  const take = (y) => {
    low = Math.min(low, y);
    high = Math.max(high, y);
  };
  for (const [centerX, centerY] of [from, to]) {
    const rest = radius * radius - (x - centerX) ** 2;
    if (rest >= 0) {
      take(centerY - Math.sqrt(rest));
      take(centerY + Math.sqrt(rest));
    }
  }
  const [across, down] = [to[0] - from[0], to[1] - from[1]];
  const length = Math.hypot(across, down);
  if (length > 0) {
    const [sideX, sideY] = [(-down / length) * radius, (across / length) * radius];
    /** @type {Point[]} */
    const corners = [
      [from[0] + sideX, from[1] + sideY],
      [to[0] + sideX, to[1] + sideY],
      [to[0] - sideX, to[1] - sideY],
      [from[0] - sideX, from[1] - sideY],
    ];
    crossingsOf(x, corners).forEach(take);
  }
  return low <= high ? [low, high] : null;
}

/**
 * Where a vertical line crosses the outline of a polygon, sorted.
 * @param {number} x
 * @param {Point[]} points
 * @returns {number[]}
 */
function crossingsOf(x, points) {
  const found = [];
  for (let index = 0; index < points.length; index++) {
    const [x0, y0] = points[index];
    const [x1, y1] = points[(index + 1) % points.length];
    if (x0 <= x !== x1 <= x) found.push(y0 + ((x - x0) / (x1 - x0)) * (y1 - y0));
  }
  return found.sort((a, b) => a - b);
}

/**
 * The outline as lines between pixels, to be drawn at any zoom.
 * @param {Mask} mask
 * @param {number} step pixels to skip, for large masks
 * @param {(x0: number, y0: number, x1: number, y1: number) => void} line
 */
export function outline(mask, step, line) {
  const { data, width, height, x, y } = mask;
  const columns = Math.ceil(width / step);
  const rows = Math.ceil(height / step);
  const open = new Int32Array(rows + 1).fill(-1); // where a horizontal line began, by row
  for (let column = 0; column <= columns; column++) {
    const here = column * step * height;
    const left = (column - 1) * step * height;
    let above = 0;
    let upright = -1;
    for (let row = 0; row <= rows; row++) {
      const isInside = row < rows;
      const value = column < columns && isInside ? data[here + row * step] : 0;
      const before = column > 0 && isInside ? data[left + row * step] : 0;
      if (value !== above) {
        if (open[row] < 0) open[row] = column;
      } else if (open[row] >= 0) {
        line(x + open[row] * step, y + row * step, x + column * step, y + row * step);
        open[row] = -1;
      }
      if (value !== before) {
        if (upright < 0) upright = row;
      } else if (upright >= 0) {
        line(x + column * step, y + upright * step, x + column * step, y + row * step);
        upright = -1;
      }
      above = value;
    }
  }
}
