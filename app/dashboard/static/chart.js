// Curves over one time axis, with one crosshair for all of them. SVG, so that styles make the colours.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000;

function draw(name, attributes, parent) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent?.append(element);
  return element;
}

function tag(name, className, parent, text = "") {
  const element = document.createElement(name);
  element.className = className;
  element.textContent = text;
  parent?.append(element);
  return element;
}

export function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "-";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

// Round numbers within a range, as people count.
function ticks(low, high) {
  const raw = (high - low) / 3 || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((times) => times * power).find((each) => each >= raw);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step / 1e6; at += step) found.push(Number(at.toPrecision(12)));
  return found;
}

function smoothed(values, weight) {
  if (!weight) return values;
  let mean = null;
  return values.map((value) => {
    if (!Number.isFinite(value)) return value;
    mean = mean === null ? value : mean * weight + value * (1 - weight);
    return mean;
  });
}

function nearest(xs, x) {
  let low = 0, high = xs.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle; else high = middle;
  }
  return Math.abs(xs[low] - x) <= Math.abs(xs[high] - x) ? low : high;
}

// One panel: {title, unit, isMetric, series: [{name, xs, ys}], floor, ceiling}.
class Panel {
  constructor(parent, panel, charts) {
    this.charts = charts;
    this.box = tag("div", `chart${panel.isMetric ? " is-metric" : ""}`, parent);
    this.legend = tag("p", "legend", this.box);
    const plot = tag("div", "plotbox", this.box);
    this.svg = draw("svg", { viewBox: `0 0 ${WIDTH} 100`, preserveAspectRatio: "none", role: "img", "aria-label": panel.title }, plot);
    this.scale = tag("div", "scale", plot);
    this.show(panel);
    this.svg.addEventListener("pointermove", (event) => charts.point(this.x(event)));
    this.svg.addEventListener("pointerleave", () => charts.point(null));
    this.svg.addEventListener("pointerdown", (event) => { this.from = this.x(event); });
    this.svg.addEventListener("pointerup", (event) => { charts.zoom(this.from, this.x(event)); this.from = undefined; });
    this.svg.addEventListener("dblclick", () => charts.zoom(null, null));
  }

  x(event) {
    const box = this.svg.getBoundingClientRect(), [from, to] = this.charts.range;
    return from + (event.clientX - box.left) / box.width * (to - from);
  }

  show(panel) {
    this.panel = panel;
    const [from, to] = this.charts.range, isLog = panel.isMetric && this.charts.isLog;
    const scaled = (y) => isLog ? (y > 0 ? Math.log10(y) : NaN) : y;
    this.series = panel.series.map((each) => ({ ...each, shown: smoothed(each.ys, panel.isMetric ? this.charts.smoothing : 0) }));
    const inside = this.series.flatMap((each) => each.shown.filter((_, i) => each.xs[i] >= from && each.xs[i] <= to).map(scaled))
      .filter(Number.isFinite);
    let low = panel.floor ?? Math.min(...inside), high = Math.max(panel.ceiling ?? -Infinity, ...inside);
    if (!inside.length) [low, high] = [0, 1];
    if (high <= low) [low, high] = [low - 0.5, low + 0.5];
    const margin = (high - low) * 0.06, top = high + margin, bottom = panel.floor === undefined ? low - margin : low;
    const y = (value) => 100 - (scaled(value) - bottom) / (top - bottom) * 100;
    const x = (at) => (at - from) / (to - from) * WIDTH;
    this.svg.replaceChildren();
    this.scale.replaceChildren();
    if (panel.isMetric) for (const band of this.charts.bands) {
      const left = Math.max(x(band.from) - 1, 0), right = Math.min(x(band.to) + 1, WIDTH);
      if (right > left) draw("rect", { class: `band is-${band.stage}`, x: left, width: right - left, height: 100 }, this.svg);
    }
    for (const tick of ticks(bottom, top)) {
      const at = 100 - (tick - bottom) / (top - bottom) * 100;
      draw("line", { class: "grid", x1: 0, x2: WIDTH, y1: at, y2: at }, this.svg);
      tag("span", "", this.scale, short(isLog ? 10 ** tick : tick)).style.top = `${at}%`;
    }
    this.series.forEach((each, index) => {
      const ys = each.shown.map(y), isTold = (i) => Number.isFinite(ys[i]);
      let path = "", lone = "";
      each.xs.forEach((at, i) => {
        if (!isTold(i)) return;
        const place = `${x(at).toFixed(1)} ${ys[i].toFixed(2)}`;
        path += `${isTold(i - 1) ? "L" : "M"}${place}`;
        if (!isTold(i - 1) && !isTold(i + 1)) lone += `M${place}h0`;
      });
      draw("path", { class: `k${index % 6 + 1}`, d: path || "M0 0" }, this.svg);
      if (lone) draw("path", { class: `lone k${index % 6 + 1}`, d: lone }, this.svg);
    });
    this.cross = draw("line", { class: "cross", y1: 0, y2: 100, x1: -1, x2: -1, "vector-effect": "non-scaling-stroke" }, this.svg);
    draw("rect", { class: "plot", width: WIDTH, height: 100 }, this.svg);
    this.point(null);
  }

  point(at) {
    const [from, to] = this.charts.range, where = at === null ? -100 : (at - from) / (to - from) * WIDTH;
    this.cross.setAttribute("x1", where);
    this.cross.setAttribute("x2", where);
    this.legend.replaceChildren();
    tag("b", "", this.legend, this.panel.title);
    this.series.forEach((each, index) => {
      if (!each.xs.length) return;
      const i = at === null ? each.xs.length - 1 : nearest(each.xs, at);
      const item = tag("span", "", this.legend);
      tag("span", `key k${index % 6 + 1}`, item);
      item.append(`${each.name} ${short(each.ys[i])}${this.panel.unit ? ` ${this.panel.unit}` : ""}`);
    });
  }
}

const clock = (at) => new Date(at * 1000).toISOString().slice(11, 19);

function passed(seconds) {
  if (seconds >= 3600) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds % 3600 / 60)} min`;
  return seconds >= 60 ? `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s` : `${seconds.toFixed(1)} s`;
}

// What the axis across tells: times of a day, seconds since the start, or steps.
const AXES = {
  time: { mark: (at) => `${clock(at)} UTC`, point: (at, from) => `${clock(at)} UTC, ${passed(at - from)} after its start` },
  seconds: { mark: passed, point: (at) => `${passed(at)} after the start` },
  step: { mark: (at) => `step ${Math.round(at)}`, point: (at) => `step ${Math.round(at)}` },
};

export class Charts {
  constructor(parent, axis = "time") {
    this.parent = parent;
    this.axisOf = AXES[axis];
    this.bands = [];
    this.panels = new Map();
    this.smoothing = 0;
    this.isLog = false;
    this.whole = this.range = [0, 1];
    this.zoomed = null;
    const bar = this.bar = tag("div", "chartbar", parent);
    const smooth = tag("label", "", bar, "Smoothing ");
    const slider = smooth.appendChild(Object.assign(document.createElement("input"), { type: "range", min: 0, max: 0.98, step: 0.02, value: 0 }));
    slider.addEventListener("input", () => { this.smoothing = Number(slider.value); this.refresh(); });
    const log = tag("label", "", bar);
    const box = log.appendChild(Object.assign(document.createElement("input"), { type: "checkbox" }));
    log.append(" Log axis");
    box.addEventListener("change", () => { this.isLog = box.checked; this.refresh(); });
    this.back = tag("button", "small", bar, "Whole time");
    this.back.type = "button";
    this.back.hidden = true;
    this.back.addEventListener("click", () => this.zoom(null, null));
    this.axis = tag("p", "axis", parent);
    this.when = tag("output", "", bar, "Drag to zoom");
  }

  // All panels, in their order, over the time [from, to] in seconds since 1970.
  show(panels, from, to) {
    this.whole = [from, Math.max(to, from + 1)];
    this.range = this.zoomed ?? this.whole;
    for (const panel of panels) {
      const known = this.panels.get(panel.title);
      if (known) known.show(panel);
      else this.panels.set(panel.title, new Panel(this.parent, panel, this));
    }
    this.parent.append(this.axis);
    this.showAxis();
  }

  showAxis() {
    const [from, to] = this.range;
    this.axis.replaceChildren();
    for (const at of [from, (from + to) / 2, to]) tag("span", "", this.axis, this.axisOf.mark(at));
  }

  refresh() {
    this.showAxis();
    for (const panel of this.panels.values()) panel.show(panel.panel);
  }

  point(at) {
    for (const panel of this.panels.values()) panel.point(at);
    this.when.textContent = at === null ? "Drag to zoom" : this.axisOf.point(at, this.whole[0]);
  }

  // Another kind of axis: all is drawn anew.
  turn(axis) {
    this.axisOf = AXES[axis];
    this.zoomed = null;
    this.back.hidden = true;
    for (const panel of this.panels.values()) panel.box.remove();
    this.panels.clear();
  }

  zoom(from, to) {
    const [begin, end] = this.range;
    if (from === null) this.zoomed = null;
    else if (from === undefined || Math.abs(to - from) < (end - begin) / 100) return;
    else this.zoomed = [Math.min(from, to), Math.max(from, to)];
    this.range = this.zoomed ?? this.whole;
    this.back.hidden = !this.zoomed;
    this.refresh();
  }
}
