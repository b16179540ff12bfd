// The annotation under review: its mask as it is drawn, its box, and what is decided on it.
import { History } from "./history.js";
import { Mask } from "./mask.js";
import { extentOf } from "./rle.js";

/** @typedef {import("./rle.js").Rle} Rle */
/** @typedef {import("./rle.js").Rect} Rect */
/** @typedef {import("./api.js").MaskAnswer} MaskAnswer */
/** @typedef {import("./store.js").State} State */
/** @typedef {ReturnType<import("./store.js").Store["facts"]>} Facts */

const MILLISECONDS_TO_A_DRAFT = 400;

export class Editor {
  /**
   * @param {import("./view.js").View} view
   * @param {(state: State, segmentation?: Rle, bbox?: number[] | null) => void} save
   */
  constructor(view, save) {
    this.view = view;
    this.save = save;
    this.row = -1;
    /** @type {Facts | null} */
    this.facts = null;
    /** @type {MaskAnswer | null} */
    this.answer = null;
    /** @type {Mask | null} */
    this.mask = null;
    this.history = new History(new Mask(1, 1, { x0: 0, y0: 0, x1: 1, y1: 1 }));
    this.timer = 0;
    /** @type {() => void} */
    this.changed = () => {};
  }

  /**
   * Takes up an annotation, before its mask is there.
   * @param {number} row
   * @param {Facts} facts
   */
  open(row, facts) {
    this.saveDraft();
    Object.assign(this, { row, facts, answer: null, mask: null });
    this.view.box = facts.box;
    this.view.show(null);
  }

  /**
   * Takes its mask up.
   * @param {MaskAnswer} answer
   */
  load(answer) {
    const facts = /** @type {Facts} */ (this.facts);
    this.answer = answer;
    if (facts.width > 0) {
      const shown = answer.drawn ?? answer.original;
      this.mask = new Mask(facts.width, facts.height, this.around(shown));
      this.mask.add(shown);
      this.mask.add(answer.original, "base");
      this.history = new History(this.mask);
      this.history.box = answer.bbox;
    }
    this.view.box = this.box;
    this.view.show(this.mask);
  }

  /** @returns {number[] | null} x, y, width, height */
  get box() {
    return this.history.box ?? this.facts?.box ?? null;
  }

  /**
   * What to look at: the mask, or else its box.
   * @param {Rle | null} rle
   * @returns {Rect}
   */
  around(rle) {
    const facts = /** @type {Facts} */ (this.facts);
    const extent = rle && extentOf(rle);
    if (!facts.box) return extent ?? { x0: 0, y0: 0, x1: facts.width || 1, y1: facts.height || 1 };
    const [x, y, width, height] = facts.box;
    const box = { x0: x, y0: y, x1: x + width, y1: y + height };
    if (!extent) return box;
    return {
      x0: Math.min(extent.x0, box.x0),
      y0: Math.min(extent.y0, box.y0),
      x1: Math.max(extent.x1, box.x1),
      y1: Math.max(extent.y1, box.y1),
    };
  }

  /** @returns {boolean} whether there is a mask of the person's own */
  get isDrawn() {
    return this.mask !== null && (this.mask.isChanged || this.history.box !== null);
  }

  /**
   * Changes the mask as one step that can be undone.
   * @param {(mask: Mask) => Rect} change
   * @param {number[] | null} box after the change
   */
  step(change, box = this.history.box) {
    if (!this.mask) return;
    this.history.begin();
    this.finish(change(this.mask), box);
  }

  /**
   * Ends a step that `history.begin()` began.
   * @param {Rect} rect
   * @param {number[] | null} box
   */
  finish(rect, box = this.history.box) {
    if (this.history.commit(rect, box)) this.wasChanged(rect);
    else this.view.trace();
  }

  /** Gives up the step that is under way. */
  cancel() {
    this.history.cancel();
    this.view.paint(null);
    this.view.trace();
  }

  /**
   * Replaces the whole mask.
   * @param {Rle | null} rle
   * @param {number[] | null} box
   */
  replace(rle, box) {
    this.step((mask) => {
      const before = mask.rect;
      mask.clear();
      mask.add(rle);
      return unionOf(before, mask.rect);
    }, box);
  }

  /** @returns {boolean} whether there was anything to undo */
  undo() {
    const rect = this.history.undo();
    if (rect) this.wasChanged(rect);
    return rect !== null;
  }

  /** @returns {boolean} whether there was anything to do again */
  redo() {
    const rect = this.history.redo();
    if (rect) this.wasChanged(rect);
    return rect !== null;
  }

  /** @param {Rect} rect */
  wasChanged(rect) {
    this.view.box = this.box;
    this.view.paint(rect);
    this.view.trace();
    this.saveSoon();
    this.changed();
  }

  /** Saves a draft in a moment; half a stroke waits for its end. */
  saveSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.history.start ? this.saveSoon() : this.saveDraft()), MILLISECONDS_TO_A_DRAFT);
  }

  /** Saves what is drawn but not decided, so that neither a crash nor a closed window loses it. */
  saveDraft() {
    if (!this.timer) return;
    clearTimeout(this.timer);
    this.timer = 0;
    if (!this.mask) return;
    if (this.isDrawn) this.save("draft", this.mask.rle(), this.history.box);
    else this.save("undecided");
  }

  /** Drops the draft that would be saved soon: a decision takes its place. */
  dropDraft() {
    clearTimeout(this.timer);
    this.timer = 0;
  }
}

/**
 * @param {Rect} one
 * @param {Rect} other
 * @returns {Rect}
 */
export function unionOf(one, other) {
  return {
    x0: Math.min(one.x0, other.x0),
    y0: Math.min(one.y0, other.y0),
    x1: Math.max(one.x1, other.x1),
    y1: Math.max(one.y1, other.y1),
  };
}
