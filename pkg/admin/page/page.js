// The status page: takes the events of the sidecar and shows them.

import { chartSeconds, draw, resize, restyle, watchPointer } from "./charts.js";
import { alarm, ago, brief, by, bytes, clock, count, facts, level, percent, put, rate, seconds, several, span, table, words } from "./format.js";
import { ended, verdict } from "./verdict.js";

const silence = 5000; // ms without an event after which the connection counts as lost
const retryAfter = 2000; // ms until the next attempt
const windowSeconds = 10; // what "now" means for shares
const listed = 12; // rows of a list; the rest is behind its link

let points = []; // what the charts show
let documents = []; // statistics of the last windowSeconds
let version; // of the sidecar that this page came from

function remember(doc, first) {
  const { stats } = doc;
  // A process that was started anew counts anew.
  if (first || documents.at(-1)?.uptime_seconds > stats.uptime_seconds) documents = [];
  documents.push(stats);
  const now = Date.parse(stats.time);
  documents = documents.filter((s) => now - Date.parse(s.time) <= (windowSeconds + 0.5) * 1000);
  if (first) points = [];
  for (const p of doc.history ?? []) {
    const t = Date.parse(p.time) / 1000;
    if (!(t <= points.at(-1)?.t)) points.push({ ...p, t });
  }
  points = points.filter((p) => p.t > points.at(-1).t - chartSeconds - 1);
}

// recently is how the last seconds were. A page that has just begun knows no
// more of them than the history tells, which is not who refused what.
function recently() {
  if (documents.length > 2) return ended(documents[0], documents.at(-1));
  const last = points.slice(-windowSeconds);
  const sum = (name) => last.reduce((total, p) => total + (p[name] ?? 0), 0);
  const failed = sum("failed");
  const total = Math.max(sum("request_rate"), sum("response_rate"), failed);
  return { total, failed, share: total ? failed / total : 0, seconds: last.length };
}

function show(doc, first) {
  if (version !== undefined && version !== doc.stats.version) {
    location.reload(); // Another sidecar may come with another page.
    return;
  }
  version = doc.stats.version;
  remember(doc, first);
  const state = { ...doc, window: recently(), history: points };
  showVerdict(verdict(state));
  showTiles(state);
  showParts(state);
  showRecent(state);
  draw(points, doc.bounds ?? []);
}

function showVerdict(v) {
  level(by("verdict"), v.level);
  put("verdict-title", v.title);
  put("verdict-detail", v.detail);
  const more = by("verdict-more");
  if (JSON.stringify(v.more) !== more.dataset.text) {
    more.dataset.text = JSON.stringify(v.more);
    more.replaceChildren(...v.more.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  }
  document.title = `${v.level === "good" ? "" : "⚠ "}${location.host} · foo-sidecar`;
}

function showTiles({ stats, status, window: w }) {
  put("version", stats.version);
  put("uptime", `up for ${span(stats.uptime_seconds)}`);
  put("tile-requests", rate(stats.request_rate_1s));
  put("tile-requests-more", `${rate(stats.request_rate_10s)} over 10 s`);
  put("tile-answers", rate(stats.response_rate_1s));
  put("tile-answers-more", `${rate(stats.response_rate_10s)} over 10 s`);
  put("tile-failed", percent(w.share));
  put("tile-failed-more", `${w.failed ? several(Math.round(w.failed), "request") : "none"} in ${w.seconds} s`);
  level(by("tile-failed").closest(".tile"), w.share >= 0.05 ? "bad" : w.share >= 0.01 ? "warn" : "");
  const last = points.findLast((p) => p.p99 > 0);
  const current = last && last.t > (points.at(-1)?.t ?? 0) - windowSeconds;
  put("tile-latency", current ? seconds(last.p99) : "–");
  put("tile-latency-more", current ? `p50 ${seconds(last.p50)}, p90 ${seconds(last.p90)}` : "no answers now");
  put("tile-flight", brief(stats.in_flight));
  put("tile-flight-more", stats.oldest_request_seconds > 0 ? `the oldest for ${seconds(stats.oldest_request_seconds)}` : "");
  put("tile-connections", brief(stats.connections?.open));
  const up = (status.upstreams ?? []).reduce((n, u) => n + u.connections, 0);
  put("tile-connections-more", `${brief(up)} upstream`);
}

const yes = (text) => ({ text, tone: "good" });
const no = (text) => ({ text, tone: "bad" });

function showParts({ stats, status }) {
  const now = Date.parse(stats.time);
  table("upstreams", ["Upstream", "Address", "State", "Connected", "Failed", "Last failure"], (status.upstreams ?? []).flatMap((u) =>
    (u.endpoints ?? []).map((e) => [
      u.name, { text: e.address, mono: true },
      e.last_error ? no("cannot be reached") : e.dialed ? yes("reached") : { text: "not tried yet", tone: "unknown" },
      several(e.dialed, "time"), several(e.failed, "time"),
      e.last_failure ? `${ago(e.last_failure, now)}${e.last_error ? `: ${e.last_error}` : ""}` : "never",
    ])), "There is no upstream.");
  const numbers = new Map((stats.listeners ?? []).map((l) => [l.name, l]));
  table("listeners", ["Listener", "Address", "Upstream", "State", "Connections", "In flight", "Requests per second", "p99 since the start"],
    (status.listeners ?? []).map((l) => [
      l.name, { text: l.address, mono: true }, l.upstream, l.bound ? yes("accepts connections") : no(l.error || "accepts no connections"),
      brief(l.connections), brief(l.in_flight), rate(numbers.get(l.name)?.request_rate_10s), seconds(numbers.get(l.name)?.latency_seconds?.p99),
    ]), "There is no listener.");

  const { config = {}, checkpoint = {}, drain = {} } = status;
  alarm("config-error", config.last_error && `Refused ${ago(config.last_error_at, now)}:\n${config.last_error}`);
  facts("config", [
    ["State", config.degraded || config.last_error ? no("not what the file says") : yes("as the file says")],
    ["Generation", count(config.generation)],
    ["In force since", config.loaded_at && { text: ago(config.loaded_at, now), title: config.loaded_at }],
    ["Hash", { text: config.hash?.slice(0, 16), title: config.hash, mono: true }],
    ["Draining", drain.draining && { text: `for ${span((now - Date.parse(drain.since)) / 1000)}`, tone: "warn" }],
  ]);
  alarm("checkpoint-error", checkpoint.enabled && checkpoint.last_error);
  facts("checkpoint", [
    ["State", !checkpoint.enabled ? { text: "off" } : checkpoint.last_error ? no("cannot be saved") : checkpoint.last_success ? yes("saved") : "not saved yet"],
    ["Last saved", checkpoint.enabled && { text: ago(checkpoint.last_success, now), title: checkpoint.last_success }],
    ["Where", { text: checkpoint.store, mono: true }],
    ["Went on after a restart", stats.recovered && "yes"],
  ]);
  showTotals(stats);
}

function showTotals(s) {
  const why = (byReason) => Object.entries(byReason ?? {}).filter(([, n]) => n > 0).map(([name, n]) => [`– ${words(name)}`, count(n)]);
  const some = (name, n) => (n > 0 ? [[name, count(n)]] : []);
  facts("totals", [
    ["Granted (ACK)", count(s.acked)],
    ["Refused by the upstream (NAK)", count(s.naked)],
    ["Refused by the sidecar", count(s.nak_local)], ...why(s.nak_local_by_reason),
    ["Not answered", count(s.unanswered)], ...why(s.unanswered_by_reason),
    ...some("Answers to no request", s.unmatched_answers),
    ...some("Undecodable messages", s.malformed),
    ["Received from clients", bytes(s.bytes?.client)],
    ["Received from upstreams", bytes(s.bytes?.upstream)],
  ]);
}

const outcomes = {
  ack: { text: "granted", tone: "good" },
  nak: { text: "refused by the upstream", tone: "bad" },
  nak_local: { text: "refused by the sidecar", tone: "bad" },
  unanswered: { text: "no answer", tone: "bad" },
};

function pairs(id, records, payload, none) {
  const columns = ["Time", "Outcome", "Duration", "Seq", "Client", "Server", "Trace"];
  if (payload) columns.push("Request", "Answer");
  table(id, columns, (records ?? []).slice(0, listed).map((r) => {
    const outcome = outcomes[r.outcome] ?? { text: r.outcome };
    const row = [
      { text: clock(r.time), title: r.time },
      { ...outcome, text: outcome.text + (r.reason ? `: ${words(r.reason)}` : "") },
      seconds(r.duration_seconds), String(r.seq), { text: r.client, mono: true }, { text: r.server || "none", mono: true }, { text: r.trace_id, mono: true },
    ];
    if (payload) row.push({ text: r.request, mono: true }, { text: r.answer, mono: true });
    return row;
  }), none);
}

function showRecent({ recent = {} }) {
  pairs("failed", recent.failed, recent.payload, "None so far.");
  pairs("slow", recent.slow, recent.payload, "None so far.");
  table("violations", ["Time", "From", "What", "At byte", "Size", "Client", "Message"], (recent.violations ?? []).slice(0, listed).map((v) => [
    { text: clock(v.time), title: v.time }, v.side, words(v.kind), count(v.offset), bytes(v.size), { text: v.client, mono: true }, { text: v.raw, mono: true },
  ]), "None so far.");
}

// The connection. It is made while somebody looks: a tab in the background
// costs the sidecar nothing.
let source;
let heard = 0; // when there was an event last
let retrying;
let first = true; // the next event is the first one of its connection

function live(state, text) {
  by("live").dataset.state = state;
  put("live", text);
  document.body.classList.toggle("stale", state === "lost");
}

function disconnect() {
  source?.close();
  source = undefined;
  clearTimeout(retrying);
  retrying = undefined;
}

function lost(text) {
  disconnect();
  live("lost", text);
  showVerdict({
    level: "unknown",
    title: "The sidecar does not answer",
    detail: "Connection lost, trying again. What is below is what it said last.",
    more: [],
  });
  retrying = setTimeout(connect, retryAfter);
}

function connect() {
  disconnect();
  if (document.hidden) return;
  heard = Date.now();
  first = true;
  source = new EventSource("events");
  source.addEventListener("update", (e) => {
    heard = Date.now();
    live("live", "live");
    show(JSON.parse(e.data), first);
    first = false;
  });
  source.addEventListener("problem", (e) => {
    heard = Date.now();
    live("lost", "no data");
    showVerdict({ level: "unknown", title: "The sidecar has no data for this page", detail: e.data, more: [] });
  });
  source.addEventListener("error", async () => {
    lost("connection lost, trying again");
    // An event source does not tell why.
    const reply = await fetch("health").catch(() => undefined);
    if (reply?.ok && retrying) put("verdict-detail", "It is alive, but gives this page no data: it may have too many viewers, or be about to end. Trying again.");
  });
}

setInterval(() => {
  if (source && Date.now() - heard > silence) lost("connection lost, trying again");
}, 1000);

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return connect();
  disconnect();
  live("waiting", "paused");
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", restyle);
window.addEventListener("resize", resize);

put("host", location.host);
watchPointer();
connect();
