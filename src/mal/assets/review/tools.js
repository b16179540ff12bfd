// Tools by pointer, touch and keyboard: brush, eraser, polygons and boxes; and moving the picture.
import { unionOf } from "./editor.js";
import { nearestEdge } from "./snapping.js";
import { strokeTwice } from "./view.js";

/** @typedef {import("./mask.js").Point} Point */
/** @typedef {import("./rle.js").Rect} Rect */
/** @typedef {"none" | "brush" | "eraser" | "polygon" | "cut" | "box"} ToolName */

const SIZES = [1, 2, 3, 5, 8, 12, 18, 26, 38, 54, 76, 110, 160, 230, 330, 500];
const CLICK_DISTANCE = 5; // pixels of the window
const CLOSING_DISTANCE = 10;
const HINTS = /** @type {Record<ToolName, string>} */ ({
  none: "no tool: drag moves the picture",
  brush: "brush: drag; or arrows, and Space puts it down and lifts it",
  eraser: "eraser: drag; or arrows, and Space puts it down and lifts it",
  polygon: "polygon to add: click; or arrows and Space; Enter closes it",
  cut: "polygon to cut out: click; or arrows and Space; Enter closes it",
  box: "box: drag; or arrows, and Space at two corners",
});
const ARROWS = /** @type {Record<string, Point>} */ ({
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
});

export class Tools {
  /**
   * @param {import("./view.js").View} view
   * @param {import("./editor.js").Editor} editor
   * @param {{say: (text: string) => void, changed: () => void, boxed: (box: number[]) => void}} owner
   */
  constructor(view, editor, owner) {
    this.view = view;
    this.editor = editor;
    this.owner = owner;
    /** @type {ToolName} */
    this.name = "none";
    this.size = 4; // of SIZES
    this.snaps = false;
    this.isSpaceHeld = false;
    /** @type {Point | null} where the pointer or the crosshair is, in the picture */
    this.cursor = null;
    this.isCrosshair = false;
    this.isHovering = false;
    /** @type {Point[]} of a polygon, or the first corner of a box */
    this.points = [];
    /** @type {Map<number, Point>} pointers that are down, in the window */
    this.pointers = new Map();
    /** @type {{value: 0 | 1, last: Point, rect: Rect} | null} a stroke that is under way */
    this.stroke = null;
    this.isPanning = false;
    view.drawTool = (context) => this.draw(context);
    this.listen(view.canvas);
  }

  /** @returns {number} pixels of the picture */
  get radius() {
    return SIZES[this.size] / 2;
  }

  /** @param {ToolName} name */
  take(name) {
    this.drop();
    this.name = name === this.name ? "none" : name;
    this.isCrosshair = false;
    this.owner.say(HINTS[this.name]);
    this.owner.changed();
    this.view.refresh();
  }

  /** Begins anew, with another annotation; the tool stays. */
  reset() {
    this.drop();
    this.isCrosshair = false;
    if (!this.isHovering) this.cursor = null;
  }

  /** Gives up what is under way; whether there was anything. */
  drop() {
    const wasBusy = this.stroke !== null || this.points.length > 0;
    if (this.stroke) this.editor.cancel();
    this.stroke = null;
    this.points = [];
    this.view.refresh();
    return wasBusy;
  }

  /** @param {number} steps */
  resize(steps) {
    this.size = Math.max(0, Math.min(SIZES.length - 1, this.size + steps));
    this.owner.say(`brush of ${SIZES[this.size]} pixels`);
    this.view.refresh();
  }

  /**
   * @param {number} value
   * @param {Point} point
   */
  begin(value, point) {
    if (!this.editor.mask) return;
    this.editor.history.begin();
    this.view.outline = null;
    this.stroke = { value: value ? 1 : 0, last: point, rect: { x0: point[0], y0: point[1], x1: point[0], y1: point[1] } };
    this.extend(point);
  }

  /** @param {Point} point */
  extend(point) {
    const { stroke } = this;
    const { mask } = this.editor;
    if (!stroke || !mask) return;
    const rect = mask.line(stroke.last, point, this.radius, stroke.value);
    stroke.last = point;
    if (rect.x0 >= rect.x1) return;
    stroke.rect = stroke.rect.x0 === stroke.rect.x1 ? rect : unionOf(stroke.rect, rect);
    this.view.paint(rect);
  }

  end() {
    const { stroke } = this;
    if (!stroke) return;
    this.stroke = null;
    const { x0, y0, x1, y1 } = stroke.rect;
    const isOutside = x0 === x1;
    this.editor.finish(isOutside ? { x0: 0, y0: 0, x1: 0, y1: 0 } : { x0, y0, x1, y1 });
  }

  /**
   * A corner of the polygon or the box.
   * @param {Point} point
   */
  put(point) {
    if (this.name === "box") {
      this.points.push(point);
      if (this.points.length === 2) this.closeBox();
    } else {
      const first = this.points[0];
      if (this.points.length > 2 && this.distance(first, point) < CLOSING_DISTANCE) return this.closePolygon();
      this.points.push(this.snaps ? nearestEdge(this.view, point) : point);
      this.owner.say(`${this.points.length} points; Enter closes the polygon, Backspace takes one back`);
    }
    this.view.refresh();
  }

  closePolygon() {
    const { points } = this;
    if (points.length < 3) {
      this.owner.say(points.length ? "a polygon needs three points" : "no polygon to close: Space or a click puts a point");
      return;
    }
    this.points = [];
    this.editor.step((mask) => mask.polygon(points, this.name === "cut" ? 0 : 1));
    this.owner.say("Esc leaves the tool, then Enter accepts");
    this.view.refresh();
  }

  closeBox() {
    const [[x0, y0], [x1, y1]] = this.points;
    this.points = [];
    const { imageWidth, imageHeight } = this.view;
    const [left, right] = [x0, x1].map((x) => Math.max(0, Math.min(imageWidth, x))).sort((a, b) => a - b);
    const [top, bottom] = [y0, y1].map((y) => Math.max(0, Math.min(imageHeight, y))).sort((a, b) => a - b);
    if (right - left >= 1 && bottom - top >= 1) {
      this.take("none"); // so that Enter accepts what comes of it
      this.owner.boxed([left, top, right - left, bottom - top]);
    } else this.owner.say("that box has no extent: put two corners apart");
  }

  /**
   * @param {Point} one
   * @param {Point} other
   * @returns {number} in pixels of the window
   */
  distance(one, other) {
    return Math.hypot(one[0] - other[0], one[1] - other[1]) * this.view.scale;
  }

  /**
   * Keys that a tool takes before any command.
   * @param {KeyboardEvent} event
   * @returns {boolean} whether it was one
   */
  key(event) {
    if (this.name === "none" || event.ctrlKey || event.metaKey || event.altKey) return false;
    const isBrush = this.name === "brush" || this.name === "eraser";
    if (event.key in ARROWS) this.move(ARROWS[event.key], event.shiftKey ? 10 : 1);
    else if (event.key === " ") {
      if (this.isHovering && !this.isCrosshair) return false; // the mouse is there: Space held moves the picture
      this.press(isBrush, event.repeat);
    } else if (event.key === "Enter" && !isBrush) {
      if (this.name === "box") this.put(this.place());
      else this.closePolygon();
    } else if (event.key === "Backspace" && !isBrush) {
      this.points.pop();
      this.view.refresh();
    } else return false;
    return true;
  }

  /**
   * @param {boolean} isBrush
   * @param {boolean} isRepeated
   */
  press(isBrush, isRepeated) {
    if (isRepeated) return;
    const point = this.place();
    if (!isBrush) this.put(point);
    else if (this.stroke) this.end();
    else this.begin(this.name === "brush" ? 1 : 0, point);
    if (isBrush) this.owner.say(this.stroke ? "the brush is down: arrows draw, Space lifts it" : "the brush is up");
  }

  /** @returns {Point} where the crosshair is; at first at the pointer, or else in the middle of what is seen */
  place() {
    if (!this.cursor || (!this.isCrosshair && !this.isHovering)) {
      this.cursor = this.view.toImage(this.view.width / 2, this.view.height / 2);
    }
    this.isCrosshair = true;
    return this.cursor;
  }

  /**
   * @param {Point} direction
   * @param {number} times
   */
  move([across, down], times) {
    const [x, y] = this.place();
    const step = Math.max(1, Math.round(2 / this.view.scale)) * times;
    this.cursor = [
      Math.max(0, Math.min(this.view.imageWidth, x + across * step)),
      Math.max(0, Math.min(this.view.imageHeight, y + down * step)),
    ];
    if (this.stroke) this.extend(this.cursor);
    this.view.refresh();
  }

  /** @param {HTMLCanvasElement} canvas */
  listen(canvas) {
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    canvas.addEventListener("pointerup", (event) => this.up(event, true));
    canvas.addEventListener("pointercancel", (event) => this.up(event, false));
    canvas.addEventListener("pointerleave", () => {
      this.isHovering = false;
      if (!this.pointers.size && !this.isCrosshair) this.cursor = null;
      this.view.refresh();
    });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("dblclick", () => this.points.length > 2 && this.name !== "box" && this.closePolygon());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  /** @param {WheelEvent} event */
  wheel(event) {
    event.preventDefault();
    if (event.altKey) return this.resize(event.deltaY < 0 ? 1 : -1);
    const pixels = event.deltaY * (event.deltaMode === 1 ? 20 : 1);
    const limited = Math.max(-120, Math.min(120, pixels)); // a touchpad sends hundreds at once
    this.view.zoom(Math.exp(-limited / 300), event.offsetX, event.offsetY);
  }

  /** @param {PointerEvent} event */
  down(event) {
    this.view.canvas.focus({ preventScroll: true });
    this.view.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    this.isCrosshair = false;
    const point = this.view.toImage(event.offsetX, event.offsetY);
    this.cursor = point;
    if (this.pointers.size === 2) {
      if (this.stroke) this.drop(); // the second finger shows that the first one did not mean to draw
      this.isPanning = true;
      return;
    }
    this.isPanning = this.name === "none" || event.button === 1 || this.isSpaceHeld;
    if (this.isPanning) return;
    if (this.name === "brush" || this.name === "eraser") {
      const isOther = event.button === 2 || event.ctrlKey;
      this.begin(Number((this.name === "brush") !== isOther), point);
    } else if (this.name === "box" && !this.points.length) this.points = [point];
  }

  /** @param {PointerEvent} event */
  drag(event) {
    const before = this.pointers.get(event.pointerId);
    this.cursor = this.view.toImage(event.offsetX, event.offsetY);
    this.isCrosshair = false;
    this.isHovering = event.pointerType !== "touch";
    if (before && this.isPanning) this.panOrPinch(event, before);
    else if (this.stroke) {
      const events = event.getCoalescedEvents?.() ?? [];
      for (const each of events.length ? events : [event]) this.extend(this.view.toImage(each.offsetX, each.offsetY));
    }
    this.view.refresh();
  }

  /**
   * @param {PointerEvent} event
   * @param {Point} before
   */
  panOrPinch(event, before) {
    /** @type {Point} */
    const now = [event.offsetX, event.offsetY];
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    if (!other) return this.view.pan(now[0] - before[0], now[1] - before[1]);
    const [old, next] = [before, now].map(([x, y]) => Math.hypot(x - other[0], y - other[1]));
    this.view.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    if (old > 0) this.view.zoom(next / old, (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  }

  /**
   * @param {PointerEvent} event
   * @param {boolean} isWhole whether the pointer was lifted, and not taken away
   */
  up(event, isWhole) {
    const wasPanning = this.isPanning;
    this.pointers.delete(event.pointerId);
    if (!this.pointers.size) this.isPanning = false;
    if (wasPanning) return;
    if (!isWhole) return void this.drop();
    const point = this.view.toImage(event.offsetX, event.offsetY);
    if (this.stroke) this.end();
    else if (this.name === "polygon" || this.name === "cut") this.put(point);
    else if (this.name === "box" && this.distance(this.points[0] ?? point, point) > CLICK_DISTANCE) this.put(point);
  }

  /** @param {CanvasRenderingContext2D} context */
  draw(context) {
    const { view, cursor, points } = this;
    const shown = points.map((point) => view.toWindow(point));
    const end = cursor && view.toWindow(cursor);
    if (this.name === "box" && shown.length && end) {
      strokeTwice(context, () => context.rect(shown[0][0], shown[0][1], end[0] - shown[0][0], end[1] - shown[0][1]), [6, 4]);
    } else if (shown.length) {
      strokeTwice(context, () => [...shown, ...(end ? [end] : [])].forEach(([x, y]) => context.lineTo(x, y)));
      for (const [x, y] of shown) strokeTwice(context, () => context.rect(x - 2, y - 2, 4, 4));
    }
    if (!end || this.name === "none") return;
    const [x, y] = end;
    if (this.name === "brush" || this.name === "eraser") {
      strokeTwice(context, () => context.arc(x, y, Math.max(1.5, this.radius * view.scale), 0, 7), this.name === "eraser" ? [5, 4] : []);
    }
    if (this.isCrosshair || this.name === "box" || this.name === "polygon" || this.name === "cut") {
      strokeTwice(context, () => {
        for (const [across, down] of Object.values(ARROWS)) {
          context.moveTo(x + across * 4, y + down * 4);
          context.lineTo(x + across * 12, y + down * 12);
        }
      });
    }
  }
}
