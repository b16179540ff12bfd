// What surrounds the picture: buttons, lines of text, banner and dialogs. Names reach the page as text only.
import { COMMANDS, TOOL_BAR, shownKey } from "./commands.js";
import { STATES } from "./store.js";

/** @typedef {import("./commands.js").Command} Command */
/** @typedef {import("./store.js").State} State */

/**
 * An element of the page by its id.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no ${id}`);
  return found;
}

/**
 * @param {string} tag
 * @param {string} text
 * @param {string} className
 * @returns {HTMLElement}
 */
export function made(tag, text = "", className = "") {
  const result = document.createElement(tag);
  result.textContent = text;
  if (className) result.className = className;
  return result;
}

/**
 * Makes the tool bar, and gives every button of a command its words and its act.
 * @param {(id: string) => void} run
 */
export function makeButtons(run) {
  for (const group of TOOL_BAR) {
    if (element("tools").childElementCount) element("tools").append(made("span", "", "gap"));
    for (const id of group) {
      const button = made("button");
      button.dataset.command = id;
      element("tools").append(button);
    }
  }
  for (const button of buttons()) {
    const command = /** @type {Command} */ (COMMANDS.find(({ id }) => id === button.dataset.command));
    button.append(made("span", command.sign ? `${command.sign} ${command.label}` : command.label));
    if (command.keys[0].length === 1 || !button.closest("#tools")) button.append(made("kbd", shownKey(command.keys[0])));
    button.title = command.says ?? command.label;
    if (command.label.length === 1) button.setAttribute("aria-label", button.title);
    button.addEventListener("click", () => {
      run(command.id);
      if (!document.querySelector("dialog[open]") && command.id !== "queue") element("canvas").focus({ preventScroll: true });
    });
  }
}

/** @returns {HTMLButtonElement[]} */
function buttons() {
  return [.../** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll("button[data-command]"))];
}

/**
 * Shows which buttons are on, and which can be used.
 * @param {Record<string, boolean>} pressed by command
 * @param {Record<string, boolean>} disabled by command
 */
export function showButtons(pressed, disabled) {
  for (const button of buttons()) {
    const id = String(button.dataset.command);
    if (id in pressed) button.setAttribute("aria-pressed", String(pressed[id]));
    button.disabled = disabled[id] ?? false;
  }
}

/** Fills the help overlay from the table of commands. */
export function makeHelp() {
  for (const group of new Set(COMMANDS.map((command) => command.group))) {
    const part = made("div");
    part.append(made("h3", group));
    for (const command of COMMANDS.filter((each) => each.group === group)) {
      const line = made("p", command.says ?? command.label);
      const keys = made("span", "", "keys");
      command.keys.forEach((key, index) => keys.append(index ? " " : "", made("kbd", shownKey(key))));
      line.append(keys);
      part.append(line);
    }
    element("help-keys").append(part);
  }
}

let quietAfter = 0;

/**
 * Says something for a moment, in the corner of the picture and to screen readers.
 * @param {string} text
 */
export function say(text) {
  element("status").textContent = text;
  element("live").textContent = text;
  clearTimeout(quietAfter);
  quietAfter = setTimeout(() => (element("status").textContent = ""), 4000);
}

/**
 * Shows a banner until it is answered or replaced.
 * @param {string} text empty takes the banner away
 * @param {{label: string, act: () => void}[]} answers
 */
export function showBanner(text, answers = []) {
  element("banner").hidden = !text;
  element("banner-text").textContent = text;
  element("banner-buttons").replaceChildren(
    ...answers.map(({ label, act }) => {
      const button = made("button", label);
      button.addEventListener("click", () => {
        showBanner("");
        act();
        element("canvas").focus();
      });
      return button;
    }),
  );
}

/**
 * Shows a text over the picture, as where there is none.
 * @param {string} text
 */
export function showNote(text) {
  element("note").hidden = !text;
  element("note").textContent = text;
}

/**
 * The line below the picture.
 * @param {ReturnType<import("./store.js").Store["facts"]>} facts
 * @param {State} state
 * @param {string | null} by
 * @param {string} place as "12 of 10,000"
 * @param {boolean} isWaiting whether the decision is not saved yet
 */
export function showFacts(facts, state, by, place, isWaiting) {
  const { sign, word } = STATES[state];
  const who = by && state !== "undecided" ? ` by ${by}` : "";
  const parts = [
    made("span", `${sign} ${word}${who}${isWaiting ? " (not saved yet)" : ""}`, `state ${state}`),
    made("span", facts.className),
    made("span", facts.score === null ? "no score" : `score ${facts.score.toFixed(2)}`),
  ];
  if (facts.doubt) parts.push(made("span", `doubtful: ${facts.doubt}`));
  parts.push(made("span", `${place} · annotation ${facts.id} · ${facts.fileName}`, "quiet"));
  element("facts").replaceChildren(...parts);
}
