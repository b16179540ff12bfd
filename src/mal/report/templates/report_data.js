"use strict";
// What Python wrote into the page: columns of all masks, and pictures of some.
const data = JSON.parse(document.getElementById("data").textContent);
const rows = data.rows;
const SIZES = ["small", "medium", "large"];
const measureNames = Object.keys(data.measures);
const hasTruth = Object.values(data.pictures).some((picture) => picture.truth !== null);
const byId = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const className = (row) => data.classes[rows.class[row]];
const fileName = (row) => data.files[rows.image[row]];
const number = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));
const lead = (row) => (data.lead ? rows[data.lead][row] : null);
const isPoor = (row) => lead(row) !== null && lead(row) < 0.5;

function describe(row) {
  const parts = measureNames.slice(0, 2).map((name) => `${data.measures[name]} ${number(rows[name][row])}`);
  return [className(row), ...parts].join(", ");
}
