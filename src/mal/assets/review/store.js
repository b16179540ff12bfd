// What the page knows of all annotations: the queue as columns, and what was decided on each.

/** @typedef {"undecided" | "draft" | "skipped" | "accepted" | "edited" | "rejected"} State */
/** @typedef {{at: number, version: number, state: State, by: string | null, number: number}} Change */
/**
 * @typedef {{
 *   at: number[], id: (number | string | null)[], image: number[], class: number[], score: (number | null)[],
 *   box: (number[] | null)[], doubts: Record<string, string>, classes: string[],
 *   images: {row: number[], name: string[], width: number[], height: number[]},
 * }} Columns
 */
/**
 * @typedef {{
 *   file: string, journal: string, reviewer: string, has_model: boolean, left_out: number, queue: Columns,
 *   number: number, changes: Change[], problem: string | null,
 * }} Overview
 */

/** @type {Record<State, {sign: string, word: string}>} */
export const STATES = {
  undecided: { sign: "○", word: "undecided" },
  draft: { sign: "✎", word: "draft" },
  skipped: { sign: "–", word: "skipped" },
  accepted: { sign: "✓", word: "accepted" },
  edited: { sign: "✓", word: "edited" },
  rejected: { sign: "✗", word: "rejected" },
};
const OPEN = new Set(["undecided", "draft"]);

export class Store {
  /** @param {Overview} overview */
  constructor(overview) {
    this.overview = overview;
    this.columns = overview.queue;
    const total = this.columns.at.length;
    /** @type {State[]} by row */
    this.states = new Array(total).fill("undecided");
    /** @type {(string | null)[]} by row */
    this.reviewers = new Array(total).fill(null);
    /** Versions that the server has, by row. */
    this.versions = new Int32Array(total);
    /** Versions that this tab has shown or made, by row: a decision is about one of these. */
    this.seen = new Int32Array(total);
    this.rowOf = new Map(this.columns.at.map((at, row) => [at, row]));
    /** @type {Map<number, number[]>} rows of each image */
    this.rowsOfImage = new Map();
    this.columns.image.forEach((image, row) => {
      const rows = this.rowsOfImage.get(image) ?? [];
      rows.push(row);
      this.rowsOfImage.set(image, rows);
    });
    this.number = 0;
    /** Rows that the filter leaves, in order. */
    this.shown = this.columns.at.map((_, row) => row);
    this.apply(overview);
  }

  get total() {
    return this.columns.at.length;
  }

  /**
   * Takes changes in.
   * @param {{number: number, changes: Change[]}} news
   * @returns {number[]} the rows that have changed
   */
  apply({ number, changes }) {
    this.number = Math.max(this.number, number);
    return changes.flatMap((change) => this.take(change) ?? []);
  }

  /**
   * Takes one change in, unless it is known already.
   * @param {Change} change
   * @returns {number | null} its row
   */
  take({ at, version, state, by }) {
    const row = this.rowOf.get(at);
    if (row === undefined || version <= this.versions[row]) return null;
    this.versions[row] = version;
    this.states[row] = state;
    this.reviewers[row] = by;
    return row;
  }

  /** @param {number} row */
  isOpen(row) {
    return OPEN.has(this.states[row]);
  }

  /** @returns {number} how many have a decision, or were skipped */
  get decided() {
    return this.states.reduce((sum, state) => sum + (OPEN.has(state) ? 0 : 1), 0);
  }

  /**
   * Chooses which rows are shown.
   * @param {string} state "all", "open" or a state
   * @param {string} name of a class; empty for all
   */
  filter(state, name) {
    const wanted = this.columns.classes.indexOf(name);
    this.shown = this.columns.at.map((_, row) => row).filter((row) => {
      const fits = state === "all" || (state === "open" ? this.isOpen(row) : this.states[row] === state);
      return fits && (wanted < 0 || this.columns.class[row] === wanted);
    });
  }

  /**
   * The row that is a number of steps further among those shown.
   * @param {number} row
   * @param {number} step 1 or -1
   * @param {boolean} onlyOpen whether decided ones are passed over
   * @returns {number | null} null at the end
   */
  next(row, step, onlyOpen = false) {
    let place = this.shown.indexOf(row);
    if (place < 0) place = this.shown.findIndex((other) => other > row) - (step > 0 ? 1 : 0);
    if (onlyOpen) return this.nextOpen(place, step);
    return this.shown[place + step] ?? null;
  }

  /**
   * The next row without a decision, from the other end where there is none further on.
   * @param {number} from place in the rows shown
   * @param {number} step
   * @returns {number | null} null where all are decided
   */
  nextOpen(from, step) {
    const count = this.shown.length;
    for (let distance = 1; distance <= count; distance++) {
      const row = this.shown[(((from + step * distance) % count) + count) % count];
      if (this.isOpen(row)) return row;
    }
    return null;
  }

  /** @param {number} row */
  facts(row) {
    const { columns } = this;
    const image = columns.image[row];
    return {
      at: columns.at[row],
      id: columns.id[row],
      className: columns.classes[columns.class[row]],
      score: columns.score[row],
      box: columns.box[row],
      doubt: columns.doubts[String(columns.at[row])] ?? null,
      image,
      imageRow: columns.images.row[image],
      fileName: columns.images.name[image],
      width: columns.images.width[image],
      height: columns.images.height[image],
    };
  }
}
