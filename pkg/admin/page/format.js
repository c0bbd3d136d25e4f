// How numbers, times and tables are written. Whatever comes from the sidecar is
// set as text, never as markup: it may have come from anybody.

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

export const count = (n) => plain.format(n ?? 0);

export const brief = (n) => (Math.abs(n ?? 0) < 100_000 ? count(n) : short.format(n));

export function rate(n) {
  n ??= 0;
  return n > 0 && n < 10 ? n.toFixed(1) : brief(n);
}

export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  return `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
}

// seconds writes a short time with three digits that count.
export function seconds(s) {
  if (!(s > 0)) return "0";
  const [value, unit] = s < 1e-3 ? [s * 1e6, "µs"] : s < 1 ? [s * 1e3, "ms"] : [s, "s"];
  return `${Number(value.toPrecision(3))} ${unit}`;
}

// span writes a long time roughly.
export function span(s) {
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (s >= size) return several(Math.floor(s / size), unit);
  }
  return several(Math.max(0, Math.floor(s)), "second");
}

export const several = (n, noun) => `${brief(n)} ${noun}${n === 1 ? "" : "s"}`;

// bytes writes a size.
export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let i = 0;
  for (n ??= 0; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${i && n < 100 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

// ago writes how long before now a moment was; both are of the sidecar's clock.
export function ago(when, now) {
  return when ? `${span((now - Date.parse(when)) / 1000)} ago` : "never";
}

export const clock = (when) => new Date(when).toLocaleTimeString("en-GB");

export const words = (name) => String(name ?? "").replaceAll("_", " ");

export const by = (id) => document.getElementById(id);

// put sets the text of an element if it is another one, so that a selection
// stays and screen readers are not told twice.
export function put(id, text) {
  const element = by(id);
  if (element.textContent !== text) element.textContent = text;
}

export function level(element, name) {
  if (name) element.dataset.level = name;
  else delete element.dataset.level;
}

function cell(name, value) {
  const element = document.createElement(name);
  const { text, tone, title, mono } = value !== null && typeof value === "object" ? value : { text: value };
  element.textContent = text ?? "";
  if (title) element.title = title;
  if (mono) element.className = "mono";
  level(element, tone);
  return element;
}

const shown = new Map(); // what is in a place now, as a string

// fresh reports whether what is to be shown in a place is not there already.
function fresh(id, content) {
  const text = JSON.stringify(content);
  return shown.get(id) !== text && shown.set(id, text);
}

// table shows rows of cells. A cell is a text, or an object with text, tone,
// title and mono.
export function table(id, columns, rows, none) {
  if (!fresh(id, rows)) return;
  if (!rows.length) {
    const p = cell("p", none);
    p.className = "none";
    by(id).replaceChildren(p);
    return;
  }
  const element = document.createElement("table");
  const head = element.createTHead().insertRow();
  for (const column of columns) {
    const th = cell("th", column);
    th.scope = "col";
    head.append(th);
  }
  const body = element.createTBody();
  for (const row of rows) {
    const tr = body.insertRow();
    row.forEach((value, i) => {
      const td = cell("td", value);
      td.dataset.label = columns[i];
      tr.append(td);
    });
  }
  by(id).replaceChildren(element);
}

// facts shows pairs of a name and a cell; those without a value are left out.
export function facts(id, pairs) {
  pairs = pairs.filter(([, value]) => value);
  if (!fresh(id, pairs)) return;
  by(id).replaceChildren(...pairs.flatMap(([name, value]) => [cell("dt", name), cell("dd", value)]));
}

// alarm shows a text, or nothing.
export function alarm(id, text) {
  put(id, text ?? "");
  by(id).hidden = !text;
}
