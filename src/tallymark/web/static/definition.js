// Leads from a mistake to its line in the text.

const area = document.getElementById("text");
const links = [...document.querySelectorAll("[data-line]")];

function go(number, whole, options) {
  const lines = area.value.split("\n");
  const line = Math.min(number, lines.length) - 1;
  const start = lines.slice(0, line).reduce((sum, text) => sum + text.length + 1, 0);
  area.focus(options);
  area.setSelectionRange(start, start + (whole ? lines[line].length : 0));
  area.scrollTop = (area.scrollHeight / lines.length) * (line - 4);
}

for (const link of links) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    go(Number(link.dataset.line), true);
  });
}

// What is wrong stands above the text: it must not scroll away. Nothing is selected, so that no key takes the line away.
if (links.length) go(Number(links[0].dataset.line), false, { preventScroll: true });
