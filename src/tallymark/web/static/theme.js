// How charts look and how their figures are written; colours are those of the style sheet.

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// The colours of one family: `s` for series (the last is that of all others together), `l` for the ledger's lines.
export function colours(family) {
  return Array.from({ length: 9 }, (_, place) => colour(`${family}${place}`) || colour("s7"));
}

export function buildConfig(palette) {
  const [ink, soft, line] = [colour("ink"), colour("soft"), colour("line")];
  const font = getComputedStyle(document.body).fontFamily;
  return {
    background: null,
    font,
    padding: 0,
    view: { stroke: null },
    range: { category: palette, heatmap: [colour("heat0"), colour("heat1")] },
    legend: { labelColor: soft, labelFont: font, labelFontSize: 11 },
    axis: {
      labelColor: soft,
      labelFont: font,
      labelFontSize: 11,
      gridColor: line,
      domainColor: line,
      tickColor: line,
      labelPadding: 6,
    },
    // Where labels have no room, every other one is left out, so that the steps between them stay even.
    axisX: { grid: false, labelOverlap: "parity", labelSeparation: 10, labelFlush: true, tickSize: 4 },
    style: { figure: { fill: ink, fontWeight: 600 } },
    rule: { color: soft },
    text: { color: ink, font, fontSize: 12 },
    bar: { cornerRadiusEnd: 2 },
  };
}

const exactly = new Intl.NumberFormat("en", { maximumSignificantDigits: 15 });
const roughly = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

// How a figure and both ends of its interval are written: as metrics/digits.py does it.
export function writer(unit, low, high, exact) {
  const scale = unit === "ratio" ? 100 : 1;
  const name = unit === "ratio" ? " %" : "";
  const half = ((high ?? NaN) / 2 - (low ?? NaN) / 2) * scale;
  let format = exact ? exactly : roughly;
  if (half > 0 && Number.isFinite(half)) {
    const places = Math.max(1 - Math.floor(Math.log10(half)), unit === "ratio" ? 1 : -15);
    const digits = Math.min(Math.max(places, 0), 12);
    const rounded = new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    const step = 10 ** Math.max(-places, 0);
    format = { format: (value) => rounded.format(Math.round(value / step) * step) };
    if (places >= 0) format = rounded;
  }
  return (value) => {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value * scale);
    // Beyond these, zeros say less than a power of ten.
    if (size >= 1e21 || (size > 0 && size < 1e-12)) return `${Number((value * scale).toPrecision(exact ? 15 : 4))}${name}`;
    return `${(Number.isInteger(value) && !(half > 0) ? exactly : format).format(value * scale)}${name}`;
  };
}

// A place on the axis is the wall clock of the question's zone, carried as if it were UTC. Where clocks change in the chart,
// `clock` has the stretches in between: from which place on how much more the clock shows, and its offset.
export function time(place, interval, clock = []) {
  const [, shift, offset] = clock.findLast(([start]) => start <= place) ?? clock[0] ?? [0, 0, ""];
  const format = {
    year: { year: "numeric" },
    quarter: { year: "numeric", month: "short" },
    month: { year: "numeric", month: "long" },
    week: { year: "numeric", month: "short", day: "numeric" },
    day: { weekday: "short", year: "numeric", month: "short", day: "numeric" },
  }[interval] || { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (format.minute && place % 60_000) format.second = "2-digit";
  const text = new Intl.DateTimeFormat("en-GB", { ...format, timeZone: "UTC" }).format(place + shift);
  if (offset) return `${text} ${offset}`;
  return interval === "week" ? `week of ${text}` : text;
}
