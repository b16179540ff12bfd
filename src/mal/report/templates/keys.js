"use strict";
// Keys, and the start of everything.
function isTyping(target) {
  return target.matches("input, select, textarea");
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (isTyping(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const steps = { ArrowRight: 1, j: 1, ArrowLeft: -1, k: -1, ArrowDown: "row", ArrowUp: "-row" };
  if (viewer.open) {
    if (steps[event.key]) stepViewer(String(steps[event.key]).startsWith("-") ? -1 : 1);
    else return;
  } else if (byId("help").open) {
    return;
  } else if (event.key in steps && event.target.closest("#index-table, .scroll, #classes") === null) {
    const isArrow = event.key.startsWith("Arrow");
    const inGallery = document.activeElement.classList.contains("card");
    if (isArrow && !inGallery) return; // the page scrolls
    const by = { row: cardsInARow(), "-row": -cardsInARow() }[steps[event.key]] ?? steps[event.key];
    moveTo(inGallery ? current + by : current);
  } else if (event.key === "/") byId("find").focus();
  else if (event.key === "?") byId("help").showModal();
  else if (event.key === "t") toggleTheme();
  else if (LAYERS[Number(event.key) - 1]) setLayer(LAYERS[Number(event.key) - 1][0]);
  else if (event.key === "[" || event.key === "]") {
    const names = Object.keys(galleries);
    setGallery(names[(names.indexOf(gallery) + (event.key === "]" ? 1 : names.length - 1)) % names.length]);
  } else return;
  event.preventDefault();
});

setTheme(root.dataset.theme);
byId("theme-button").addEventListener("click", toggleTheme);
for (const button of document.querySelectorAll("#classes button[data-class]")) {
  button.addEventListener("click", () => filterByClass(button.dataset.class));
}
makeFilters();
makeGallery();
makeViewer();
makeIndex();
applyFilters();
