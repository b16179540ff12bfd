"use strict";
// One mask large: every layer side by side, and all that is known of it.
const viewer = byId("viewer");
let viewed = { list: [], index: 0 };

function makeViewer() {
  byId("close").addEventListener("click", () => viewer.close());
  byId("previous").addEventListener("click", () => stepViewer(-1));
  byId("next").addEventListener("click", () => stepViewer(1));
  viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
  viewer.addEventListener("close", () => viewed.list === shown && moveTo(viewed.index));
  byId("help-button").addEventListener("click", () => byId("help").showModal());
  byId("help-close").addEventListener("click", () => byId("help").close());
}

function openViewer(list, index) {
  viewed = { list, index };
  if (!viewer.open) viewer.showModal();
  showViewed();
}

function stepViewer(by) {
  viewed.index = Math.max(0, Math.min(viewed.list.length - 1, viewed.index + by));
  showViewed();
}

function showViewed() {
  const row = viewed.list[viewed.index];
  byId("viewer-title").textContent = className(row);
  byId("viewer-chip").textContent = data.lead ? `${data.measures[data.lead]} ${number(lead(row))}` : "";
  byId("viewer-chip").className = isPoor(row) ? "chip poor" : "chip";
  byId("viewer-place").textContent = `${viewed.index + 1} of ${viewed.list.length}`;
  byId("previous").disabled = viewed.index === 0;
  byId("next").disabled = viewed.index === viewed.list.length - 1;
  const layers = [...LAYERS].reverse();
  byId("panels").replaceChildren(...(data.pictures[row] ? layers.map(([, title]) => panel(title, row)) : [element("p", { className: "note" },
    "No picture of this mask is in this file. More pictures: mal report --pictures N.")]));
  byId("panels").querySelectorAll("canvas").forEach((canvas, at) => drawPicture(canvas, row, layers[at][0]));
  byId("viewer-legend").hidden = !data.pictures[row];
  showLegend(byId("viewer-legend"), hasTruth ? "difference" : "prediction");
  byId("viewer-facts").replaceChildren(...facts(row).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

function panel(title, row) {
  const label = title === "Image" ? "Image and box" : title;
  return element("figure", {}, element("canvas", { role: "img", ariaLabel: `${label} of ${describe(row)}` }), element("figcaption", {}, label));
}

function facts(row) {
  const [x, y, width, height] = rows.box.slice(4 * row, 4 * row + 4);
  const known = measureNames.filter((name) => rows[name][row] !== null).map((name) => [data.measures[name], rows[name][row].toFixed(3)]);
  return [...known, ["size", `${SIZES[rows.size[row]]}, box ${width} × ${height} px at ${x}, ${y}`], ["file", fileName(row)],
    ["annotation id", String(rows.id[row])], ...(data.marks[row] ? [["doubtful", data.marks[row]]] : [])];
}
