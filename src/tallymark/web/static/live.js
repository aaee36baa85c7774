// Keeps the home page's moving part up to date: asks every few seconds, and puts in what has changed.

const live = document.getElementById("live");
const every = Number(live.dataset.every) * 1000;
const announce = document.getElementById("announce");
let waiting = 0;
let failures = 0;

function isHeld(element) {
  // Never take away what somebody has the focus in or is selecting.
  const selection = getSelection();
  return (
    element.contains(document.activeElement) ||
    (!selection.isCollapsed && selection.anchorNode && element.contains(selection.anchorNode))
  );
}

function put(text) {
  const found = new DOMParser().parseFromString(text, "text/html");
  let held = false;
  for (const fresh of found.querySelectorAll("[data-live]")) {
    const old = document.getElementById(fresh.id);
    if (!old || old.isEqualNode(fresh)) continue;
    if (isHeld(old)) {
      held = true;
      continue;
    }
    if (fresh.dataset.says && old.dataset.says !== fresh.dataset.says) announce.textContent = fresh.dataset.says;
    old.replaceWith(document.adoptNode(fresh));
  }
  for (const fresh of found.querySelectorAll("figure[data-chart]")) {
    const old = document.querySelector(`figure[data-chart="${fresh.dataset.chart}"]`);
    const [now, then] = [fresh, old].map((figure) => figure.querySelector("script[type='application/json']"));
    if (now.textContent === then.textContent) continue;
    then.textContent = now.textContent;
    old.querySelector("figcaption").textContent = fresh.querySelector("figcaption").textContent;
    old.dispatchEvent(new CustomEvent("data"));
  }
  // What was held back is asked for again.
  if (held) document.getElementById("live-state").dataset.state = "";
}

async function ask() {
  const address = new URL(live.dataset.from, location.href);
  address.searchParams.set("seen", document.getElementById("live-state").dataset.state);
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (answer.redirected) {
    location.reload();
    return;
  }
  if (answer.status === 200) put(await answer.text());
  else if (answer.status !== 204) throw new Error(`answer ${answer.status}`);
}

function plan(delay) {
  clearTimeout(waiting);
  waiting = document.hidden ? 0 : setTimeout(run, delay);
}

async function run() {
  try {
    await ask();
    if (failures) announce.textContent = "Connected again";
    failures = 0;
  } catch {
    failures += 1;
    const verdict = document.querySelector("#live-verdict .state");
    verdict.className = "state bad";
    verdict.firstElementChild.textContent = "The server does not answer";
    if (failures === 1) announce.textContent = "The server does not answer";
    document.getElementById("live-state").dataset.state = "";
  }
  plan(Math.min(every * 2 ** failures, 60000));
}

document.addEventListener("visibilitychange", () => plan(document.hidden ? 0 : 50));
plan(every);
