"use strict";
// The table of all masks that pass the filters; columns sort, rows open the large view.
const PAGE = 100;
const columns = [["class", "class"], ...measureNames.map((name) => [name, data.measures[name]]), ["area", "box px"], ["image", "file"], ["id", "id"]];
let listed = [];
let listing = { column: data.lead || "class", sign: 1, length: PAGE };

function makeIndex() {
  byId("index-table").querySelector("thead tr").append(...columns.map(([value, text]) =>
    element("th", { scope: "col" }, element("button", { type: "button", value }, text))));
  byId("index-table").querySelector("thead").addEventListener("click", ({ target }) => {
    if (!target.value) return;
    listing = { column: target.value, sign: listing.column === target.value ? -listing.sign : 1, length: PAGE };
    showIndex();
  });
  const open = (event) => event.target.closest("tr") && openViewer(listed, Number(event.target.closest("tr").dataset.index));
  byId("index-table").querySelector("tbody").addEventListener("click", open);
  byId("index-table").querySelector("tbody").addEventListener("keydown", (event) => event.key === "Enter" && open(event));
  byId("more").addEventListener("click", () => { listing.length += 5 * PAGE; fillIndex(); });
}

const sortKey = { class: className, image: fileName };

function showIndex() {
  const key = sortKey[listing.column] || ((row) => rows[listing.column][row]);
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
  listed = rows.id.map((_, row) => row).filter((row) => passing[row]);
  listed.sort((a, b) => (key(a) === null) - (key(b) === null) || listing.sign * compare(key(a), key(b)));
  listing.length = PAGE;
  byId("index-table").querySelectorAll("th").forEach((cell, at) => {
    const isSorted = columns[at][0] === listing.column;
    cell.ariaSort = isSorted ? (listing.sign > 0 ? "ascending" : "descending") : "none";
  });
  fillIndex();
}

function fillIndex() {
  byId("index-table").querySelector("tbody").replaceChildren(...listed.slice(0, listing.length).map(tableRow));
  byId("more").hidden = listed.length <= listing.length;
  const all = data.total > rows.id.length ? ` (the ${rows.id.length.toLocaleString("en")} lowest of ${data.total.toLocaleString("en")})` : "";
  byId("index-note").textContent = `${listed.length.toLocaleString("en")} masks pass the filters above${all}. A row opens the large view.`;
}

function tableRow(row, index) {
  const cells = columns.map(([name]) => {
    if (name === "class") return element("td", {}, className(row), ...(data.pictures[row] ? [] : [element("small", { title: "no picture in this file" }, " ·")]));
    if (name === "image") return element("td", { className: "file" }, fileName(row));
    if (name === "id") return element("td", {}, String(rows.id[row]));
    return element("td", { className: "number" }, name === "area" ? Math.round(rows.area[row]).toLocaleString("en") : number(rows[name][row]));
  });
  return element("tr", { tabIndex: 0, "data-index": index }, ...cells);
}
