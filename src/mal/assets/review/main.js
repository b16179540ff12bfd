// Starts the page: fetches the queue, and joins keys, buttons and dialogs to the review.
import { ask, send } from "./api.js";
import { commandOf } from "./commands.js";
import { element, makeButtons, makeHelp, say, showBanner, showNote } from "./panel.js";
import { Review } from "./review.js";
import { Store } from "./store.js";
import { COLORS } from "./view.js";

const MILLISECONDS_BETWEEN_POLLS = 2000;
const THEME = "mal-review-theme";
const REVIEWER = "mal-review-reviewer";

/** @type {Review} */
let review;

/** @type {Record<string, () => void>} */
const acts = {
  accept: () => review.accept(),
  reject: () => review.decide("rejected"),
  skip: () => review.decide("skipped"),
  takeBack: () => review.takeBack(),
  goBack: () => void review.goBack(),
  next: () => review.move(1),
  previous: () => review.move(-1),
  nextOpen: () => review.move(1, true),
  previousOpen: () => review.move(-1, true),
  queue: toggleQueue,
  brush: () => review.tools.take("brush"),
  eraser: () => review.tools.take("eraser"),
  polygon: () => review.tools.take("polygon"),
  cut: () => review.tools.take("cut"),
  box: () => review.tools.take("box"),
  smaller: () => review.tools.resize(-1),
  larger: () => review.tools.resize(1),
  snap: () => {
    review.tools.snaps = !review.tools.snaps;
    say(review.tools.snaps ? "polygon points snap to edges" : "polygon points stay where you put them");
    review.showState();
  },
  undo: () => review.editor.undo() || say("no stroke on this mask to undo; Z takes the last decision back"),
  redo: () => review.editor.redo() || say("nothing to do again"),
  original: () => review.editor.isDrawn && review.editor.replace(review.editor.answer?.original ?? null, null),
  leave: () => review.tools.drop() || (review.tools.name !== "none" && review.tools.take("none")),
  zoomIn: () => review.view.zoom(1.25),
  zoomOut: () => review.view.zoom(0.8),
  fitMask: () => review.editor.facts && review.view.fit(review.editor.around(review.editor.mask?.rle() ?? null)),
  actual: () => review.view.zoom(1 / review.view.scale / review.view.ratio),
  fitImage: () => review.view.fitImage(),
  peek: () => peek(true),
  masks: () => {
    review.view.showsMask = !review.view.showsMask;
    redrawView();
  },
  neighbors: () => {
    review.view.showsNeighbors = !review.view.showsNeighbors;
    redrawView();
  },
  denser: () => setOpacity(0.1),
  thinner: () => setOpacity(-0.1),
  color: () => {
    review.view.color = (review.view.color + 1) % COLORS.length;
    say(`the mask is ${COLORS[review.view.color].name}`);
    redrawView();
  },
  theme: toggleTheme,
  export: () => showDialog("export-dialog"),
  help: () => showDialog("help"),
};

function redrawView() {
  review.view.paint(null);
  review.showState();
}

/** @param {number} step */
function setOpacity(step) {
  review.view.opacity = Math.max(0, Math.min(0.9, review.view.opacity + step));
  say(`the mask covers ${Math.round(review.view.opacity * 100)} %`);
  redrawView();
}

/** @param {boolean} isPeeking */
function peek(isPeeking) {
  review.view.isPeeking = isPeeking;
  review.view.refresh();
}

/** @param {string} id */
function showDialog(id) {
  const dialog = /** @type {HTMLDialogElement} */ (element(id));
  if (!dialog.open) dialog.showModal();
}

function toggleQueue() {
  const isOpen = element("queue").classList.toggle("open");
  const isInList = document.activeElement === element("list");
  const isNarrow = matchMedia("(max-width: 899px)").matches;
  element(isNarrow ? (isOpen ? "list" : "canvas") : isInList ? "canvas" : "list").focus();
}

function toggleTheme() {
  const isDark = getComputedStyle(document.documentElement).colorScheme === "dark" || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  setTheme(isDark ? "light" : "dark");
  localStorage.setItem(THEME, isDark ? "light" : "dark");
}

/** @param {string | null} theme */
function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  review.view.backdrop = getComputedStyle(element("stage")).backgroundColor;
  review.view.refresh();
}

/** @param {KeyboardEvent} event */
function keyDown(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  if (document.querySelector("dialog[open]") || target.matches("input, select, textarea")) return;
  if (target.matches("button") && (event.key === "Enter" || event.key === " ")) return;
  const command = commandOf(event);
  const isPlain = !event.ctrlKey && !event.metaKey && event.key !== "Escape";
  if (isPlain && !(/** @type {HTMLInputElement} */ (element("single-keys")).checked)) return;
  if (review.tools.key(event)) event.preventDefault();
  else if (event.key === " ") {
    review.tools.isSpaceHeld = true;
    event.preventDefault();
  } else if (command && !(event.repeat && ["Decide", "Draw"].includes(command.group))) {
    event.preventDefault();
    acts[command.id]();
  }
}

/** @param {KeyboardEvent} event */
function keyUp(event) {
  if (event.key === " ") review.tools.isSpaceHeld = false;
  if (event.key.toLowerCase() === "h") peek(false);
}

/** Saves what is drawn, but for half a stroke. */
function leavePage() {
  review.tools.drop();
  review.editor.saveDraft();
  review.outbox.leave();
}

async function exportNow() {
  const result = element("export-result");
  result.textContent = "writing ...";
  try {
    const format = /** @type {HTMLSelectElement} */ (element("export-format")).value;
    const { lines } = await send("/api/export", { format });
    result.textContent = `Written: ${lines.join("; ")}`;
  } catch (error) {
    result.textContent = error instanceof Error ? error.message : String(error);
  }
}

function wireFilters() {
  const stateFilter = /** @type {HTMLSelectElement} */ (element("state-filter"));
  const classFilter = /** @type {HTMLSelectElement} */ (element("class-filter"));
  for (const name of [...review.store.columns.classes].sort()) classFilter.add(new Option(name, name));
  for (const filter of [stateFilter, classFilter]) {
    filter.addEventListener("change", () => {
      review.store.filter(stateFilter.value, classFilter.value);
      const [first] = review.store.shown;
      if (first === undefined) say("none is left by this filter");
      else if (!review.store.shown.includes(review.row)) void review.goTo(first);
      review.list.show(review.row);
      review.showState();
    });
  }
}

function wirePage() {
  makeButtons((id) => acts[id]());
  makeHelp();
  wireFilters();
  const { overview } = review.store;
  element("file").textContent = overview.file;
  document.title = `Review of ${overview.file}`;
  const reviewer = /** @type {HTMLInputElement} */ (element("reviewer"));
  reviewer.placeholder = overview.reviewer;
  reviewer.value = localStorage.getItem(REVIEWER) ?? "";
  reviewer.addEventListener("change", () => localStorage.setItem(REVIEWER, reviewer.value.trim()));
  element("export-now").addEventListener("click", () => void exportNow());
  document.addEventListener("keydown", keyDown);
  document.addEventListener("keyup", keyUp);
  addEventListener("blur", () => peek(false));
  new ResizeObserver(() => review.view.resize()).observe(element("canvas"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme(null));
  addEventListener("pagehide", leavePage);
  document.addEventListener("visibilitychange", () => document.hidden && review.editor.saveDraft());
  addEventListener("beforeunload", (event) => {
    if (review.outbox.hasProblem) event.preventDefault();
  });
  setTheme(localStorage.getItem(THEME));
}

async function start() {
  try {
    review = new Review(new Store(await ask("/api/queue")));
  } catch (error) {
    return showNote(`The review cannot start: ${error instanceof Error ? error.message : error}`);
  }
  wirePage();
  review.view.resize();
  const first = review.store.columns.at.findIndex((_, row) => review.store.isOpen(row));
  if (review.store.overview.problem) showBanner(review.store.overview.problem);
  await review.goTo(Math.max(0, first));
  element("canvas").focus();
  setInterval(() => void review.poll(), MILLISECONDS_BETWEEN_POLLS);
  if (new URLSearchParams(location.search).has("test")) Object.assign(window, { mal: review });
}

void start();
