// Panels are dragged by their header to another place, and resized by their corner. What was done is sent as the form
// that the panel's buttons send, so that the server decides. Without a mouse the buttons do the same.

const grid = document.getElementById("panels");
const GAP = 16;
const ROW = 80;
const FAR = 6; // Less is a click.
let drag = null;
let dropped = 0;

const panels = (but) => [...grid.querySelectorAll(".panel")].filter((panel) => panel !== but);
const size = (panel, letter) => Number(panel.className.match(new RegExp(`\\b${letter}-(\\d+)`))[1]);
const between = (least, value, most) => Math.max(least, Math.min(most, value));

function shape(panel, width, height) {
  panel.classList.remove(`w-${size(panel, "w")}`, `h-${size(panel, "h")}`);
  panel.classList.add(`w-${width}`, `h-${height}`);
}

function send(panel, fields) {
  const form = panel.querySelector("form.arrange");
  for (const [name, value] of Object.entries(fields)) {
    const input = document.createElement("input");
    input.type = "hidden";
    input.name = name;
    input.value = value;
    form.append(input);
  }
  keep();
  form.submit();
}

// Moving: the panel follows the pointer, a line at the nearest of the others says where it will stand.

function move({ panel, x, y, top }, event) {
  panel.style.transform = `translate(${event.clientX - x}px, ${event.clientY - y + scrollY - top}px)`;
  const others = panels(panel);
  const boxes = others.map((one) => one.getBoundingClientRect());
  const away = boxes.map((box) =>
    Math.hypot(
      Math.max(box.left - event.clientX, 0, event.clientX - box.right),
      Math.max(box.top - event.clientY, 0, event.clientY - box.bottom),
    ),
  );
  const nearest = away.indexOf(Math.min(...away));
  for (const one of others) one.classList.remove("before", "after", "stacked");
  if (nearest < 0) return;
  const box = boxes[nearest];
  // Over a panel as wide as the page only above and below make sense.
  const stacked = box.width > grid.clientWidth - GAP;
  const after = stacked ? event.clientY > box.top + box.height / 2 : event.clientX > box.left + box.width / 2;
  others[nearest].classList.add(after ? "after" : "before");
  others[nearest].classList.toggle("stacked", stacked);
  drag.to = nearest + (after ? 2 : 1);
  if (event.clientY < 60) scrollBy(0, -20);
  if (event.clientY > innerHeight - 60) scrollBy(0, 20);
}

function place({ panel, from, to }) {
  if (!to || to === from) return;
  const next = panels(panel)[to - 1];
  if (next) next.before(panel);
  else grid.append(panel);
  send(panel, { action: "place", to });
}

// Resizing: by whole columns and rows, as far as the pointer has gone.

function resize({ panel, x, y, top, width, height, badge }, event) {
  const column = (grid.clientWidth - 11 * GAP) / 12 + GAP;
  const wide = between(2, width + Math.round((event.clientX - x) / column), 12);
  const high = between(1, height + Math.round((event.clientY - y + scrollY - top) / (ROW + GAP)), 10);
  shape(panel, wide, high);
  badge.textContent = `${wide} × ${high}`;
}

function fit({ panel, width, height }) {
  const [wide, high] = [size(panel, "w"), size(panel, "h")];
  if (wide !== width || high !== height) send(panel, { action: "size", width: wide, height: high });
}

function begin(event) {
  const handle = event.target.closest(".corner, .panel:not(.gone) > header");
  if (!handle || drag || event.button !== 0) return;
  const panel = handle.closest(".panel");
  drag = { panel, handle, x: event.clientX, y: event.clientY, top: scrollY, id: event.pointerId, begun: false };
  drag.resizing = handle.matches(".corner");
  drag.from = panels().indexOf(panel) + 1;
  [drag.width, drag.height] = [size(panel, "w"), size(panel, "h")];
  drag.badge = document.createElement("span");
  drag.badge.className = "size";
}

function follow(event) {
  if (!drag || event.pointerId !== drag.id) return;
  // Let go where nobody told us.
  if (!event.buttons) return void cancel();
  if (!drag.begun) {
    if (Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < FAR) return;
    drag.begun = true;
    drag.handle.setPointerCapture(drag.id);
    if (drag.resizing) drag.panel.append(drag.badge);
    else drag.panel.classList.add("moving");
  }
  if (drag.resizing) resize(drag, event);
  else move(drag, event);
}

function end() {
  const done = drag;
  drag = null;
  done.badge.remove();
  done.panel.style.transform = "";
  done.panel.classList.remove("moving");
  for (const one of grid.querySelectorAll(".before, .after")) one.classList.remove("before", "after", "stacked");
  return done;
}

function drop(event) {
  if (!drag || event.pointerId !== drag.id) return;
  const done = end();
  if (!done.begun) return;
  dropped = event.timeStamp;
  if (done.resizing) fit(done);
  else place(done);
}

function cancel() {
  if (!drag) return;
  const { panel, width, height } = end();
  shape(panel, width, height);
}

grid.addEventListener("pointerdown", begin);
addEventListener("pointermove", follow);
addEventListener("pointerup", drop);
addEventListener("pointercancel", cancel);
addEventListener("keydown", (event) => event.key === "Escape" && cancel());
grid.addEventListener("dragstart", (event) => event.preventDefault());
// The click that ends a drag would open what the header leads to.
grid.addEventListener("click", (event) => event.timeStamp - dropped < 50 && event.preventDefault());

// The page that follows stands where this one did.

const KEPT = "tallymark-arrange";
const keep = () => sessionStorage.setItem(KEPT, String(scrollY));
for (const form of grid.querySelectorAll("form.arrange")) form.addEventListener("submit", keep);
if (location.search.includes("pressed=")) scrollTo(0, Number(sessionStorage.getItem(KEPT) ?? scrollY));
sessionStorage.removeItem(KEPT);
