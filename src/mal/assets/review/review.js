// The review itself: which annotation is shown, what is decided on it, and what others decide meanwhile.
import { Outbox, Refusal, ask, send } from "./api.js";
import { Editor } from "./editor.js";
import { List } from "./list.js";
import { element, say, showBanner, showButtons, showFacts, showNote } from "./panel.js";
import { Pictures, partAround } from "./pictures.js";
import { STATES } from "./store.js";
import { Tools } from "./tools.js";
import { View } from "./view.js";

/** @typedef {import("./store.js").State} State */
/** @typedef {import("./store.js").Change} Change */
/** @typedef {import("./api.js").Act} Act */
/** @typedef {import("./rle.js").Rle} Rle */

const MILLISECONDS_UNTIL_BLANK = 100;
const MILLISECONDS_TO_A_PART = 120;

export class Review {
  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.store = store;
    this.row = -1;
    this.turn = 0; // counts what is shown, so that late answers are not taken for the present
    this.problem = "";
    /** @type {number[]} rows that were decided here, the last one last */
    this.decidedRows = [];
    this.partTimer = 0;
    this.view = new View(/** @type {HTMLCanvasElement} */ (element("canvas")));
    this.pictures = new Pictures();
    this.editor = new Editor(this.view, (state, segmentation, bbox) => this.save(state, segmentation, bbox));
    this.editor.changed = () => this.showState();
    this.tools = new Tools(this.view, this.editor, {
      say,
      changed: () => this.showState(),
      boxed: (box) => void this.redraw(box),
    });
    this.list = new List(store, (row) => void this.goTo(row));
    this.outbox = new Outbox({
      body: (act) => this.body(act),
      confirmed: (act, change) => this.confirmed(act, change),
      refused: (act, refusal) => this.refused(act, refusal),
      waits: (problem, isFinal) => this.waits(problem, isFinal),
      counted: () => this.showState(),
    });
    this.view.moved = () => this.wantPart();
  }

  /** @returns {string} */
  get reviewer() {
    const typed = /** @type {HTMLInputElement} */ (element("reviewer")).value.trim();
    return typed || this.store.overview.reviewer;
  }

  /**
   * Shows an annotation.
   * @param {number} row
   */
  async goTo(row) {
    performance.mark("mal-go");
    const turn = ++this.turn;
    const isSameImage = this.row >= 0 && this.store.columns.image[row] === this.store.columns.image[this.row];
    const facts = this.store.facts(row);
    this.tools.reset();
    this.editor.open(row, facts);
    this.row = row;
    if (!isSameImage) this.view.part = null;
    const rows = this.store.rowsOfImage.get(facts.image) ?? [];
    this.view.neighbors = rows.filter((other) => other !== row).flatMap((other) => [this.store.columns.box[other] ?? []]).filter((box) => box.length);
    const blank = setTimeout(() => this.blank(turn, isSameImage), MILLISECONDS_UNTIL_BLANK);
    const asked = [this.pictures.preview(facts.imageRow), this.pictures.mask(facts.at)];
    this.list.show(row);
    const [picture, mask] = await Promise.allSettled(asked);
    clearTimeout(blank);
    if (turn !== this.turn) return;
    const bitmap = picture.status === "fulfilled" ? /** @type {ImageBitmap} */ (picture.value) : null;
    this.pictures.inUse = this.view.bitmap = bitmap;
    this.view.imageWidth = facts.width || bitmap?.width || 1;
    this.view.imageHeight = facts.height || bitmap?.height || 1;
    const problems = [picture, mask].flatMap((each) => (each.status === "rejected" ? [String(each.reason.message)] : []));
    if (mask.status === "fulfilled") {
      const answer = /** @type {import("./api.js").MaskAnswer} */ (mask.value);
      this.store.take(answer);
      this.store.seen[row] = answer.version;
      this.editor.load(answer);
      if (answer.problem) problems.push(answer.problem);
    }
    showNote(problems.join(" — "));
    const shown = this.editor.answer;
    this.view.fit(this.editor.around(shown?.drawn ?? shown?.original ?? null));
    this.showState();
    this.ahead();
    this.measure();
  }

  /**
   * @param {number} turn
   * @param {boolean} isSameImage
   */
  blank(turn, isSameImage) {
    if (turn !== this.turn) return;
    if (!isSameImage) this.view.bitmap = null;
    showNote("loading ...");
    this.showState();
    this.view.refresh();
  }

  /** Fetches the next three and the one before. */
  ahead() {
    const soon = [];
    let row = /** @type {number | null} */ (this.row);
    for (let step = 0; step < 3 && row !== null; step++) {
      row = this.store.next(row, 1);
      if (row !== null) soon.push(row);
    }
    const before = this.store.next(this.row, -1);
    if (before !== null) soon.push(before);
    this.pictures.ahead(soon.map((each) => this.store.facts(each)));
  }

  /** Notes how long it took until the annotation was drawn, for benchmarks. */
  measure() {
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        performance.clearMeasures("mal-shown");
        performance.measure("mal-shown", "mal-go");
      }),
    );
  }

  /** Fetches native pixels for what is seen, once it has been still for a moment. */
  wantPart() {
    clearTimeout(this.partTimer);
    if (!this.view.wantsPart) return;
    this.partTimer = setTimeout(async () => {
      const turn = this.turn;
      const place = partAround(this.view.seen, this.view.imageWidth, this.view.imageHeight);
      if (!place || this.row < 0) return;
      const part = await this.pictures.part(this.store.facts(this.row).imageRow, place).catch(() => null);
      if (!part || turn !== this.turn) return part?.bitmap.close();
      this.view.part?.bitmap.close();
      this.view.part = part;
      this.view.refresh();
    }, MILLISECONDS_TO_A_PART);
  }

  /**
   * Goes a step through the queue.
   * @param {number} step
   * @param {boolean} onlyOpen
   */
  move(step, onlyOpen = false) {
    const row = this.store.next(this.row, step, onlyOpen);
    if (row !== null) return void this.goTo(row);
    if (onlyOpen) return say("nothing is undecided any more: Ctrl+E exports");
    say(step > 0 ? "the end of the queue: N finds what is undecided, Ctrl+E exports" : "the beginning of the queue");
  }

  /** Accepts the mask as it is shown. */
  accept() {
    const { mask, answer } = this.editor;
    if (!this.isReady()) return;
    if (mask && this.editor.isDrawn) {
      if (!mask.area) return say("the mask is empty: draw it, or reject it with X");
      this.decide("edited", mask.rle(), this.editor.history.box);
    } else if (!answer?.original) say("there is no mask to accept: draw one (B), redraw the box (R), or reject (X)");
    else this.decide("accepted");
  }

  /**
   * Decides, and goes on.
   * @param {State} state
   * @param {Rle} [segmentation]
   * @param {number[] | null} [bbox]
   */
  decide(state, segmentation, bbox) {
    if (!this.isReady()) return;
    this.tools.drop();
    this.editor.dropDraft();
    this.save(state, segmentation, bbox);
    this.decidedRows.push(this.row);
    say(`${STATES[state].sign} ${STATES[state].word}`);
    this.move(1);
  }

  /** @returns {boolean} whether there is a mask to decide on, and a file that takes decisions */
  isReady() {
    if (this.problem) say("nothing can be decided now: see above");
    else if (!this.editor.answer) say("still loading");
    return !this.problem && this.editor.answer !== null;
  }

  /** Takes back what was decided on this mask. */
  takeBack() {
    if (!this.isReady()) return;
    if (this.store.states[this.row] === "undecided" && !this.editor.isDrawn) return say("nothing is decided on this mask");
    this.editor.dropDraft();
    if (this.editor.isDrawn && this.editor.mask) this.save("draft", this.editor.mask.rle(), this.editor.history.box);
    else this.save("undecided");
    say("taken back: undecided");
  }

  /** Goes back to the last mask that was decided here, and takes the decision back. */
  async goBack() {
    const row = this.decidedRows.pop();
    if (row === undefined) return say("nothing was decided here yet");
    await this.goTo(row);
    this.takeBack();
  }

  /**
   * Hands what is decided on the annotation shown to the outbox.
   * @param {State} state
   * @param {Rle} [segmentation]
   * @param {number[] | null} [bbox]
   */
  save(state, segmentation, bbox) {
    const { row, facts } = this.editor;
    if (facts) this.outbox.add({ row, at: facts.at, state, segmentation, bbox });
  }

  /** @param {Act} act */
  body({ row, at, state, segmentation, bbox, operation }) {
    const drawn = segmentation ? { segmentation, bbox: bbox ?? null } : {};
    return { at, state, operation, base: this.store.seen[row], by: this.reviewer, ...drawn };
  }

  /**
   * @param {Act} act
   * @param {Change} change
   */
  confirmed({ row, at, state }, change) {
    this.store.take(change);
    this.store.seen[row] = change.version;
    this.pictures.masks.forget(at);
    if (state !== "draft") element("live").textContent = `${state}, ${this.store.decided} of ${this.store.total}`;
    this.list.draw();
    this.showState();
  }

  /**
   * @param {Act} act
   * @param {Refusal} refusal
   */
  refused(act, refusal) {
    const { row, at } = act;
    this.pictures.masks.forget(at);
    const look = { label: "Look at it", act: () => void this.goTo(row) };
    const keep = { label: "Keep mine", act: () => void this.keepMine(act) };
    const isStale = refusal.kind === "stale";
    showBanner(`Mask ${at}: ${refusal.message}`, isStale ? [look, keep] : [look]);
    this.showState();
  }

  /**
   * Decides again, over what somebody else has decided meanwhile, since the person says so.
   * @param {Act} act
   */
  async keepMine(act) {
    const answer = await this.pictures.mask(act.at);
    this.store.take(answer);
    this.store.seen[act.row] = answer.version;
    this.outbox.add(act);
    say("yours is kept");
  }

  /**
   * @param {string | null} problem
   * @param {boolean} isFinal whether deciding makes no sense until it is over
   */
  waits(problem, isFinal) {
    this.problem = isFinal && problem ? problem : "";
    if (!problem) return showBanner("");
    const count = this.outbox.acts.length;
    const wait = `${count} ${count === 1 ? "decision waits" : "decisions wait"}: keep this page open.`;
    showBanner(`Not saved: ${problem}. ${isFinal ? "" : wait}`, [{ label: "Try again", act: () => this.outbox.retry() }]);
    this.showState();
  }

  /** Asks what was decided in other tabs and by others. */
  async poll() {
    const news = await ask(`/api/changes?since=${this.store.number}`).catch(() => null);
    if (!news) return;
    if (news.problem && !this.problem) showBanner(news.problem);
    if (!news.problem && this.problem) showBanner("");
    this.problem = news.problem ?? "";
    const rows = this.store.apply(news).filter((row) => !this.outbox.isWaiting(row) && this.store.versions[row] > this.store.seen[row]);
    for (const row of rows) this.pictures.masks.forget(this.store.columns.at[row]);
    if (rows.includes(this.row)) this.wasDecidedElsewhere();
    if (rows.length) this.list.draw();
    this.showState();
  }

  wasDecidedElsewhere() {
    const text = `${this.store.reviewers[this.row]} has just decided on this mask: ${STATES[this.store.states[this.row]].word}`;
    const isBusy = this.tools.stroke !== null || this.editor.timer > 0;
    if (isBusy) return showBanner(text, [{ label: "Look at it", act: () => void this.goTo(this.row) }]);
    say(text);
    void this.goTo(this.row);
  }

  /**
   * Has the model make a mask of a box.
   * @param {number[]} box
   */
  async redraw(box) {
    const { turn } = this;
    say("the model draws; the first time it is loaded ...");
    try {
      const found = await send("/api/redraw", { at: this.editor.facts?.at, bbox: box });
      if (turn !== this.turn) return;
      if (!found.segmentation) return say(`no mask: ${found.reason}`);
      this.editor.replace(found.segmentation, box);
      say(found.score === null ? "a new mask" : `a new mask, score ${found.score.toFixed(2)}; Enter accepts it`);
    } catch (error) {
      showBanner(error instanceof Error ? error.message : String(error), [{ label: "Close", act: () => {} }]);
    }
  }

  /** Shows all that depends on states. */
  showState() {
    const { store, tools, editor } = this;
    const waiting = this.outbox.acts.length;
    const saved = element("saved");
    saved.textContent = this.outbox.hasProblem ? "NOT saved" : waiting ? `saving ${waiting} ...` : "saved";
    saved.classList.toggle("waiting", this.outbox.hasProblem);
    element("count").textContent = `${store.decided.toLocaleString("en")} of ${store.total.toLocaleString("en")}`;
    const bar = /** @type {HTMLProgressElement} */ (element("bar"));
    bar.max = store.total;
    bar.value = store.decided;
    element("canvas").classList.toggle("drawing", tools.name !== "none");
    const { done, undone } = editor.history;
    showButtons(
      { ...Object.fromEntries(["brush", "eraser", "polygon", "cut", "box"].map((name) => [name, name === tools.name])), snap: tools.snaps, masks: this.view.showsMask },
      { undo: !done.length, redo: !undone.length, original: !editor.isDrawn },
    );
    if (this.row < 0) return;
    const place = store.shown.indexOf(this.row) + 1;
    const where = place ? `${place.toLocaleString("en")} of ${store.shown.length.toLocaleString("en")}` : "not in this list";
    const state = store.states[this.row];
    showFacts(store.facts(this.row), state, store.reviewers[this.row], where, this.outbox.isWaiting(this.row));
  }
}
