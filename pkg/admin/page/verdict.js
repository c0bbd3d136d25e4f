// What is wrong, in words for somebody who never saw Foo: the worst first.

import { ago, count, percent, rate, seconds, several, span, words } from "./format.js";

const severity = { bad: 2, warn: 1, info: 0 };

// Shares of requests that fail: from the first on it is worth a word, from the
// second on it is the news.
const someFail = 0.01;
const manyFail = 0.05;

// A pair that waits for so long is stuck rather than slow.
const stuckSeconds = 10;

// The tail is slow if it is several times what it was, and can be felt.
const slowFactor = 5;
const slowSeconds = 0.005;

// ended is how requests ended between two statistics documents.
export function ended(before, after) {
  const change = (name) => Math.max(0, (after[name] ?? 0) - (before[name] ?? 0));
  const byReason = (name) => Object.entries(after[name] ?? {})
    .map(([reason, n]) => [reason, n - (before[name]?.[reason] ?? 0)])
    .filter(([, n]) => n > 0)
    .sort((a, b) => b[1] - a[1]);
  const w = { acked: change("acked"), naked: change("naked"), refused: change("nak_local"), unanswered: change("unanswered") };
  w.total = w.acked + w.naked + w.refused + w.unanswered;
  w.failed = w.total - w.acked;
  w.share = w.total ? w.failed / w.total : 0;
  w.seconds = Math.round((Date.parse(after.time) - Date.parse(before.time)) / 1000);
  w.refusedWhy = byReason("nak_local_by_reason");
  w.unansweredWhy = byReason("unanswered_by_reason");
  w.rejected = Math.max(0, (after.connections?.rejected ?? 0) - (before.connections?.rejected ?? 0));
  w.malformed = change("malformed");
  return w;
}

const reasons = (list) => (list.length ? ` (${list.map(([name]) => words(name)).join(", ")})` : "");

function failures(w) {
  if (w.share < someFail) return [];
  const grave = w.share >= manyFail ? "bad" : "warn";
  if (w.naked === undefined) return [{ level: grave, title: `${percent(w.share)} of requests fail`, detail: "" }];
  const refused = w.naked + w.refused;
  const what = !w.unanswered ? "are refused" : !refused ? "get no answer" : "are refused or get no answer";
  const parts = [];
  if (w.naked) parts.push(`${percent(w.naked / w.total)} by the upstream`);
  if (w.refused) parts.push(`${percent(w.refused / w.total)} by the sidecar${reasons(w.refusedWhy)}`);
  if (w.unanswered) parts.push(`${percent(w.unanswered / w.total)} without an answer${reasons(w.unansweredWhy)}`);
  return [{
    level: grave,
    title: `${percent(w.share)} of requests ${what}`,
    detail: `${parts.join(", ")}, in the last ${several(w.seconds, "second")}.`,
  }];
}

function upstreams(status) {
  return (status.upstreams ?? []).filter((u) => !u.reachable).map((u) => {
    const endpoint = u.endpoints?.find((e) => e.last_error);
    return {
      level: "bad",
      title: status.upstreams.length > 1 ? `upstream ${u.name} cannot be reached` : "the upstream cannot be reached",
      detail: endpoint ? `${endpoint.address}: ${endpoint.last_error}` : "",
    };
  });
}

function endpoints(status) {
  return (status.upstreams ?? []).filter((u) => u.reachable).flatMap((u) => (u.endpoints ?? [])
    .filter((e) => e.last_error)
    .map((e) => ({ level: "warn", title: `${e.address} of upstream ${u.name} cannot be reached`, detail: e.last_error })));
}

function parts(status, now) {
  const found = [];
  for (const l of status.listeners ?? []) {
    if (!l.bound) found.push({ level: "bad", title: `listener ${l.name} accepts no connections`, detail: l.error ?? "" });
  }
  const { config = {}, checkpoint = {} } = status;
  if (config.last_error) {
    found.push({
      level: "warn",
      title: "the new configuration was refused",
      detail: `${config.last_error}\nThe one before keeps running: generation ${config.generation}, loaded ${ago(config.loaded_at, now)}.`,
    });
  } else if (config.degraded) {
    found.push({ level: "warn", title: "what runs is not what the configuration file says", detail: "It is the last good configuration." });
  }
  if (checkpoint.enabled && checkpoint.last_error) {
    found.push({ level: "warn", title: "the statistics cannot be saved", detail: checkpoint.last_error });
  }
  return found;
}

function traffic({ stats, window, history }, now) {
  const found = [];
  const oldest = stats.oldest_request_seconds ?? 0;
  if (oldest >= stuckSeconds) {
    found.push({ level: "warn", title: `a request has been waiting for ${span(oldest)}`, detail: `${several(stats.in_flight, "request")} in flight.` });
  }
  if (window.rejected) {
    found.push({ level: "warn", title: "connections are turned away", detail: "A listener has as many connections as it may have." });
  }
  if (window.malformed) {
    found.push({ level: "warn", title: "messages cannot be decoded", detail: `${count(window.malformed)} in the last seconds, see the protocol violations below.` });
  }
  const tail = slowTail(history);
  if (tail) found.push(tail);
  if (stats.uptime_seconds < 30) {
    found.push({ level: "info", title: `the sidecar has been running for ${span(stats.uptime_seconds)} only`, detail: "" });
  }
  return found;
}

function slowTail(history) {
  const tails = history.map((p) => p.p99).filter((s) => s > 0);
  if (tails.length < 60) return null;
  const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
  const now = median(tails.slice(-10));
  const usual = median(tails.slice(0, -10));
  if (now < slowSeconds || now < slowFactor * usual) return null;
  return { level: "warn", title: "answers are slower than before", detail: `p99 is ${seconds(now)}; it was ${seconds(usual)} in the minutes before.` };
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

// verdict says how the sidecar is: a level, one line, a detail, and what else
// there is to know.
export function verdict(state) {
  const { status, stats, window } = state;
  const now = Date.parse(stats.time);
  const found = [...upstreams(status), ...parts(status, now), ...failures(window), ...endpoints(status), ...traffic(state, now)];
  found.sort((a, b) => severity[b.level] - severity[a.level]);
  const notReady = status.reasons ?? [];
  if (notReady.length) {
    const drain = status.drain?.draining;
    return {
      level: drain && !found.some((f) => f.level === "bad") ? "warn" : "bad",
      title: `Not ready: ${notReady.join("; ")}`,
      detail: drain ? `It ends when its work is done: ${several(status.drain.in_flight, "request")} and ${several(status.drain.connections, "connection")} are left.`
        : "Kubernetes sends this pod no traffic until this is put right.",
      more: found.map(line),
    };
  }
  const [worst, ...others] = found;
  if (worst && worst.level !== "info") {
    return { level: worst.level, title: `Ready, but ${worst.title}`, detail: worst.detail, more: others.map(line) };
  }
  const busy = window.total > 0 || stats.request_rate_10s > 0;
  return {
    level: "good",
    title: busy ? "Ready, all is well" : "Ready, but there are no requests",
    detail: busy ? `${rate(stats.request_rate_10s)} requests per second, ${window.failed ? `${percent(window.share)} of them fail` : "none fails"}.`
      : stats.connections?.open ? "Clients are connected, but send nothing." : "No client is connected.",
    more: found.map(line),
  };
}

const line = (f) => sentence(f.title) + (f.detail ? `: ${f.detail.split("\n")[0]}` : "");
