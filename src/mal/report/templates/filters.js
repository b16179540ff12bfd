"use strict";
// Which masks the reader wants to see; the gallery and the table both follow.
const filterForm = byId("filters");
const rangeNames = measureNames.filter((name) => name === "iou" || name === "score");
let passing = [];

function makeFilters() {
  const counts = new Map();
  for (const number of rows.class) counts.set(number, (counts.get(number) || 0) + 1);
  const sorted = data.classes.map((name, value) => ({ name, value })).sort((a, b) => a.name.localeCompare(b.name));
  byId("class").append(
    ...sorted.map(({ name, value }) => element("option", { value }, `${name} (${counts.get(value) || 0})`)),
  );
  for (const name of rangeNames) byId("ranges").append(rangeField(name));
  filterForm.addEventListener("input", applyFilters);
  filterForm.addEventListener("submit", (event) => event.preventDefault());
  byId("clear").addEventListener("click", () => { filterForm.reset(); applyFilters(); });
}

function rangeField(name) {
  const end = (id, value, what) =>
    element("input", { id: `${name}-${id}`, type: "number", min: 0, max: 1, step: 0.05, defaultValue: value, ariaLabel: `${data.measures[name]} ${what}` });
  return element("fieldset", {}, element("legend", {}, data.measures[name]), end("low", "0", "from"), "–", end("high", "1", "to"));
}

function applyFilters() {
  const tests = [];
  const words = byId("find").value.trim().toLowerCase();
  const chosenClass = byId("class").value;
  const chosenSize = byId("size").value;
  if (words) {
    const classHits = data.classes.map((name) => name.toLowerCase().includes(words));
    const fileHits = data.files.map((name) => name.toLowerCase().includes(words));
    tests.push((row) => classHits[rows.class[row]] || fileHits[rows.image[row]] || String(rows.id[row]) === words);
  }
  if (chosenClass) tests.push((row) => rows.class[row] === Number(chosenClass));
  if (chosenSize) tests.push((row) => rows.size[row] === Number(chosenSize));
  for (const name of rangeNames) {
    const low = byId(`${name}-low`).valueAsNumber || 0;
    const high = byId(`${name}-high`).value === "" ? 1 : byId(`${name}-high`).valueAsNumber;
    if (low > 0 || high < 1) tests.push((row) => rows[name][row] !== null && rows[name][row] >= low && rows[name][row] <= high);
  }
  passing = rows.id.map((_, row) => tests.every((test) => test(row)));
  byId("clear").hidden = tests.length === 0;
  showGallery();
  showIndex();
}

function filterByClass(value) {
  filterForm.reset();
  byId("class").value = String(value);
  applyFilters();
  byId("gallery").scrollIntoView();
}
