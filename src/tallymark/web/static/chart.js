// Draws the charts: Vega-Lite from the installed bundle, colours from the page's theme, labels as plain text.
//
// Data never reaches an expression: the specification has fixed field names, rows are plain values, and all
// that people read beside the marks is put in with textContent.

import { buildConfig, colours, time, writer } from "./theme.js";

const drawn = new Map();

function ready() {
  return new Promise((resolve, reject) => {
    if (window.vegaEmbed) resolve();
    const script = document.querySelector("script[src$='/vega.js']");
    script.addEventListener("load", () => resolve());
    script.addEventListener("error", () => reject(new Error("the charts' runtime could not be loaded")));
  });
}

function read(figure) {
  return JSON.parse(figure.querySelector("script[type='application/json']").textContent);
}

function swatch(colour) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "swatch");
  svg.setAttribute("width", "10");
  svg.setAttribute("height", "10");
  svg.setAttribute("aria-hidden", "true");
  const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  box.setAttribute("width", "10");
  box.setAttribute("height", "10");
  box.setAttribute("rx", "2");
  box.setAttribute("fill", colour);
  svg.append(box);
  return svg;
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function legend(figure, content, palette) {
  const list = figure.querySelector(".legend");
  const shown = new Set(content.rows.map((row) => row.k));
  list.replaceChildren(
    ...content.series
      .filter((series) => shown.has(series.key) && (content.series.length > 1 || content.interval))
      .map((series) => {
        const item = element("li");
        item.append(swatch(palette[Number(series.key.slice(1))]), element("bdi", "", series.label));
        return item;
      }),
  );
}

// Where a chart has the height of its place (a wall, a frame) and is not as high as it has rows.
function grows(figure, content) {
  const fixed = content.spec.height < 100 || content.rows.some((row) => row.r !== undefined);
  return !fixed && getComputedStyle(figure).getPropertyValue("--grow").trim() === "1";
}

async function draw(figure) {
  const content = read(figure);
  const high = grows(figure, content);
  figure.classList.toggle("grows", high);
  const canvas = figure.querySelector(".canvas");
  const isLedger = content.interval === "balance";
  const palette = colours(isLedger ? "l" : "s");
  legend(figure, content, palette);
  await ready();
  drawn.get(figure)?.view.finalize();
  const label = canvas.getAttribute("aria-label");
  const embedded = await window.vegaEmbed(
    canvas,
    {
      ...content.spec,
      ...(high ? { height: "container" } : {}),
      data: { name: "rows", values: content.rows },
      autosize: { type: high ? "fit" : "fit-x", contains: "padding" },
    },
    {
      mode: "vega-lite",
      renderer: "svg",
      config: buildConfig(palette),
      actions: false,
      // Its style element would need 'unsafe-inline'; the page's own sheet says all that is needed.
      defaultStyle: false,
      hover: false,
      tooltip: false,
      logLevel: 1,
      loader: { load: refuse, sanitize: refuse, http: refuse, file: refuse },
    },
  );
  // Vega calls every chart "Vega visualization", and a document: it is a picture with our name.
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  canvas.removeAttribute("aria-roledescription");
  const { view } = embedded;
  drawn.set(figure, { view, content, palette, place: -1 });
  if (!content.interval) {
    view.addEventListener("pointermove", (event, item) => showMark(figure, item?.datum));
    view.addEventListener("click", (event, item) => go(item?.datum?.h));
  }
  figure.dataset.drawn = "yes";
}

// Nothing that a chart names is ever fetched.
function refuse() {
  return Promise.reject(new Error("charts load nothing"));
}

async function refresh(figure) {
  const state = drawn.get(figure);
  const content = read(figure);
  if (!state || JSON.stringify(state.content.spec) !== JSON.stringify(content.spec)) {
    await draw(figure);
    return;
  }
  state.content = content;
  legend(figure, content, state.palette);
  await state.view.data("rows", content.rows).runAsync();
}

// The nearest time under the pointer, or chosen with the arrow keys, with all its figures.

function times(state) {
  return [...new Set(state.content.rows.map((row) => row.x))].sort((one, other) => one - other);
}

function clear(figure) {
  for (const old of figure.querySelectorAll(".hover, .guide")) old.remove();
}

function show(figure, index) {
  const state = drawn.get(figure);
  const all = times(state);
  clear(figure);
  if (index < 0 || index >= all.length) return;
  state.place = index;
  const at = all[index];
  const rows = state.content.rows.filter((row) => row.x === at);
  const labels = new Map(state.content.series.map((series) => [series.key, series.label]));
  const box = element("div", "hover");
  box.setAttribute("role", "status");
  box.append(element("b", "", time(at, state.content.interval, state.content.clock)));
  for (const row of rows) {
    const line = element("div");
    line.append(swatch(state.palette[Number(row.k.slice(1))]), element("bdi", "name", labels.get(row.k) ?? row.k));
    const write = writer(state.content.unit, row.low, row.high, state.content.exact);
    line.append(element("span", "number", write(row.n ?? row.y ?? row.p ?? row.w)));
    if (typeof row.c === "number") line.append(element("small", "", `n ${writer("count")(row.c)}`));
    if (typeof row.p === "number") line.append(element("small", "", "in part"));
    if (typeof row.low === "number") {
      line.append(element("small", "", `${write(row.low)} – ${write(row.high)}`));
    }
    box.append(line);
  }
  place(figure, state, box, rows[0]);
}

// Charts without a time: the mark under the pointer, or chosen with the arrow keys, in words.

function showMark(figure, row) {
  const state = drawn.get(figure);
  clear(figure);
  const canvas = figure.querySelector(".canvas");
  canvas.classList.toggle("leads", typeof row?.h === "string");
  // Bars have their words beside them.
  if (!row?.label || row.r !== undefined) return;
  state.place = state.content.rows.findIndex((one) => one.label === row.label);
  const box = element("div", "hover");
  box.setAttribute("role", "status");
  box.append(element("b", "", row.label), element("div", "", row.figure));
  figure.append(box);
  const [left, top] = state.view.origin();
  const across = state.view.scale("x");
  const x = left + (row.x === undefined ? across(row.o) + across.bandwidth() : across(row.x2));
  const y = row.d === undefined ? top : top + state.view.scale("y")(row.d);
  const wanted = canvas.offsetLeft + x + 8;
  const flips = wanted + box.offsetWidth > figure.clientWidth;
  box.style.left = `${Math.max(0, flips ? wanted - 24 - box.offsetWidth : wanted)}px`;
  box.style.top = `${canvas.offsetTop + y}px`;
}

function marks(state) {
  return state.content.rows.filter((row) => row.label && row.r === undefined);
}

function place(figure, state, box, row) {
  const canvas = figure.querySelector(".canvas");
  const scale = state.view.scale("x");
  const [left, top] = state.view.origin();
  const middle = row.x2 === undefined ? row.x : (row.x + row.x2) / 2;
  const x = canvas.offsetLeft + left + scale(middle);
  const guide = element("div", "guide");
  guide.style.left = `${x}px`;
  guide.style.top = `${canvas.offsetTop + top}px`;
  guide.style.height = `${state.view.height()}px`;
  figure.append(guide, box);
  const room = figure.clientWidth;
  const wanted = x + 12 + box.offsetWidth > room ? x - 12 - box.offsetWidth : x + 12;
  box.style.left = `${Math.max(0, Math.min(wanted, room - box.offsetWidth))}px`;
  box.style.top = `${canvas.offsetTop + top + 4}px`;
}

function follow(figure) {
  const canvas = figure.querySelector(".canvas");
  canvas.addEventListener("pointermove", (event) => {
    const state = drawn.get(figure);
    if (!state?.content.interval) return;
    const [left] = state.view.origin();
    const x = event.clientX - canvas.getBoundingClientRect().left - left;
    const at = Number(state.view.scale("x").invert(x));
    const all = times(state);
    let best = 0;
    if (state.content.interval === "balance") best = all.findLastIndex((one) => one <= at);
    else all.forEach((one, index) => (best = Math.abs(one - at) < Math.abs(all[best] - at) ? index : best));
    show(figure, best);
  });
  canvas.addEventListener("click", () => {
    // Marks without a time lead by themselves.
    if (drawn.get(figure)?.content.interval) follow_down(figure);
  });
  canvas.addEventListener("pointerleave", () => clear(figure));
  canvas.addEventListener("blur", () => clear(figure));
  canvas.addEventListener("keydown", (event) => {
    const state = drawn.get(figure);
    if (!state) return;
    const last = (state.content.interval ? times(state) : marks(state)).length - 1;
    const steps = { ArrowLeft: Math.max(0, state.place - 1), ArrowRight: Math.min(last, state.place + 1), Home: 0, End: last };
    if (event.key === "Escape") clear(figure);
    if (event.key === "Enter") follow_down(figure);
    if (!(event.key in steps)) return;
    event.preventDefault();
    if (state.content.interval) show(figure, steps[event.key]);
    else showMark(figure, marks(state)[steps[event.key]]);
  });
}

// From the point that is shown to the events behind it. Only to addresses of this server's own events.
function follow_down(figure) {
  const state = drawn.get(figure);
  if (!state || state.place < 0) return;
  if (!state.content.interval) {
    go(marks(state)[state.place]?.h);
    return;
  }
  const at = times(state)[state.place];
  go(state.content.rows.find((row) => row.x === at && typeof row.h === "string")?.h);
}

function go(target) {
  if (typeof target === "string" && target.startsWith("/events?")) {
    // This file's own address tells the path under which the server stands.
    location.assign(new URL(`../..${target}`, import.meta.url));
  }
}

function fail(figure, error) {
  figure.querySelector(".canvas").replaceChildren(
    element("p", "muted", `The chart could not be drawn (${error.message}). The figures are on the page.`),
  );
}

function begin() {
  for (const figure of drawn.keys()) if (!figure.isConnected) drawn.delete(figure);
  for (const figure of document.querySelectorAll("figure[data-chart]:not([data-begun])")) {
    figure.dataset.begun = "yes";
    draw(figure).catch((error) => fail(figure, error));
    follow(figure);
    figure.addEventListener("data", () => refresh(figure).catch((error) => fail(figure, error)));
  }
}

begin();
// Somebody has put new charts into the page.
document.addEventListener("charts", begin);

function redraw() {
  for (const figure of drawn.keys()) if (figure.isConnected) draw(figure).catch((error) => fail(figure, error));
}

document.addEventListener("theme", redraw);
// Another size, and perhaps another way to fill it; once the page has been laid out for it.
document.addEventListener("fullscreenchange", () => requestAnimationFrame(redraw));
