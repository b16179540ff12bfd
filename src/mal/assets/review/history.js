// Undo and redo of what was drawn on one mask: each step keeps the pixels that it changed.

/** @typedef {import("./mask.js").Mask} Mask */
/** @typedef {import("./rle.js").Rect} Rect */
/** @typedef {number[] | null} Box x, y, width, height of a redrawn box; null where the label file's counts */
/** @typedef {{rect: Rect, changed: Uint8Array, before: Box, after: Box}} Step `changed` is 1 where a pixel was turned */

const MOST_STEPS = 64;
const MOST_BYTES = 64 * 2 ** 20;

export class History {
  /** @param {Mask} mask */
  constructor(mask) {
    this.mask = mask;
    /** @type {Box} */
    this.box = null;
    /** @type {Step[]} */
    this.done = [];
    /** @type {Step[]} */
    this.undone = [];
    /** @type {{rect: Rect, height: number, data: Uint8Array} | null} */
    this.start = null;
  }

  /** Begins a step. */
  begin() {
    this.start = { rect: this.mask.rect, height: this.mask.height, data: this.mask.data.slice() };
  }

  /** Gives a step up: the mask is as it was when the step began. */
  cancel() {
    if (!this.start) return;
    const { rect, height, data } = this.start;
    this.mask.clear();
    for (let x = rect.x0; x < rect.x1; x++) {
      const from = (x - rect.x0) * height;
      const to = (x - this.mask.x) * this.mask.height + rect.y0 - this.mask.y;
      this.mask.data.set(data.subarray(from, from + height), to);
    }
    this.start = null;
  }

  /**
   * Ends a step.
   * @param {Rect} rect what may have changed
   * @param {Box} box after the step
   * @returns {boolean} whether it has changed anything
   */
  commit(rect, box = this.box) {
    if (!this.start) return false;
    const { mask } = this;
    const { rect: old, height, data } = this.start;
    const rows = Math.max(0, rect.y1 - rect.y0);
    const changed = new Uint8Array(Math.max(0, rect.x1 - rect.x0) * rows);
    let count = 0;
    for (let x = rect.x0; x < rect.x1; x++) {
      const now = this.column(mask.data, mask.rect, mask.height, x, rect);
      const before = this.column(data, old, height, x, rect);
      const place = (x - rect.x0) * rows;
      for (let row = 0; row < rows; row++) {
        if (now[row] !== before[row]) count += changed[place + row] = 1;
      }
    }
    this.start = null;
    const before = this.box;
    if (!count && String(before) === String(box)) return false;
    this.box = box;
    this.done.push({ rect, changed, before, after: box });
    this.undone = [];
    this.forget();
    return true;
  }

  /**
   * The pixels of a column, also where they are not held.
   * @param {Uint8Array} data
   * @param {Rect} held
   * @param {number} height of what is held
   * @param {number} x
   * @param {Rect} rect whose rows are asked for
   * @returns {Uint8Array}
   */
  column(data, held, height, x, rect) {
    const place = (x - held.x0) * height;
    const isInside = x >= held.x0 && x < held.x1;
    if (isInside && rect.y0 >= held.y0 && rect.y1 <= held.y1) {
      return data.subarray(place + rect.y0 - held.y0, place + rect.y1 - held.y0);
    }
    const result = new Uint8Array(Math.max(0, rect.y1 - rect.y0));
    if (isInside) {
      const [top, bottom] = [Math.max(rect.y0, held.y0), Math.min(rect.y1, held.y1)];
      if (top < bottom) result.set(data.subarray(place + top - held.y0, place + bottom - held.y0), top - rect.y0);
    }
    return result;
  }

  /** Forgets the oldest steps beyond the limits. */
  forget() {
    let bytes = this.done.reduce((sum, step) => sum + step.changed.length, 0);
    while (this.done.length > 1 && (this.done.length > MOST_STEPS || bytes > MOST_BYTES)) {
      bytes -= /** @type {Step} */ (this.done.shift()).changed.length;
    }
  }

  /** @returns {Rect | null} what has changed; null where there is nothing to undo */
  undo() {
    const step = this.done.pop();
    if (!step) return null;
    this.undone.push(step);
    this.box = step.before;
    return this.turn(step);
  }

  /** @returns {Rect | null} what has changed; null where there is nothing to do again */
  redo() {
    const step = this.undone.pop();
    if (!step) return null;
    this.done.push(step);
    this.box = step.after;
    return this.turn(step);
  }

  /**
   * @param {Step} step
   * @returns {Rect}
   */
  turn({ rect, changed }) {
    const { mask } = this;
    mask.hold(rect);
    const rows = rect.y1 - rect.y0;
    for (let x = rect.x0; x < rect.x1; x++) {
      const from = (x - rect.x0) * rows;
      const to = (x - mask.x) * mask.height + rect.y0 - mask.y;
      for (let row = 0; row < rows; row++) mask.data[to + row] ^= changed[from + row];
    }
    return rect;
  }
}
