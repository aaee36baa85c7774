// Helps while a question is being put together: only the inputs that the measure needs, and values that exist.

const form = document.querySelector("form.ask");

function fit(select) {
  const row = select.closest(".row");
  const measure = row.querySelector(".measure");
  const quantile = row.querySelector("[name$='.q']");
  const field = measure.querySelector("input");
  measure.toggleAttribute("data-idle", select.value === "count" && field.value !== "sketch");
  quantile.toggleAttribute("data-idle", select.value !== "quantile");
}

if (form) {
  for (const select of form.querySelectorAll("[data-op]")) select.addEventListener("change", () => fit(select));

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && zone !== "UTC") {
    const option = document.createElement("option");
    option.value = zone;
    document.getElementById("zones").append(option);
  }
}

async function choices(fields, signal) {
  const address = new URL("../../explore/choices", import.meta.url);
  for (const [name, value] of Object.entries(fields)) if (value) address.searchParams.set(name, value);
  try {
    const answer = await fetch(address, { signal });
    return answer.ok ? answer.json() : {};
  } catch {
    return {};
  }
}

function fill(list, texts) {
  list.replaceChildren(
    ...texts.map((text) => {
      const option = document.createElement("option");
      option.value = text;
      return option;
    }),
  );
}

// Where more exist than a list holds, the server is asked for those that contain what is typed; only the last typing counts.
const searching = new Map();

function search(input, fields) {
  const list = input.list;
  if (!list || !("more" in list.dataset) || [...list.options].some((one) => one.value === input.value)) return;
  const before = searching.get(list);
  clearTimeout(before?.timer);
  before?.going.abort();
  const going = new AbortController();
  const timer = setTimeout(async () => {
    const what = list.id;
    const found = await choices({ ...fields(), what, containing: input.value }, going.signal);
    if (!going.signal.aborted && found[what]) fill(list, found[what]);
  }, 250);
  searching.set(list, { timer, going });
}

for (const asking of document.querySelectorAll("[data-event-input]")) {
  const project = asking.elements.namedItem("project").value;
  const event = () => asking.elements.namedItem(asking.dataset.eventInput)?.value || "";
  asking.addEventListener("input", ({ target }) => search(target, () => ({ project, event: target.list?.id === "fields" ? event() : "" })));
  // A form without a name of events is about all of them.
  const about_all = !asking.dataset.eventInput;

  if (about_all) {
    const list = document.createElement("datalist");
    list.id = "fields";
    asking.append(list);
    asking.addEventListener("focusin", async () => fill(list, (await choices({ project })).fields || []), { once: true });
  }

  asking.elements.namedItem(asking.dataset.eventInput)?.addEventListener("change", async () => {
    const found = await choices({ project, event: event() });
    if (found.fields) fill(document.getElementById("fields"), found.fields);
  });

  for (const input of asking.querySelectorAll("[data-values]")) {
    input.addEventListener("focus", async () => {
      const field = asking.elements.namedItem(input.dataset.values).value;
      const own = input.closest(".part")?.querySelector("[name$='.event']")?.value;
      const wanted = `${own || event()}\n${field}`;
      if (!field || !(own || event() || about_all) || input.dataset.has === wanted) return;
      input.dataset.has = wanted;
      const found = await choices({ project, event: own || event(), field });
      let list = input.list;
      if (!list) {
        list = document.createElement("datalist");
        list.id = `values-${input.name}`;
        input.after(list);
        input.setAttribute("list", list.id);
      }
      fill(list, found.values || []);
    });
  }
}
