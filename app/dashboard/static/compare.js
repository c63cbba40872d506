// Curves of several runs, a panel for each metric in each stage, over steps or over the time since each began.

import { Charts } from "./chart.js";

const MOST_POINTS = 300, MOST_PANELS = 12;
const place = document.getElementById("charts");

async function curvesOf(run) {
  const dash = run.lastIndexOf("-");
  const answer = await fetch(`/v1/jobs/${run.slice(0, dash)}/metrics?attempt=${run.slice(dash + 1)}&points=${MOST_POINTS}`);
  return answer.ok ? (await answer.json()).curves ?? [] : [];
}

function panelsOf(runs, all, bySteps) {
  const panels = new Map();
  all.forEach((curves, index) => {
    const begin = Math.min(...curves.flatMap((curve) => curve.points.map((point) => Date.parse(point.at))));
    for (const curve of curves) {
      const title = `${curve.stage ?? ""} ${curve.name}`.trim();
      const panel = panels.get(title) ?? { title, unit: "", isMetric: true, series: runs.map((run) => ({ name: run, xs: [], ys: [] })) };
      panels.set(title, panel);
      panel.series[index].xs = curve.points.map((point, i) => bySteps ? point.step ?? i : (Date.parse(point.at) - begin) / 1000);
      panel.series[index].ys = curve.points.map((point) => typeof point.value === "number" ? point.value : NaN);
    }
  });
  return [...panels.values()].sort((a, b) => a.title < b.title ? -1 : 1).slice(0, MOST_PANELS);
}

async function draw() {
  const runs = place.dataset.runs.split(" ").filter(Boolean);
  const all = await Promise.all(runs.map(curvesOf));
  if (!all.some((curves) => curves.length)) return;
  let bySteps = true;
  const charts = new Charts(place, "step");
  const show = () => {
    const panels = panelsOf(runs, all, bySteps);
    const ends = panels.flatMap((panel) => panel.series.flatMap((each) => each.xs));
    charts.show(panels, Math.min(...ends), Math.max(...ends));
  };
  const label = document.createElement("label");
  const choice = label.appendChild(document.createElement("select"));
  choice.append(new Option("by steps", "step"), new Option("by time", "seconds"));
  choice.setAttribute("aria-label", "What the axis across tells");
  choice.addEventListener("change", () => { bySteps = choice.value === "step"; charts.turn(choice.value); show(); });
  charts.bar.prepend(label);
  show();
}

if (place) draw();
