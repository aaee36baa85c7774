// Asks a dashboard's panels again every so often, while somebody can see them, and puts in what has changed.
// A panel that the server refuses for now stays as it was, and is asked for again soon. Also the full screen for a wall.

const panels = document.getElementById("panels");
const every = Number(panels.dataset.seconds) * 1000;
// In milliseconds; the server's word for it stands in its answers.
const soon = 5000;
let waiting = 0;
let failures = 0;

function put(text) {
  const found = new DOMParser().parseFromString(text, "text/html");
  for (const fresh of found.querySelectorAll(".panel:not([data-busy])")) {
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

// Returns how long to wait where some panels were refused for now, else 0.
async function ask() {
  const answer = await fetch(panels.dataset.again, { headers: { Accept: "text/html" } });
  const after = Number(answer.headers.get("Retry-After")) * 1000;
  if (answer.redirected) location.reload();
  else if (answer.ok) put(await answer.text());
  else if (!after) throw new Error(`answer ${answer.status}`);
  return after;
}

function plan(delay) {
  clearTimeout(waiting);
  if (delay && !document.hidden) waiting = setTimeout(run, delay);
}

async function run() {
  let after = 0;
  try {
    after = await ask();
    failures = 0;
  } catch {
    failures += 1;
  }
  panels.classList.toggle("stale", failures > 0 || after > 0);
  // Not all who were refused come back in the same moment.
  if (after) plan(after * (1 + Math.random() / 2));
  else plan(Math.min((every || (failures && soon)) * 2 ** failures, 300000));
}

document.addEventListener("visibilitychange", () => plan(every && 50));
plan(panels.querySelector("[data-busy]") ? soon : every);

// The title, the time and the panels; the sheet leaves out the forms.
document.querySelector("[data-wall]")?.addEventListener("click", () => {
  document.getElementById("main").requestFullscreen();
});
