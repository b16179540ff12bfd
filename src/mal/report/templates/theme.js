// Runs before the first paint: the system's choice of light or dark, until the reader makes another.
const darkScreen = matchMedia("(prefers-color-scheme: dark)");
const root = document.documentElement;

function setTheme(name) {
  root.dataset.theme = name;
  const button = document.getElementById("theme-button");
  if (button) button.textContent = name === "dark" ? "Light" : "Dark";
}

function toggleTheme() {
  setTheme(root.dataset.theme === "dark" ? "light" : "dark");
}

setTheme(darkScreen.matches ? "dark" : "light");
darkScreen.addEventListener("change", (event) => setTheme(event.matches ? "dark" : "light"));
