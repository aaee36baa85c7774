// Puts what needs the signed-in person into the home page, once the page is there, and again every few minutes.

const place = document.getElementById("needs");
const EVERY = 300_000;
// What could not be judged within one answer is asked for again, so many times.
let tries = 10;
let waiting = 0;

function put(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html").querySelector(".needs");
  // Never take away what somebody is choosing in.
  if (!fresh || place.contains(document.activeElement) || place.querySelector("details[open]")) return false;
  place.replaceChildren(document.adoptNode(fresh));
  return "more" in fresh.dataset;
}

async function run() {
  let delay = EVERY;
  try {
    const answer = await fetch(place.dataset.from, { headers: { Accept: "text/html" } });
    if (answer.ok && !answer.redirected && put(await answer.text()) && tries > 0) {
      tries -= 1;
      delay = 1000;
    }
  } catch {
    // The page says elsewhere that the server does not answer; what stands here stays.
  }
  plan(delay);
}

function plan(delay) {
  clearTimeout(waiting);
  waiting = document.hidden ? 0 : setTimeout(run, delay);
}

document.addEventListener("visibilitychange", () => plan(document.hidden ? 0 : EVERY / 10));
if (!place.hidden) run();
