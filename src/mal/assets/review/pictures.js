// Pictures and masks that are shown now or soon: fetched ahead, kept within limits, given back when they are dropped.
import { ask, refusalOf } from "./api.js";

/** @typedef {import("./api.js").MaskAnswer} MaskAnswer */
/** @typedef {{x: number, y: number, width: number, height: number}} Place pixels of the picture */
/** @typedef {{bitmap: ImageBitmap, place: Place}} Part */

const MOST_PREVIEWS = 10;
const MOST_MASKS = 64;
const LONGEST_PART = 2048;

/**
 * Keeps the values of the last keys that were asked for.
 * @template K, V
 */
class Recent {
  /**
   * @param {number} most
   * @param {(value: Promise<V>) => void} dropped
   */
  constructor(most, dropped) {
    this.most = most;
    this.dropped = dropped;
    /** @type {Map<K, Promise<V>>} */
    this.values = new Map();
  }

  /**
   * @param {K} key
   * @param {() => Promise<V>} make
   * @returns {Promise<V>}
   */
  get(key, make) {
    let value = this.values.get(key);
    if (value) this.values.delete(key);
    else {
      value = make();
      value.catch(() => this.values.delete(key)); // to be tried again
    }
    this.values.set(key, value);
    for (const [old, other] of this.values) {
      if (this.values.size <= this.most) break;
      this.values.delete(old);
      this.dropped(other);
    }
    return value;
  }

  /** @param {K} key */
  forget(key) {
    this.values.delete(key);
  }
}

/**
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<ImageBitmap>}
 */
async function bitmapAt(path, signal) {
  const answer = await fetch(path, { signal });
  if (!answer.ok) throw await refusalOf(answer);
  return createImageBitmap(await answer.blob());
}

export class Pictures {
  constructor() {
    /** @type {ImageBitmap | null} */
    this.inUse = null;
    /** @type {Recent<number, ImageBitmap>} */
    this.previews = new Recent(MOST_PREVIEWS, (value) => {
      value.then((bitmap) => bitmap !== this.inUse && bitmap.close(), () => {});
    });
    /** @type {Recent<number, MaskAnswer>} */
    this.masks = new Recent(MOST_MASKS, () => {});
    /** @type {AbortController | null} */
    this.partUnderWay = null;
  }

  /** @param {number} imageRow */
  preview(imageRow) {
    return this.previews.get(imageRow, () => bitmapAt(`/api/pictures/${imageRow}`));
  }

  /** @param {number} at */
  mask(at) {
    return this.masks.get(at, () => ask(`/api/masks/${at}`));
  }

  /**
   * Fetches what is shown soon.
   * @param {{imageRow: number, at: number}[]} soon
   */
  ahead(soon) {
    for (const { imageRow, at } of soon) {
      this.preview(imageRow).catch(() => {});
      this.mask(at).catch(() => {});
    }
  }

  /**
   * The native pixels of a part; an earlier request for another part is given up.
   * @param {number} imageRow
   * @param {Place} place
   * @returns {Promise<Part>}
   */
  async part(imageRow, place) {
    this.partUnderWay?.abort();
    this.partUnderWay = new AbortController();
    const query = new URLSearchParams(Object.entries(place).map(([key, value]) => [key, String(value)]));
    const bitmap = await bitmapAt(`/api/pictures/${imageRow}/part?${query}`, this.partUnderWay.signal);
    return { bitmap, place };
  }
}

/**
 * The part to fetch for what is seen: some more than that, or null where it would be too large.
 * @param {Place} seen
 * @param {number} width of the picture
 * @param {number} height of the picture
 * @returns {Place | null}
 */
export function partAround(seen, width, height) {
  if (Math.max(seen.width, seen.height) > LONGEST_PART) return null;
  const [across, down] = [seen.width, seen.height].map((side) => Math.min(side / 4, (LONGEST_PART - side) / 2));
  const x = Math.max(0, Math.floor(seen.x - across));
  const y = Math.max(0, Math.floor(seen.y - down));
  const right = Math.min(width, Math.ceil(seen.x + seen.width + across), x + LONGEST_PART);
  const bottom = Math.min(height, Math.ceil(seen.y + seen.height + down), y + LONGEST_PART);
  return right > x && bottom > y ? { x, y, width: right - x, height: bottom - y } : null;
}
