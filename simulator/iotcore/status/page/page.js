"use strict";
// Everything from the network is put on the page as text, never as markup.
const EVERY_MS = 1000;
const SHOWN_MS = 120000;
const history = [];
let lastAnswer = null;
let previous = null;

const byId = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en");
const rough = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const count = (value) => whole.format(value);
const rate = (value) => (value >= 100 ? whole.format(Math.round(value)) : rough.format(value));

// Control characters and those that reorder a line are shown as what they are.
const visible = (value) =>
  String(value).replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu, (found) =>
    "\\u{" + found.codePointAt(0).toString(16) + "}");

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = visible(text);
  if (className) made.className = className;
  return made;
}

function size(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) { bytes /= 1024; unit += 1; }
  return rough.format(bytes) + " " + units[unit];
}

function duration(seconds) {
  const whole_s = Math.floor(seconds);
  const days = Math.floor(whole_s / 86400);
  const hours = Math.floor(whole_s / 3600) % 24;
  const minutes = Math.floor(whole_s / 60) % 60;
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${whole_s % 60} s` : `${whole_s} s`;
}

function tile(title, value, note, isHot) {
  const box = element("div", undefined, isHot ? "hot" : "");
  box.append(element("dt", title), element("dd", value), element("dd", note, "note"));
  return box;
}

function table(id, heads, rows, nothing) {
  const head = document.createElement("thead");
  const body = document.createElement("tbody");
  const titles = document.createElement("tr");
  heads.forEach(([title, kind]) => {
    const cell = element("th", title, kind === "number" ? "number" : "");
    cell.scope = "col";
    titles.append(cell);
  });
  head.append(titles);
  rows.forEach((row) => {
    const line = document.createElement("tr");
    row.forEach((value, place) => line.append(element("td", value, heads[place][1])));
    body.append(line);
  });
  if (rows.length) byId(id).replaceChildren(head, body);
  else {
    const line = document.createElement("tr");
    line.append(element("td", nothing, "quiet"));
    body.append(line);
    byId(id).replaceChildren(body);
  }
}

function draw(now) {
  while (history.length && now - history[0].at > SHOWN_MS) history.shift();
  if (!history.length) return;
  const peak = Math.max(1, ...history.flatMap((each) => [each.in, each.out, each.refused]));
  const chart = byId("chart");
  chart.replaceChildren();
  for (const name of ["in", "out", "refused"]) {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    line.setAttribute("class", name);
    line.setAttribute("points", history.map((each) => {
      const x = 600 * (1 - (now - each.at) / SHOWN_MS);
      return x.toFixed(1) + "," + (116 - 110 * each[name] / peak).toFixed(1);
    }).join(" "));
    chart.append(line);
  }
  const last = history[history.length - 1];
  chart.setAttribute("aria-label",
    `in ${rate(last.in)}, out ${rate(last.out)}, refused ${rate(last.refused)} a second`);
  byId("peak").textContent = `highest ${rate(peak)} a second`;
}

function show(status) {
  const { totals, per_s: per, quotas, clock } = status;
  document.title = `${count(status.connections)} connections · IoT Core stand-in`;
  const time = new Date(clock.unix_s * 1000).toISOString().replace("T", " ").slice(0, 19);
  const ahead = clock.ahead_s ? `, ${duration(clock.ahead_s)} ahead of this machine` : "";
  byId("where").textContent = visible(
    `${status.host} port ${status.port} · ${status.region} · account ${status.account} · ` +
    `up ${duration(status.uptime_s)} · clock ${time} UTC${ahead}`);
  byId("version").textContent = visible(`morai-edge ${status.version}`);
  byId("tiles").replaceChildren(
    tile("connections", count(status.connections), `${count(status.sessions)} sessions`),
    tile("messages in", rate(per.publishes_in) + "/s", count(totals.publishes_in) + " in all"),
    tile("messages out", rate(per.publishes_out) + "/s", count(totals.publishes_out) + " in all"),
    tile("bytes in", size(per.bytes_in) + "/s", size(per.bytes_out) + "/s out"),
    tile("connects", rate(per.connects) + "/s", count(totals.connects) + " in all"),
    tile("refused by quotas", rate(per.refused) + "/s", count(totals.refused) + " in all",
      per.refused > 0),
    tile("things", count(status.registered.things || 0),
      `${count(status.registered.certificates || 0)} certificates`),
    tile("retained messages", count(status.retained_messages),
      count(totals.messages_queued) + " others had to wait"));
  const kept = status.persistence;
  byId("data").textContent = visible(!kept ? "Nothing is kept when it stops (--data-dir)."
    : `Kept in ${kept.directory}; saves: ${count(kept.saves)}` +
      (kept.failed_saves ? `, FAILED: ${count(kept.failed_saves)}.` : "."));
  const words = { enforce: "enforced", observe: "only counted", off: "off" };
  byId("quotas").textContent = visible(quotas.mode === "off"
    ? "Quotas on rates are off." : `Quotas of ${quotas.table} (${quotas.date}), ${words[quotas.mode]}.`);
  const list = quotas.refusals.map((refusal) => {
    const item = element("li", refusal.text);
    if (refusal.clients.length > 1) {
      const named = refusal.clients.slice(0, 5)
        .map((each) => `${each.client_id} ${count(each.refused)}`).join(", ");
      item.append(element("div", named, "clients"));
    }
    return item;
  });
  byId("refusals").replaceChildren(...(list.length ? list : [element("li", "Nothing.", "none")]));
  table("talkers",
    [["client", "name"], ["from", "name"], ["in /s", "number"], ["out /s", "number"],
      ["in", "number"], ["out", "number"], ["filters", "number"], ["waiting", "number"]],
    status.talkers.map((each) => [each.client_id, each.address, rate(each.in_per_s),
      rate(each.out_per_s), count(each.publishes_in), count(each.publishes_out),
      count(each.subscriptions), count(each.queued)]),
    "Nobody is connected.");
  table("causes", [["cause", "name"], ["times", "number"]],
    Object.entries(status.causes).filter(([name]) => !name.startsWith("quota:"))
      .sort((a, b) => b[1] - a[1]).map(([name, times]) => [name.replaceAll("_", " "), count(times)]),
    "Nothing.");
  table("services", [["service", "name"], ["figures", "name"]],
    Object.entries(status.services).map(([name, figures]) => [name, said(figures)]),
    "None is on: their topics behave as ordinary ones.");
  byId("api-section").hidden = !status.api;
  if (status.api) {
    table("api", [["operation", "name"], ["requests", "number"]],
      Object.entries(status.api.operations || {}).sort((a, b) => b[1] - a[1]).slice(0, 20)
        .map(([name, times]) => [name, count(times)])
        .concat(Object.entries(status.api.errors || {}).sort((a, b) => b[1] - a[1]).slice(0, 10)
          .map(([name, times]) => [`refused: ${name}`, count(times)])),
      "No request yet.");
  }
}

// The chart shows what happened between two answers; the figures above it look back ten seconds.
function note(status) {
  const before = previous;
  const elapsed_s = before ? status.uptime_s - before.uptime_s : -1;
  // The same answer again: the stand-in keeps one for a moment.
  if (elapsed_s === 0) return;
  previous = status;
  if (elapsed_s < 0) {
    // The first answer, or the stand-in was started again.
    history.length = 0;
    return;
  }
  const per = (name) => (status.totals[name] - before.totals[name]) / elapsed_s;
  history.push({
    at: lastAnswer, in: per("publishes_in"), out: per("publishes_out"), refused: per("refused"),
  });
}

function said(figures) {
  return Object.entries(figures)
    .filter(([, value]) => value !== null && value !== "" && value !== 0)
    .map(([name, value]) => {
      const words = name.replaceAll("_", " ");
      if (typeof value === "number") return `${words} ${count(value)}`;
      if (typeof value !== "object") return `${words}: ${value}`;
      const inner = Object.entries(value).map(([key, number]) => `${key} ${number}`).join(", ");
      return inner ? `${words}: ${inner}` : "";
    })
    .filter(Boolean).join(" · ") || "nothing yet";
}

async function ask() {
  try {
    const answer = await fetch("status", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(`answer ${answer.status}`);
    const status = await answer.json();
    lastAnswer = Date.now();
    show(status);
    note(status);
    draw(lastAnswer);
    byId("state").className = "good";
    byId("state").lastElementChild.textContent = "running";
  } catch (error) {
    byId("state").className = "bad";
    const since = lastAnswer ? ` since ${duration((Date.now() - lastAnswer) / 1000)}` : "";
    byId("state").lastElementChild.textContent = `no answer${since}`;
  }
}

async function follow() {
  // A page that nobody looks at asks nothing.
  if (!document.hidden) await ask();
  setTimeout(follow, EVERY_MS);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
follow();
