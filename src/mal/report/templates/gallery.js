"use strict";
// Galleries of cards; a card is drawn when it comes into view.
const TITLES = { worst: data.lead === "iou" ? "Worst" : "Lowest scores", doubtful: "Marked doubtful", random: "Random",
  best: data.lead === "iou" ? "Best" : "Highest scores", disagreement: "Networks disagree", overconfident: "Overconfident", all: "All pictures" };
const ABOUT = {
  worst: "lowest first; half of them are the lowest of each class",
  doubtful: "marked in the label file, lowest first",
  random: "drawn by chance: what an ordinary mask looks like",
  best: "highest first",
  disagreement: "student and teacher drew different masks; least overlap first",
  overconfident: "the score promises more than the mask holds; largest gap first",
  all: "every picture in this file",
};
const galleries = { ...data.galleries, all: Object.keys(data.pictures).map(Number) };
let gallery = Object.keys(galleries)[0];
let layer = LAYERS[0][0];
let shown = [];
let current = 0;

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    target.dataset.seen = isIntersecting ? "yes" : "";
    if (isIntersecting) drawCard(target);
  }
}, { rootMargin: "300px" });

const cardOf = (index) => byId("cards").children[index]?.firstElementChild;

function drawCard(card) {
  const canvas = card.querySelector("canvas");
  if (canvas.dataset.drawn !== `${card.dataset.row} ${layer}`) drawPicture(canvas, Number(card.dataset.row), layer);
}

function makeGallery() {
  byId("tabs").append(...Object.entries(galleries).map(([name, list]) =>
    element("button", { type: "button", value: name }, TITLES[name], element("small", {}, ` ${list.length}`))));
  byId("tabs").addEventListener("click", (event) => event.target.closest("button") && setGallery(event.target.closest("button").value));
  byId("layers").append(...LAYERS.map(([value, text]) => element("button", { type: "button", value }, text)));
  byId("layers").addEventListener("click", (event) => event.target.value && setLayer(event.target.value));
  const orders = [["", "as in the gallery"], ...measureNames.flatMap((name) =>
    [[`${name} up`, `${data.measures[name]}, lowest first`], [`${name} down`, `${data.measures[name]}, highest first`]]),
    ["area up", "smallest box first"], ["area down", "largest box first"]];
  byId("order").append(...orders.map(([value, text]) => element("option", { value }, text)));
  byId("cards").addEventListener("click", (event) => event.target.closest(".card") && openViewer(shown, Number(event.target.closest(".card").dataset.index)));
  byId("cards").addEventListener("focusin", (event) => setCurrent(Number(event.target.dataset.index)));
  addEventListener("beforeprint", () => document.querySelectorAll(".card").forEach(drawCard));
  addEventListener("resize", redrawSeen);
  setLayer(layer);
}

function setGallery(name) {
  gallery = name;
  showGallery();
}

function setLayer(name) {
  layer = name;
  for (const button of byId("layers").children) button.ariaPressed = button.value === layer;
  showLegend(byId("picture-legend"), layer);
  redrawSeen();
}

function redrawSeen() {
  for (const card of document.querySelectorAll(".card")) {
    card.querySelector("canvas").dataset.drawn = "";
    if (card.dataset.seen) drawCard(card);
  }
}

function ordered(list) {
  const [name, way] = byId("order").value.split(" ");
  if (!name) return list;
  const sign = way === "up" ? 1 : -1;
  const known = list.filter((row) => rows[name][row] !== null);
  return known.sort((a, b) => sign * (rows[name][a] - rows[name][b])).concat(list.filter((row) => rows[name][row] === null));
}

function showGallery() {
  for (const button of byId("tabs").children) button.ariaPressed = button.value === gallery;
  shown = ordered(galleries[gallery].filter((row) => passing[row] && data.pictures[row]));
  current = 0;
  watcher.disconnect();
  byId("cards").replaceChildren(...shown.map(makeCard));
  for (const item of byId("cards").children) watcher.observe(item.firstElementChild);
  const total = galleries[gallery].length;
  const matching = passing.filter(Boolean).length;
  byId("gallery-note").textContent = `${TITLES[gallery]}: ${shown.length === total ? total : `${shown.length} of ${total}`} pictures, ${ABOUT[gallery]}.` +
    (shown.length || !matching ? "" : ` The table below has ${matching.toLocaleString("en")} masks that match.`);
}

function makeCard(row, index) {
  const canvas = element("canvas", { role: "img", ariaLabel: `Mask of ${describe(row)}` });
  const chip = data.lead ? [element("b", { className: isPoor(row) ? "chip poor" : "chip" }, number(lead(row)))] : [];
  const second = data.lead === "iou" && rows.score ? `score ${number(rows.score[row])}` : SIZES[rows.size[row]];
  const mark = data.marks[row] ? [element("span", { className: "mark", title: data.marks[row] }, "doubtful")] : [];
  return element("li", {}, element("button", { type: "button", className: "card", "data-row": row, "data-index": index, tabIndex: index === 0 ? 0 : -1, ariaLabel: `Enlarge: ${describe(row)}` },
    canvas, element("span", { className: "caption" }, element("span", { className: "name" }, className(row)), ...chip),
    element("span", { className: "caption small" }, element("span", {}, second), ...mark, element("span", { className: "name file" }, fileName(row)))));
}

function setCurrent(index) {
  if (Number.isNaN(index) || !cardOf(index)) return;
  cardOf(current)?.setAttribute("tabindex", "-1");
  current = index;
  cardOf(current).setAttribute("tabindex", "0");
}

function moveTo(index) {
  if (!shown.length) return;
  setCurrent(Math.max(0, Math.min(shown.length - 1, index)));
  cardOf(current).focus();
}

function cardsInARow() {
  const top = cardOf(0)?.getBoundingClientRect().top;
  let count = 0;
  while (cardOf(count) && cardOf(count).getBoundingClientRect().top === top) count++;
  return Math.max(1, count);
}
