// What every page has: the theme switch, copying, the project switch, and short links from forms.

document.documentElement.classList.add("scripted");

const root = document.documentElement;
const isDark = () =>
  (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

for (const button of document.querySelectorAll("[data-theme-switch]")) {
  const say = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
  };
  button.hidden = false;
  say();
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    document.cookie = `tallymark_theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax`;
    say();
    document.dispatchEvent(new CustomEvent("theme"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    say();
    document.dispatchEvent(new CustomEvent("theme"));
  });
}

for (const form of document.querySelectorAll("[data-switch]")) {
  form.addEventListener("change", () => form.submit());
}

// Empty inputs say nothing; without them the server need not send the browser on to the short link.
for (const form of document.querySelectorAll("[data-tidy]")) {
  form.addEventListener("submit", () => {
    for (const input of form.querySelectorAll("input, select")) {
      const row = input.closest(".filter, .part");
      const lead = row && row.querySelector("[name$='.field'], [name$='.event']");
      const spare = row && row.matches(".spare") && lead && !lead.value;
      if (!input.value || spare) input.disabled = true;
    }
    // Coming back by the history must find the inputs as they were.
    setTimeout(() => {
      for (const input of form.querySelectorAll(":disabled")) input.disabled = false;
    });
  });
}

function copy(text) {
  if (navigator.clipboard && isSecureContext) return navigator.clipboard.writeText(text);
  // Without https there is no clipboard interface; a selection can still be copied.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done ? Promise.resolve() : Promise.reject(new Error("not copied"));
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  try {
    await copy(source.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    button.textContent = "Press Ctrl+C";
  }
  setTimeout(() => (button.textContent = "Copy"), 2000);
});
