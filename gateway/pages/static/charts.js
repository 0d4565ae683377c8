"use strict";
// Draws the curves of a page with uPlot. The numbers are in `data-series` of the part that holds the charts. A table
// below has them, too.

const COLOURS = { answered: "--c0", errors: "--bad", p50: "--c0", p99: "--c1", waiting: "--c3", rows: "--c2" };
const NAMES = { answered: "answered", errors: "refused or failed", p50: "half", p99: "99 %", waiting: "waiting", rows: "rows" };

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

const WHOLE = [1, 2, 5].flatMap(step => [...Array(10).keys()].map(power => step * 10 ** power)).sort((a, b) => a - b);

function clock(seconds, period) {
  const moment = new Date(seconds * 1e3).toISOString();
  return period === "30d" ? `${moment.slice(8, 10)}.${moment.slice(5, 7)}.` : moment.slice(11, 16);
}

function short(value) {
  if (value >= 1e6) return `${+(value / 1e6).toFixed(1)}M`;
  if (value >= 1e4) return `${+(value / 1e3).toFixed(1)}k`;
  return `${+value.toFixed(value < 1 ? 2 : 1)}`;
}

// The places of values without neighbours: no line shows them, as what lies between is a gap.
function lonely(values) {
  return [...values.keys()].filter(at => values[at] !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null);
}

// uPlot keeps what it has drawn, and everything around it, until it is told that it is gone.
let charts = [];

function draw(place) {
  const series = JSON.parse(place.closest("[data-series]").dataset.series);
  const names = place.dataset.chart.split(" "), counts = names[0] !== "p50";
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  const options = {
    width: place.clientWidth, height: place.clientHeight, tzDate: at => uPlot.tzDate(new Date(at * 1e3), "Etc/UTC"),
    cursor: { y: false, points: { size: 6 } },
    scales: { y: { range: (chart, low, high) => [0, Math.max(high * 1.1, counts ? 4 : 1)] } },
    axes: [
      { ...axis, grid: { show: false }, size: 28, values: (chart, times) => times.map(at => clock(at, place.closest("[data-period]").dataset.period)) },
      { ...axis, size: 48, values: (chart, values) => values.map(short), ...(counts ? { incrs: WHOLE } : {}) },
    ],
    series: [{ label: "UTC" }, ...names.map((name, at) => ({
      label: NAMES[name], stroke: colour(COLOURS[name]), width: 2, points: { size: 6, fill: colour(COLOURS[name]), filter: () => lonely(series[name]) },
      paths: counts ? undefined : uPlot.paths.stepped({ align: 1 }), // bounds of buckets: nothing lies between them
      fill: at === 0 && counts ? colour(COLOURS[name]) + "1c" : undefined,
    }))],
  };
  const chart = new uPlot(options, [series.times, ...names.map(name => series[name])], place);
  const legend = document.createElement("p");
  legend.className = "note readout";
  legend.setAttribute("aria-hidden", "true");
  place.after(legend);
  const say = () => {
    const at = chart.cursor.idx ?? series.times.length - 1;
    legend.replaceChildren(`${series.shown[at]} UTC`, ...names.map(name => {
      const part = document.createElement("span");
      part.className = name; // gives it the colour of its curve
      part.textContent = `${NAMES[name]} ${series.within[name]?.[at] ?? short(series[name][at])}`;
      return part;
    }));
  };
  chart.hooks.setCursor = [say];
  charts.push(chart);
  say();
}

function drawAll() {
  const gone = charts.filter(chart => !chart.root.isConnected);
  for (const chart of gone) chart.destroy();
  charts = charts.filter(chart => !gone.includes(chart));
  for (const place of document.querySelectorAll("[data-chart]")) if (!place.firstChild) draw(place);
}
function redraw() {
  for (const place of document.querySelectorAll("[data-chart]")) {
    place.replaceChildren();
    if (place.nextElementSibling) place.nextElementSibling.remove();
  }
  drawAll();
}
drawAll();
document.addEventListener("part:placed", drawAll);
addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
