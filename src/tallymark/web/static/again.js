// Asks a dashboard's panels again every so often, while somebody can see them, and puts in what has changed.
// Also the full screen for a wall.

const panels = document.getElementById("panels");
const every = Number(panels.dataset.seconds) * 1000;
let waiting = 0;
let failures = 0;

function put(text) {
  const found = new DOMParser().parseFromString(text, "text/html");
  for (const fresh of found.querySelectorAll(".panel")) {
    const old = document.getElementById(fresh.id);
    if (!old || same(old, fresh) || old.contains(document.activeElement)) continue;
    old.replaceWith(document.adoptNode(fresh));
  }
  document.dispatchEvent(new CustomEvent("charts"));
}

function same(old, fresh) {
  const [now, then] = [fresh, old].map((panel) => {
    const data = [...panel.querySelectorAll("script[type='application/json']")].map((script) => script.textContent);
    const words = [...panel.querySelectorAll("header, .big > p, .caveat, table, .notes")].map((part) => part.textContent);
    return JSON.stringify([data, words]);
  });
  return now === then;
}

async function ask() {
  const answer = await fetch(panels.dataset.again, { headers: { Accept: "text/html" } });
  if (answer.redirected) location.reload();
  else if (answer.ok) put(await answer.text());
  else throw new Error(`answer ${answer.status}`);
}

function plan(delay) {
  clearTimeout(waiting);
  if (every && !document.hidden) waiting = setTimeout(run, delay);
}

async function run() {
  try {
    await ask();
    failures = 0;
  } catch {
    failures += 1;
  }
  panels.classList.toggle("stale", failures > 0);
  plan(Math.min(every * 2 ** failures, 300000));
}

document.addEventListener("visibilitychange", () => plan(50));
plan(every);

// The title, the time and the panels; the sheet leaves out the forms.
document.querySelector("[data-wall]")?.addEventListener("click", () => {
  document.getElementById("main").requestFullscreen();
});
