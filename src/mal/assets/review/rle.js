// COCO's run-length code: runs of background and foreground in turn, column by column, packed into a text.

/**
 * @typedef {{size: number[], counts: string}} Rle a mask; `size` is height and width in pixels
 */

/**
 * Unpacks the lengths of runs.
 * @param {string} text
 * @returns {number[]}
 */
export function runsOf(text) {
  /** @type {number[]} */
  const runs = [];
  for (let place = 0; place < text.length; ) {
    let value = 0;
    let shift = 0;
    let bits = 0;
    do {
      bits = text.charCodeAt(place++) - 48;
      value |= (bits & 0x1f) << shift;
      shift += 5;
    } while (bits & 0x20);
    if (bits & 0x10 && shift < 32) value |= -1 << shift;
    runs.push(runs.length > 2 ? value + runs[runs.length - 2] : value);
  }
  return runs;
}

/**
 * Packs the lengths of runs.
 * @param {number[]} runs
 * @returns {string}
 */
export function textOf(runs) {
  const letters = [];
  for (let index = 0; index < runs.length; index++) {
    let value = index > 2 ? runs[index] - runs[index - 2] : runs[index];
    for (let more = true; more; ) {
      let bits = value & 0x1f;
      value >>= 5;
      more = bits & 0x10 ? value !== -1 : value !== 0;
      if (more) bits |= 0x20;
      letters.push(String.fromCharCode(bits + 48));
    }
  }
  return letters.join("");
}

/**
 * Calls back for each stretch of foreground within a column.
 * @param {Rle} rle
 * @param {(x: number, top: number, bottom: number) => void} found rows from `top` to before `bottom`
 */
export function eachStretch(rle, found) {
  const height = rle.size[0];
  let start = 0;
  runsOf(rle.counts).forEach((length, index) => {
    const end = start + length;
    if (index % 2) {
      for (let from = start; from < end; ) {
        const x = Math.floor(from / height);
        const to = Math.min(end, (x + 1) * height);
        found(x, from - x * height, to - x * height);
        from = to;
      }
    }
    start = end;
  });
}

/**
 * @typedef {{x0: number, y0: number, x1: number, y1: number}} Rect whole pixels of the picture, ends exclusive
 */

/**
 * The smallest rectangle around a mask; null of an empty one.
 * @param {Rle} rle
 * @returns {Rect | null}
 */
export function extentOf(rle) {
  const rect = { x0: Infinity, y0: Infinity, x1: -Infinity, y1: -Infinity };
  eachStretch(rle, (x, top, bottom) => {
    rect.x0 = Math.min(rect.x0, x);
    rect.x1 = Math.max(rect.x1, x + 1);
    rect.y0 = Math.min(rect.y0, top);
    rect.y1 = Math.max(rect.y1, bottom);
  });
  return rect.x1 > rect.x0 ? rect : null;
}
