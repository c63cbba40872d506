// The page of a job: its curves and its log, read anew when the page says that there is more.

import { Charts } from "./chart.js";
import { Log } from "./log.js";

const MOST_POINTS = 400, MOST_BANDS = 400;
const RESOURCES = [
  ["GPU", "%", "gpu_utilisation_percent", { floor: 0, ceiling: 100 }, 1],
  ["GPU memory", "GiB", "gpu_memory_mib", { floor: 0 }, 1024],
  ["CPU", "%", "cpu_percent", { floor: 0 }, 1],
  ["Memory", "GiB", "memory_mib", { floor: 0 }, 1024],
  ["GPU power", "W", "gpu_power_watts", { floor: 0 }, 1],
];

const place = document.getElementById("charts");
const log = document.getElementById("log");
const marks = () => document.querySelector("[data-points]")?.dataset ?? {};

function metricPanels(curves) {
  const byName = new Map();
  for (const curve of curves) {
    const xs = curve.points.map((point) => Date.parse(point.at) / 1000);
    const ys = curve.points.map((point) => typeof point.value === "number" ? point.value : NaN);
    const series = { name: curve.stage || "value", xs, ys };
    byName.set(curve.name, [...(byName.get(curve.name) ?? []), series]);
  }
  return [...byName].map(([title, series]) => ({ title, unit: "", isMetric: true, series: inStages(series) }));
}

// When other stages than the first told something: bands behind the curves. What lies close together is one band.
function bandsOf(curves) {
  const told = new Map();
  for (const curve of curves) {
    if (curve.stage) told.set(curve.stage, [...(told.get(curve.stage) ?? []), ...curve.points.map((point) => Date.parse(point.at) / 1000)]);
  }
  const all = [...new Set([...told.values()].flat())].sort((a, b) => a - b);
  const gaps = all.slice(1).map((at, i) => at - all[i]).sort((a, b) => a - b);
  const near = 4 * (gaps[gaps.length >> 1] ?? 0);
  const [first] = [...told.keys()].sort((a, b) => rankOf(a) - rankOf(b));
  const bands = [];
  for (const [stage, times] of told) {
    if (stage === first) continue;
    for (const at of times.sort((a, b) => a - b)) {
      const last = bands.at(-1);
      if (last?.stage === stage && at - last.to <= near) last.to = at;
      else bands.push({ stage, from: at, to: at });
    }
  }
  return bands.filter((band) => band.to > band.from).slice(-MOST_BANDS);
}

const STAGES = ["train", "val", "test"];
const rankOf = (stage) => (STAGES.indexOf(stage) + 4) % 4;
const inStages = (series) => series.sort((a, b) => rankOf(a.name) - rankOf(b.name));

function resourcePanels(items) {
  return RESOURCES.flatMap(([title, unit, key, range, divisor]) => {
    const told = items.filter((item) => item[key] !== undefined);
    if (told.length < 2 || !told.some((item) => item[key] > 0)) return [];
    const isSmall = divisor > 1 && Math.max(...told.map((item) => item[key])) < divisor;
    const ys = told.map((item) => isSmall ? item[key] : item[key] / divisor);
    return [{ title, unit: isSmall ? "MiB" : unit, isMetric: false, series: [{ name: "", xs: told.map((item) => item.at), ys }], ...range }];
  });
}

// What the colours of the bands mean.
function tellBands(charts) {
  charts.bandKey ??= charts.bar.appendChild(Object.assign(document.createElement("span"), { className: "bandkey" }));
  const stages = [...new Set(charts.bands.map((band) => band.stage))];
  if (charts.bandKey.dataset.stages === stages.join()) return;
  charts.bandKey.dataset.stages = stages.join();
  charts.bandKey.replaceChildren(...stages.flatMap((stage) => {
    const key = Object.assign(document.createElement("span"), { className: `bandmark is-${stage}` });
    return [key, document.createTextNode(`${stage} `)];
  }));
}

async function ask(path) {
  const answer = await fetch(path);
  return answer.ok ? answer.json() : null;
}

let charts = null, isDrawing = false;

async function drawCurves() {
  if (isDrawing) return;
  isDrawing = true;
  try {
    const { job, attempt, since, until } = place.dataset;
    const from = Date.parse(since) / 1000, to = until ? Date.parse(until) / 1000 : Date.now() / 1000;
    const step = Math.max(1, Math.ceil((to - from) / MOST_POINTS));
    const [metrics, samples] = await Promise.all([
      ask(`/v1/jobs/${job}/metrics?attempt=${attempt}&points=${MOST_POINTS}`),
      ask(`/v1/jobs/${job}/samples?attempt=${attempt}&since=${encodeURIComponent(since)}&step=${step}`),
    ]);
    const panels = [...metricPanels(metrics?.curves ?? []), ...resourcePanels(samples?.items ?? [])];
    if (!panels.length) return;
    charts ??= new Charts(place);
    charts.bands = bandsOf(metrics?.curves ?? []);
    charts.show(panels, from, to);
    tellBands(charts);
  } finally {
    isDrawing = false;
  }
}

const REST = 2000;
let known = "", drawnAt = 0, timer = 0;

function follow() {
  const { points, log: bytes, state, attempt } = marks();
  if (attempt !== place.dataset.attempt) { // another attempt has begun
    if (!new URLSearchParams(location.search).has("attempt")) location.reload();
    return;
  }
  const now = `${points} ${bytes} ${state}`;
  if (now === known && state !== "running") return;
  known = now;
  shown.read();
  clearTimeout(timer);
  timer = setTimeout(() => { drawnAt = Date.now(); drawCurves(); }, Math.max(0, drawnAt + REST - Date.now()));
}

const shown = log && new Log(log);
if (place && log) {
  follow();
  document.addEventListener("levare:changed", follow);
}
