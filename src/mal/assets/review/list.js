// The queue as a list: only the rows in sight are elements, so ten thousand cost what forty do.
import { element, made } from "./panel.js";
import { STATES } from "./store.js";

const ROW = 44; // pixels
const MORE = 6; // rows beyond those in sight

export class List {
  /**
   * @param {import("./store.js").Store} store
   * @param {(row: number) => void} choose
   */
  constructor(store, choose) {
    this.store = store;
    this.choose = choose;
    this.current = -1;
    this.list = element("list");
    this.room = element("list-room");
    this.list.addEventListener("scroll", () => this.draw());
    this.list.addEventListener("keydown", (event) => this.key(event));
    this.room.addEventListener("click", (event) => {
      const row = /** @type {HTMLElement} */ (event.target).closest(".row");
      if (row instanceof HTMLElement) choose(Number(row.dataset.row));
    });
    new ResizeObserver(() => this.draw()).observe(this.list);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.key === "Enter") {
      event.stopPropagation();
      element("canvas").focus();
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const row = this.store.next(this.current, step);
    if (row !== null) this.choose(row);
  }

  /**
   * Shows which row is under review.
   * @param {number} row
   */
  show(row) {
    this.current = row;
    const place = this.store.shown.indexOf(row) * ROW;
    const { scrollTop, clientHeight } = this.list;
    if (place >= 0 && (place < scrollTop || place + ROW > scrollTop + clientHeight)) {
      this.list.scrollTop = place - clientHeight / 3;
    }
    this.draw();
  }

  draw() {
    const { shown } = this.store;
    this.room.style.height = `${shown.length * ROW}px`;
    const first = Math.max(0, Math.floor(this.list.scrollTop / ROW) - MORE);
    const last = Math.min(shown.length, Math.ceil((this.list.scrollTop + this.list.clientHeight) / ROW) + MORE);
    const rows = [];
    for (let place = first; place < last; place++) rows.push(this.row(shown[place], place));
    this.room.replaceChildren(...rows);
    this.list.setAttribute("aria-activedescendant", `row-${this.current}`);
  }

  /**
   * @param {number} row
   * @param {number} place
   * @returns {HTMLElement}
   */
  row(row, place) {
    const facts = this.store.facts(row);
    const state = this.store.states[row];
    const result = made("div", "", `row ${state}`);
    result.id = `row-${row}`;
    result.dataset.row = String(row);
    result.style.top = `${place * ROW}px`;
    result.role = "option";
    result.ariaSelected = String(row === this.current);
    const sign = made("span", STATES[state].sign, "sign");
    sign.setAttribute("aria-label", STATES[state].word);
    sign.role = "img";
    result.append(
      sign,
      made("span", facts.className, "name"),
      made("span", facts.score === null ? "" : facts.score.toFixed(2), "score"),
      made("span", facts.fileName, "file"),
    );
    return result;
  }
}
