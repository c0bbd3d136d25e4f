// The charts: lines by uPlot, and a heat map of our own. All show the same five
// minutes, and the line under the pointer is the same in all of them.

import { brief, by, clock, count, rate, seconds } from "./format.js";

export const chartSeconds = 300;
const height = 180; // without the legend
const axisWidth = 62;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const lines = {
  "chart-rates": { value: rate, series: [
    ["requests", "sky", (p) => p.request_rate, 1], ["10 s", "blue", (p) => p.request_mean, 2],
    ["answers", "mint", (p) => p.response_rate, 1], ["10 s", "green", (p) => p.response_mean, 2]] },
  "chart-failed": { value: rate, series: [["failed", "red", (p) => p.failed, 2, true]] },
  "chart-latency": { value: seconds, log: true, series: [
    ["p50", "green", (p) => p.p50 || null, 1.5], ["p90", "blue", (p) => p.p90 || null, 1.5], ["p99", "orange", (p) => p.p99 || null, 2]] },
  "chart-flight": { value: brief, whole: true, series: [["in flight", "blue", (p) => p.in_flight, 2, true]] },
  "chart-connections": { value: brief, whole: true, series: [["clients", "green", (p) => p.connections, 2, true]] },
};

// steps are those between the marks of an axis of whole numbers.
const steps = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((n) => n * 10 ** power)).flat();

const drawn = new Map(); // uPlot by the id of its place

// linear is the range of an axis that begins at 0.
const linear = (u, min, max) => [0, Math.max(1, (max ?? 0) * 1.08)];

// decades is the range of a logarithmic axis.
function decades(u, min, max) {
  if (!(max > 0)) return [1e-4, 1e-1];
  const low = Math.floor(Math.log10(min) + 1e-9);
  return [10 ** low, 10 ** Math.max(low + 1, Math.ceil(Math.log10(max) - 1e-9))];
}

function make(id, data) {
  const { value, log, whole, series } = lines[id];
  const text = colour("muted");
  const grid = { stroke: colour("line"), width: 1 };
  return new uPlot({
    width: by(id).clientWidth || 300,
    height,
    padding: [10, 8, 0, 0],
    cursor: { sync: { key: "foo" }, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { x: { time: true }, y: { distr: log ? 3 : 1, range: log ? decades : linear } },
    axes: [
      { stroke: text, grid, ticks: grid, size: 30, incrs: [60, 120], space: 62, values: (u, splits) => splits.map((s) => clock(s * 1000)) },
      { stroke: text, grid, ticks: grid, size: axisWidth, ...(whole && { incrs: steps }),
        values: (u, splits) => splits.map((s) => (s === null ? "" : value(s))) },
    ],
    series: [
      { label: "time", value: (u, s) => (s === null ? "" : clock(s * 1000)) },
      ...series.map(([label, tone, , width, fill]) => ({
        label, width, stroke: colour(tone), fill: fill ? `${colour(tone)}22` : undefined, points: { show: false },
        value: (u, n) => (n === null || n === undefined ? "–" : value(n)),
      })),
    ],
  }, data, by(id));
}

// columns turns points into what uPlot wants: the times, then each series. Where
// points are missing, for lack of a sidecar, there is a gap.
function columns(points, series) {
  const data = [[], ...series.map(() => [])];
  let last;
  for (const p of points) {
    if (last && p.t - last > 2.5) {
      data[0].push(last + 1);
      series.forEach((_, i) => data[i + 1].push(null));
    }
    data[0].push(p.t);
    series.forEach(([, , read], i) => data[i + 1].push(read(p) ?? null));
    last = p.t;
  }
  return data;
}

// mean adds the averages over ten seconds.
function mean(points) {
  return points.map((p, i) => {
    const last = points.slice(Math.max(0, i - 9), i + 1).filter((q) => p.t - q.t < 10);
    const average = (name) => last.reduce((sum, q) => sum + q[name], 0) / last.length;
    return { ...p, request_mean: average("request_rate"), response_mean: average("response_rate") };
  });
}

// draw shows the points in all charts.
export function draw(points, bounds) {
  if (!points.length) return;
  points = mean(points);
  const now = points.at(-1).t;
  for (const [id, { series }] of Object.entries(lines)) {
    const data = columns(points, series);
    let u = drawn.get(id);
    if (!u) drawn.set(id, u = make(id, data));
    u.batch(() => {
      u.setData(data, false);
      u.setScale("x", { min: now - chartSeconds, max: now });
    });
    // Without a pointer the legend tells the newest values.
    if (u.cursor.idx === null || u.cursor.left < 0) u.setLegend({ idx: data[0].length - 1 });
  }
  heat.points = points;
  heat.bounds = bounds;
  paint();
}

// restyle makes the charts anew, when the colours or the width have changed.
export function restyle() {
  for (const u of drawn.values()) u.destroy();
  drawn.clear();
}

// resize fits the charts to their places.
export function resize() {
  for (const [id, u] of drawn) u.setSize({ width: by(id).clientWidth, height });
  paint();
}

const heat = { points: [], bounds: [], pointer: null };

// rows are the buckets that are worth showing: those that were hit, with one
// more on either side.
function rows() {
  let low = heat.bounds.length;
  let high = 0;
  for (const { buckets = [] } of heat.points) {
    buckets.forEach((n, i) => {
      if (n > 0) [low, high] = [Math.min(low, i), Math.max(high, i)];
    });
  }
  if (low > high) [low, high] = [4, 10]; // nothing yet: something in the middle
  while (high - low < 6 && (low > 0 || high < heat.bounds.length)) {
    low = Math.max(0, low - 1);
    high = Math.min(heat.bounds.length, high + 1);
  }
  return { low, high };
}

const triple = (name) => colour(name).split(" ").map(Number);

// shade returns the colour of a share from 0 to 1.
function shade(share, [low, mid, high]) {
  const [from, to, part] = share < 0.5 ? [low, mid, share * 2] : [mid, high, share * 2 - 1];
  return `rgb(${from.map((c, i) => Math.round(c + (to[i] - c) * part)).join(" ")})`;
}

function paint() {
  const canvas = by("heat");
  const { clientWidth: width, clientHeight: tall } = canvas;
  if (!heat.points.length || !width) return;
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(tall * scale);
  const g = canvas.getContext("2d");
  g.scale(scale, scale);
  const plot = { left: axisWidth, top: 10, width: width - axisWidth - 8, height: tall - 32 };
  const { low, high } = rows();
  const lane = plot.height / (high - low + 1);
  const now = heat.points.at(-1).t;
  const x = (t) => plot.left + ((t - now + chartSeconds) / chartSeconds) * plot.width;
  const y = (i) => plot.top + (high - i) * lane;
  const most = Math.log1p(Math.max(1, ...heat.points.flatMap((p) => p.buckets ?? [])));
  const ramp = [triple("heat-low"), triple("heat-mid"), triple("heat-high")];
  const wide = Math.max(1, plot.width / chartSeconds);
  for (const p of heat.points) {
    if (p.t <= now - chartSeconds) continue;
    (p.buckets ?? []).forEach((n, i) => {
      if (!n) return;
      g.fillStyle = shade(Math.log1p(n) / most, ramp);
      g.fillRect(x(p.t - 1), y(i), wide + 0.4, Math.max(1, lane - 1));
    });
  }
  scales(g, plot, { low, high, lane, x, y, now });
  Object.assign(heat, { plot, low, high, lane, now });
  tell();
}

// scales draws the names of the rows and the times.
function scales(g, plot, { low, high, lane, x, y, now }) {
  g.font = "12px system-ui, sans-serif";
  g.fillStyle = colour("muted");
  g.strokeStyle = colour("line");
  g.textAlign = "right";
  g.textBaseline = "middle";
  const every = Math.ceil(15 / lane);
  for (let i = low; i <= high; i++) {
    // A bound is the upper edge of its bucket.
    if ((high - i) % every || i >= heat.bounds.length) continue;
    g.fillText(seconds(heat.bounds[i]), plot.left - 7, Math.max(6, y(i)));
    g.beginPath();
    g.moveTo(plot.left - 4, y(i));
    g.lineTo(plot.left, y(i));
    g.stroke();
  }
  g.strokeRect(plot.left, plot.top, plot.width, plot.height);
  g.textAlign = "center";
  g.textBaseline = "top";
  const step = plot.width < 310 ? 120 : 60;
  for (let t = Math.ceil((now - chartSeconds) / step) * step; t <= now; t += step) {
    if (x(t) > plot.left + 10 && x(t) < plot.left + plot.width - 20) g.fillText(clock(t * 1000), x(t), plot.top + plot.height + 8);
  }
}

// between names what a bucket holds.
function between(i) {
  const { bounds } = heat;
  if (i >= bounds.length) return `over ${seconds(bounds.at(-1))}`;
  return i ? `${seconds(bounds[i - 1])} to ${seconds(bounds[i])}` : `up to ${seconds(bounds[0])}`;
}

// tell says what is under the pointer, or what the picture means.
function tell() {
  let text = "The darker, the more requests took so long.";
  if (matchMedia("(prefers-color-scheme: dark)").matches) text = text.replace("darker", "brighter");
  const { plot, pointer } = heat;
  if (pointer && plot) {
    const t = heat.now - chartSeconds + ((pointer.x - plot.left) / plot.width) * chartSeconds;
    const i = heat.high - Math.floor((pointer.y - plot.top) / heat.lane);
    const p = heat.points.find((q) => q.t - 1 <= t && t < q.t);
    if (p && i >= heat.low && i <= heat.high) text = `${clock(p.t * 1000)}: ${count(p.buckets?.[i])} took ${between(i)}.`;
  }
  by("heat-hint").textContent = text;
}

export function watchPointer() {
  const canvas = by("heat");
  canvas.addEventListener("pointermove", (e) => {
    heat.pointer = { x: e.offsetX, y: e.offsetY };
    tell();
  });
  canvas.addEventListener("pointerleave", () => {
    heat.pointer = null;
    tell();
  });
}
