// The table of commands: keys, buttons and the help overlay are made from it, so they cannot differ.

/** @typedef {{id: string, keys: string[], label: string, group: string, sign?: string, says?: string}} Command */

/** @type {Command[]} */
export const COMMANDS = [
  { id: "accept", keys: ["Enter", "a"], label: "Accept", sign: "✓", says: "accept the mask, or your drawing; go on", group: "Decide" },
  { id: "reject", keys: ["x"], label: "Reject", sign: "✗", says: "reject the mask; go on", group: "Decide" },
  { id: "skip", keys: ["s"], label: "Skip", says: "leave it to others; go on", group: "Decide" },
  { id: "takeBack", keys: ["u"], label: "Undecide", says: "take back what was decided on this mask", group: "Decide" },
  { id: "goBack", keys: ["z"], label: "Last decision", says: "go back to the last decision and take it back", group: "Decide" },
  { id: "next", keys: ["ArrowRight", "j"], label: "Next", says: "next", group: "Move" },
  { id: "previous", keys: ["ArrowLeft", "k"], label: "Back", says: "previous", group: "Move" },
  { id: "nextOpen", keys: ["n"], label: "Next undecided", says: "next undecided", group: "Move" },
  { id: "previousOpen", keys: ["Shift+n"], label: "Previous undecided", says: "previous undecided", group: "Move" },
  { id: "queue", keys: ["q"], label: "Queue", says: "to the queue and back", group: "Move" },
  { id: "brush", keys: ["b"], label: "Brush", says: "brush", group: "Draw" },
  { id: "eraser", keys: ["e"], label: "Eraser", says: "eraser", group: "Draw" },
  { id: "polygon", keys: ["p"], label: "Polygon", says: "polygon to add", group: "Draw" },
  { id: "cut", keys: ["Shift+p"], label: "Cut", says: "polygon to cut out", group: "Draw" },
  { id: "box", keys: ["r"], label: "Box", says: "new box, new mask by the model", group: "Draw" },
  { id: "smaller", keys: ["["], label: "−", says: "smaller brush", group: "Draw" },
  { id: "larger", keys: ["]"], label: "+", says: "larger brush", group: "Draw" },
  { id: "snap", keys: ["g"], label: "Snap", says: "polygon points snap to edges", group: "Draw" },
  { id: "undo", keys: ["Ctrl+z"], label: "Undo", says: "undo a stroke on this mask", group: "Draw" },
  { id: "redo", keys: ["Ctrl+Shift+z", "Ctrl+y"], label: "Redo", says: "do it again", group: "Draw" },
  { id: "original", keys: ["w"], label: "Original", says: "mask of the file again", group: "Draw" },
  { id: "leave", keys: ["Escape"], label: "Leave", says: "drop what is begun; leave the tool", group: "Draw" },
  { id: "zoomIn", keys: ["+", "="], label: "⊕", says: "closer", group: "See" },
  { id: "zoomOut", keys: ["-"], label: "⊖", says: "farther", group: "See" },
  { id: "fitMask", keys: ["0"], label: "Fit", says: "fit the mask", group: "See" },
  { id: "actual", keys: ["1"], label: "100 %", says: "100 %", group: "See" },
  { id: "fitImage", keys: ["f"], label: "Picture", says: "whole picture", group: "See" },
  { id: "peek", keys: ["h"], label: "Peek", says: "hold: picture alone", group: "See" },
  { id: "masks", keys: ["m"], label: "Mask", says: "mask on and off", group: "See" },
  { id: "neighbors", keys: ["v"], label: "Others", says: "other boxes on and off", group: "See" },
  { id: "denser", keys: ["o"], label: "Denser", says: "denser mask", group: "See" },
  { id: "thinner", keys: ["Shift+o"], label: "Thinner", says: "thinner mask", group: "See" },
  { id: "color", keys: ["c"], label: "Color", says: "color of the mask", group: "See" },
  { id: "theme", keys: ["t"], label: "Theme", says: "light or dark", group: "Page" },
  { id: "export", keys: ["Ctrl+e"], label: "Export", says: "export", group: "Page" },
  { id: "help", keys: ["?"], label: "Keys", says: "these keys", group: "Page" },
];

/** The tool bar, with gaps between its groups. */
export const TOOL_BAR = [
  ["brush", "eraser", "smaller", "larger"],
  ["polygon", "cut", "snap", "box"],
  ["undo", "redo", "original"],
  ["fitMask", "fitImage", "masks", "zoomOut", "zoomIn"],
];

const SHOWN = /** @type {Record<string, string>} */ ({ ArrowRight: "→", ArrowLeft: "←", Escape: "Esc" });

/**
 * A key as people read it.
 * @param {string} key
 */
export function shownKey(key) {
  const parts = key === "+" ? ["+"] : key.split("+");
  return parts.map((part) => SHOWN[part] ?? (part.length === 1 ? part.toUpperCase() : part)).join("+");
}

/**
 * The command of a key; letters by what they write, so that all keyboards work.
 * @param {KeyboardEvent} event
 * @returns {Command | null}
 */
export function commandOf(event) {
  if (event.altKey || event.isComposing) return null;
  const isLetter = event.key.length === 1 && /\p{L}/u.test(event.key);
  const key = isLetter ? event.key.toLowerCase() : event.key;
  const shift = event.shiftKey && (isLetter || event.key.length > 1) ? "Shift+" : "";
  const name = `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${shift}${key}`;
  return COMMANDS.find((command) => command.keys.includes(name)) ?? null;
}
