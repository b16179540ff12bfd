// What is seen: picture, mask, boxes and tool, drawn on one canvas of the size of the window, whatever the picture has.
import { outline } from "./mask.js";

/** @typedef {import("./mask.js").Mask} Mask */
/** @typedef {import("./mask.js").Point} Point */
/** @typedef {import("./rle.js").Rect} Rect */
/** @typedef {import("./pictures.js").Part} Part */
/** @typedef {import("./pictures.js").Place} Place */

/** Colors of Okabe and Ito, which people with any of the common color deficiencies tell apart. */
export const COLORS = [
  { name: "sky blue", rgb: [86, 180, 233] },
  { name: "orange", rgb: [230, 159, 0] },
  { name: "yellow", rgb: [240, 228, 66] },
  { name: "reddish purple", rgb: [204, 121, 167] },
];
const ADDED = [0, 158, 115];
const REMOVED = [213, 94, 0];
const LARGEST_SCALE = 64;
const SMALLEST_SHARE = 0.5; // of the scale at which the whole picture is seen
const ROOM = 0.6; // share of the window that a mask takes
const OUTLINED_PIXELS = 4e6;

export class View {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
    this.ratio = 1;
    this.width = 1;
    this.height = 1;
    this.scale = 1;
    this.x = 0; // where the picture's corner is in the window
    this.y = 0;
    this.imageWidth = 1;
    this.imageHeight = 1;
    /** @type {ImageBitmap | null} */
    this.bitmap = null;
    /** @type {Part | null} */
    this.part = null;
    /** @type {Mask | null} */
    this.mask = null;
    this.layer = new OffscreenCanvas(1, 1);
    /** @type {Rect | null} the part of the picture that the layer covers */
    this.layerRect = null;
    /** @type {Path2D | null} */
    this.outline = null;
    /** @type {number[] | null} */
    this.box = null;
    /** @type {number[][]} */
    this.neighbors = [];
    this.opacity = 0.35;
    this.color = 0;
    this.showsMask = true;
    this.showsNeighbors = true;
    this.isPeeking = false;
    this.backdrop = "#1b1b1b";
    /** @type {(context: CanvasRenderingContext2D) => void} draws the tool, in pixels of the window */
    this.drawTool = () => {};
    /** @type {() => void} */
    this.moved = () => {};
    this.isDue = false;
  }

  /** Takes the size of the window. */
  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    const [middleX, middleY] = this.toImage(this.width / 2, this.height / 2);
    this.ratio = devicePixelRatio || 1;
    this.width = Math.max(1, clientWidth);
    this.height = Math.max(1, clientHeight);
    this.canvas.width = Math.round(this.width * this.ratio);
    this.canvas.height = Math.round(this.height * this.ratio);
    this.x = this.width / 2 - middleX * this.scale;
    this.y = this.height / 2 - middleY * this.scale;
    this.refresh();
  }

  /**
   * @param {number} x in the window
   * @param {number} y in the window
   * @returns {Point}
   */
  toImage(x, y) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }

  /**
   * @param {Point} point
   * @returns {Point} in the window
   */
  toWindow([x, y]) {
    return [x * this.scale + this.x, y * this.scale + this.y];
  }

  /** @returns {number} the scale at which the whole picture is seen */
  get wholeScale() {
    return Math.min(this.width / this.imageWidth, this.height / this.imageHeight);
  }

  /**
   * @param {number} scale
   * @param {Point} center
   */
  look(scale, [x, y]) {
    this.scale = Math.min(LARGEST_SCALE, Math.max(scale, this.wholeScale * SMALLEST_SHARE));
    this.x = this.width / 2 - x * this.scale;
    this.y = this.height / 2 - y * this.scale;
    this.changed();
  }

  /** @param {Rect} rect */
  fit({ x0, y0, x1, y1 }) {
    const scale = Math.min(this.width / (x1 - x0), this.height / (y1 - y0)) * ROOM;
    this.look(Math.max(Math.min(scale, 10), this.wholeScale), [(x0 + x1) / 2, (y0 + y1) / 2]);
  }

  fitImage() {
    this.look(this.wholeScale, [this.imageWidth / 2, this.imageHeight / 2]);
  }

  /**
   * Zooms so that what is below a point stays there.
   * @param {number} factor
   * @param {number} x in the window
   * @param {number} y in the window
   */
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const [imageX, imageY] = this.toImage(x, y);
    const least = this.wholeScale * SMALLEST_SHARE;
    this.scale = Math.min(LARGEST_SCALE, Math.max(this.scale * factor, least));
    this.x = x - imageX * this.scale;
    this.y = y - imageY * this.scale;
    this.changed();
  }

  /**
   * @param {number} across
   * @param {number} down
   */
  pan(across, down) {
    this.x += across;
    this.y += down;
    this.changed();
  }

  changed() {
    this.moved();
    this.refresh();
  }

  /** @returns {Place} what is seen of the picture */
  get seen() {
    const [left, top] = this.toImage(0, 0);
    const [right, bottom] = this.toImage(this.width, this.height);
    const x = Math.max(0, left);
    const y = Math.max(0, top);
    return { x, y, width: Math.min(this.imageWidth, right) - x, height: Math.min(this.imageHeight, bottom) - y };
  }

  /** @returns {boolean} whether the preview is coarser than the window */
  get wantsPart() {
    if (!this.bitmap || this.bitmap.width >= this.imageWidth) return false;
    return this.scale * this.ratio > (this.bitmap.width / this.imageWidth) * 1.2;
  }

  /** @param {Mask | null} mask */
  show(mask) {
    this.mask = mask;
    this.layerRect = null;
    this.paint(null);
    this.trace();
  }

  /**
   * Paints a part of the mask anew.
   * @param {Rect | null} rect null for all of it
   */
  paint(rect) {
    const { mask } = this;
    this.refresh();
    if (!mask) return;
    const held = mask.rect;
    if (String(Object.values(held)) !== String(Object.values(this.layerRect ?? {}))) rect = this.moveLayer(held, rect);
    const { x0, y0, x1, y1 } = rect ?? held;
    const [left, top] = [Math.max(x0, held.x0), Math.max(y0, held.y0)];
    const [right, bottom] = [Math.min(x1, held.x1), Math.min(y1, held.y1)];
    if (left >= right || top >= bottom) return;
    const image = new ImageData(right - left, bottom - top);
    fillPixels(image, mask, left, top, COLORS[this.color].rgb, this.opacity);
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (this.layer.getContext("2d"));
    context.putImageData(image, left - held.x0, top - held.y0);
  }

  /**
   * Gives the layer the place of a mask that has grown; what was painted stays.
   * @param {Rect} held
   * @param {Rect | null} rect to be painted
   * @returns {Rect | null} what has to be painted now
   */
  moveLayer(held, rect) {
    const before = this.layerRect;
    const layer = new OffscreenCanvas(held.x1 - held.x0, held.y1 - held.y0);
    if (before) layer.getContext("2d")?.drawImage(this.layer, before.x0 - held.x0, before.y0 - held.y0);
    this.layer = layer;
    this.layerRect = held;
    return before ? rect : null;
  }

  /** Makes the outline of the mask anew. */
  trace() {
    const { mask } = this;
    this.outline = mask && new Path2D();
    if (!mask) return;
    const step = Math.max(1, Math.ceil(Math.sqrt((mask.width * mask.height) / OUTLINED_PIXELS)));
    const path = /** @type {Path2D} */ (this.outline);
    outline(mask, step, (x0, y0, x1, y1) => {
      path.moveTo(x0, y0);
      path.lineTo(x1, y1);
    });
    this.refresh();
  }

  /** Draws with the next frame. */
  refresh() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.draw();
    });
  }

  draw() {
    const { context, ratio, scale } = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = this.backdrop;
    context.fillRect(0, 0, this.width, this.height);
    context.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * this.x, ratio * this.y);
    context.imageSmoothingEnabled = scale * ratio < 2;
    if (this.bitmap) context.drawImage(this.bitmap, 0, 0, this.imageWidth, this.imageHeight);
    if (this.part) {
      const { x, y, width, height } = this.part.place;
      context.drawImage(this.part.bitmap, x, y, width, height);
    }
    if (!this.isPeeking) this.drawMask();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (!this.isPeeking) this.drawBoxes();
    this.drawTool(context);
  }

  drawMask() {
    const { context, mask, scale } = this;
    if (!mask || !this.showsMask) return;
    context.imageSmoothingEnabled = scale * this.ratio < 1;
    context.drawImage(this.layer, mask.x, mask.y);
    if (!this.outline) return;
    context.lineCap = "square";
    const rgb = COLORS[this.color].rgb.join();
    for (const [color, width] of /** @type {[string, number][]} */ ([["#000", 4], ["#fff", 2.5], [`rgb(${rgb})`, 1.3]])) {
      context.strokeStyle = color;
      context.lineWidth = width / scale;
      context.stroke(this.outline);
    }
  }

  drawBoxes() {
    const { context } = this;
    if (this.showsNeighbors) {
      context.setLineDash([3, 3]);
      for (const [color, offset] of /** @type {[string, number][]} */ ([["rgb(0 0 0 / 0.6)", 0], ["rgb(255 255 255 / 0.7)", 3]])) {
        context.strokeStyle = color;
        context.lineDashOffset = offset;
        context.lineWidth = 1;
        context.beginPath();
        for (const box of this.neighbors) this.addBox(box);
        context.stroke();
      }
    }
    context.setLineDash([]);
    if (this.box) strokeTwice(context, () => this.addBox(/** @type {number[]} */ (this.box)), [7, 5]);
  }

  /** @param {number[]} box */
  addBox([x, y, width, height]) {
    const [left, top] = this.toWindow([x, y]);
    const [right, bottom] = [left + width * this.scale, top + height * this.scale];
    if (right < 0 || bottom < 0 || left > this.width || top > this.height) return;
    this.context.rect(left, top, right - left, bottom - top);
  }
}

/**
 * Draws a line that is seen on any picture: white on black.
 * @param {CanvasRenderingContext2D} context
 * @param {() => void} path
 * @param {number[]} dashes of the white line
 */
export function strokeTwice(context, path, dashes = []) {
  context.beginPath();
  path();
  context.setLineDash([]);
  context.strokeStyle = "rgb(0 0 0 / 0.8)";
  context.lineWidth = 3;
  context.stroke();
  context.setLineDash(dashes);
  context.strokeStyle = "#fff";
  context.lineWidth = 1.5;
  context.stroke();
  context.setLineDash([]);
}

/**
 * Colors of the pixels of a part of the mask. What was added to the label file's mask has dots, what was removed stripes.
 * @param {ImageData} image
 * @param {Mask} mask
 * @param {number} left
 * @param {number} top
 * @param {number[]} rgb
 * @param {number} opacity 0..1
 */
function fillPixels(image, mask, left, top, rgb, opacity) {
  const alpha = Math.round(opacity * 255);
  const colors = new Uint32Array(image.data.buffer);
  const plain = packed(rgb, alpha);
  const [added, dot] = [packed(ADDED, alpha), packed([255, 255, 255], Math.min(255, alpha + 90))];
  const [removed, stripe] = [packed(REMOVED, 30), packed(REMOVED, Math.min(255, alpha + 110))];
  const { width, height } = image;
  for (let x = 0; x < width; x++) {
    let from = (x + left - mask.x) * mask.height + top - mask.y;
    for (let y = 0, to = x; y < height; y++, from++, to += width) {
      const now = mask.data[from];
      const before = mask.base[from];
      if (now & before) colors[to] = plain;
      else if (now) colors[to] = (x + left) % 4 || (y + top) % 4 ? added : dot;
      else if (before) colors[to] = (x + left + y + top) % 6 < 2 ? stripe : removed;
    }
  }
}

/**
 * @param {number[]} rgb
 * @param {number} alpha
 * @returns {number} as the pixels of ImageData lie in memory
 */
function packed([red, green, blue], alpha) {
  return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}
