// What both pages share: elements, words for numbers, the connection to the program, questions to people, charts.
// Names and texts come from other parties: they reach the document as text alone.

// --- Elements. h() describes one; patch() makes the document so and leaves alone what is so already: focus, selection, scroll and
// open <details> last. Children are told apart by tag and the attribute `key`.

export function h(tag, attributes, ...children) {
  return { tag, attributes: attributes ?? {}, children };
}

export function patch(parent, ...children) {
  const wanted = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  const old = new Map();
  for (const node of parent.childNodes) {
    const name = made.has(node) ? nameOf(made.get(node)) : "";
    if (!old.has(name)) old.set(name, []);
    old.get(name).push(node);
  }
  const nodes = wanted.map((child) => old.get(nameOf(child))?.shift() ?? create(parent, child));
  for (const node of [...old.values()].flat()) remove(node);
  nodes.forEach((node, place) => {
    update(node, wanted[place]);
    if (parent.childNodes[place] !== node) parent.insertBefore(node, parent.childNodes[place] ?? null);
  });
}

// What each node was made of.
const made = new WeakMap();
const SVG = "http://www.w3.org/2000/svg";

function nameOf(child) {
  return child.tag === undefined ? "#text" : `${child.tag} ${child.attributes.key ?? ""}`;
}

function create(parent, child) {
  const isText = child.tag === undefined;
  const isSvg = child.tag === "svg" || parent.namespaceURI === SVG;
  const node = isText ? document.createTextNode("") : document.createElementNS(isSvg ? SVG : parent.namespaceURI, child.tag);
  made.set(node, isText ? "" : h(child.tag, { key: child.attributes.key }));
  return node;
}

function update(node, child) {
  if (child.tag === undefined) {
    if (node.data !== String(child)) node.data = String(child);
    return;
  }
  const before = made.get(node).attributes;
  for (const name of new Set([...Object.keys(before), ...Object.keys(child.attributes)])) {
    if (before[name] !== child.attributes[name]) setAttribute(node, name, child.attributes[name]);
  }
  made.set(node, child);
  patch(node, child.children);
}

function setAttribute(node, name, value) {
  if (name === "key") return;
  if (name.startsWith("on")) node[name] = value;
  else if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : value);
}

// Who was on a button that goes is taken to the heading of its section, not to the top of the page.
function remove(node) {
  const home = node.contains(document.activeElement) ? headingAbove(node) : null;
  node.remove();
  home?.focus();
}

function headingAbove(node) {
  const heading = node.parentElement?.closest("section, header")?.querySelector("h2");
  if (heading) heading.tabIndex = -1;
  return heading;
}

export const $ = (id) => document.getElementById(id);

// --- Words.

export const NONE = "–";

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [size, unit] = [count, 0];
  while (Math.abs(size) >= 999.95 && unit < units.length - 1) [size, unit] = [size / 1000, unit + 1];
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`;
}

export function duration(secs) {
  if (secs === null || secs === undefined) return NONE;
  const whole = Math.max(0, Math.round(secs));
  const parts = [[Math.floor(whole / 86400), "d"], [Math.floor(whole / 3600) % 24, "h"], [Math.floor(whole / 60) % 60, "min"], [whole % 60, "s"]];
  const first = parts.findIndex(([count]) => count > 0);
  if (first === -1) return secs > 0 ? `${secs.toFixed(1)} s` : "0 s";
  return parts.slice(first, first + 2).filter(([count]) => count > 0).map(([count, unit]) => `${count} ${unit}`).join(" ");
}

// In the time zone of who looks; Swedish writes dates as ISO 8601 does.
export function time(secs) {
  if (secs === null || secs === undefined) return NONE;
  const at = new Date(secs * 1000);
  return h("time", { datetime: at.toISOString() }, at.toLocaleString("sv-SE"));
}

export const clock = (secs) => new Date(secs * 1000).toLocaleTimeString("sv-SE");

// A name of somebody else's choice: its direction of writing stays its own affair.
export const named = (name) => h("bdi", {}, name);

export const code = (text) => h("code", {}, text);

// --- The connection. The state comes as events; the last one stays, greyed, while the connection is lost.

// `render` shows a state; `clear` takes away what nobody may see who is logged out.
export function start(render, clear = () => {}) {
  $("login-form").addEventListener("submit", (event) => {
    event.preventDefault();
    logIn();
  });
  $("logout").addEventListener("click", async () => {
    leave();
    await post("/api/logout");
    enter();
  });
  show = render;
  forget = clear;
  enter();
}

let show = null;
let forget = null;
let source = null;
let retry = 0;
const RETRY_MS = 2000;

async function enter() {
  leave();
  const session = await get("/api/session");
  if (session.logged_in) listen();
  else if (session.logged_in === false) askForToken(session.hint);
  else lost();
}

// The browser would try again by itself, but not after an answer that is an error, as when the session has ended.
function listen() {
  leave();
  source = new EventSource("/api/events");
  source.onmessage = (message) => {
    const state = JSON.parse(message.data);
    // A program that has just begun has nothing to show yet.
    if (state.schema === undefined) return;
    found();
    show(state);
  };
  source.onerror = lost;
}

function leave() {
  clearTimeout(retry);
  source?.close();
  source = null;
}

function lost() {
  leave();
  document.body.classList.add("stale");
  patch($("connection"), "The connection to the program is lost; trying again");
  retry = setTimeout(enter, RETRY_MS);
}

function found() {
  document.body.classList.remove("stale");
  patch($("connection"));
  if (!$("app").hidden) return;
  $("login").hidden = true;
  $("app").hidden = false;
  $("content").focus();
}

function askForToken(hint) {
  forget();
  document.body.classList.remove("stale");
  patch($("connection"));
  if ($("dialog").open) $("dialog").close();
  patch($("login-hint"), hint ?? "");
  $("app").hidden = true;
  $("login").hidden = false;
  $("token").focus();
}

async function logIn() {
  patch($("login-error"));
  const answer = await post("/api/login", { token: $("token").value.trim() });
  if (answer.ok) {
    $("token").value = "";
    listen();
  } else {
    patch($("login-error"), answer.error);
    $("token").select();
  }
}

export function get(path) {
  return request(path, { cache: "no-store" });
}

// A buffer; null where there is none.
export async function getBytes(path) {
  try {
    const response = await fetch(path, { cache: "no-store" });
    return response.ok ? await response.arrayBuffer() : null;
  } catch {
    return null;
  }
}

export function post(path, body = {}) {
  const headers = { "Content-Type": "application/json", "X-Myelin": "1" };
  return request(path, { method: "POST", headers, body: JSON.stringify(body) });
}

async function request(path, options) {
  try {
    const response = await fetch(path, options);
    if (response.status === 401) enter();
    return await response.json();
  } catch {
    return { ok: false, error: "The program gave no answer. Look at its log to see whether it was done." };
  }
}

// --- Questions. `act` does what is confirmed and gives the program's answer; the dialog stays until that is good.

export function confirm({ title, body, ok, danger, act }) {
  const dialog = $("dialog");
  if (dialog.open) return;
  const opener = document.activeElement;
  const home = headingAbove(opener);
  let busy = false;
  patch($("dialog-title"), title);
  patch($("dialog-body"), body);
  patch($("dialog-error"));
  patch($("dialog-ok"), ok);
  $("dialog-ok").classList.toggle("danger", Boolean(danger));
  $("dialog-cancel").onclick = () => dialog.close();
  dialog.oncancel = (event) => {
    if (busy) event.preventDefault();
  };
  dialog.onclose = () => (opener.isConnected ? opener : home)?.focus();
  $("dialog-form").onsubmit = async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    patch($("dialog-error"));
    const answer = await act();
    busy = false;
    if (answer.ok) dialog.close();
    else patch($("dialog-error"), answer.error);
  };
  dialog.showModal();
}

// --- Parts that both pages have.

export function showLog(log) {
  const newestFirst = log.map((line, place) => ({ ...line, place })).sort((a, b) => b.at - a.at || b.place - a.place);
  const item = ({ at, level, text }) =>
    h("li", { key: `${at} ${text}`, class: level }, time(at), " ", h("b", {}, LEVELS[level] ?? level), " ", named(text));
  patch($("log"), newestFirst.length ? newestFirst.map(item) : h("li", { key: "none" }, "Nothing yet."));
}

const LEVELS = { info: "Info", warn: "▲ Warning", error: "✖ Error" };

export function showFrame({ program, release, schema, federation }) {
  const rows = federation
    ? [["Name", federation.name && named(federation.name)], ["Epoch", federation.epoch], ["Fingerprint", code(federation.fingerprint)]]
    : [["Federation", "none yet"]];
  patch($("federation"), pairs(rows));
  patch($("about"), `myelin ${program} ${release}, schema ${schema}. Not for diagnosis.`);
}

// What a <dl> holds; what is not known is left out.
export function pairs(rows) {
  const known = rows.filter(([, value]) => value !== null && value !== undefined);
  return known.map(([term, value]) => h("div", { key: term }, h("dt", {}, term), h("dd", {}, value)));
}

export function row(key, head, ...cells) {
  const cell = (content) => h("td", content?.number ? { class: "number" } : {}, content?.number ?? content);
  return h("tr", { key }, h("th", { scope: "row" }, head), cells.map(cell));
}

// A cell with a number in it.
export const number = (content) => ({ number: String(content) });

export function emptyRow(columns, text) {
  return h("tr", { key: "none" }, h("td", { colspan: columns, class: "quiet" }, text));
}

export function progress(label, value, max, words) {
  const name = `${label}: ${words}`;
  return h("div", { key: label, class: "progress" }, h("span", {}, name), h("progress", { value: max ? value : 0, max: max || 1, "aria-label": name }));
}

// --- Lines over learning rounds: each of series has a name, a kind that its looks go by, and points of {round, value}. Lengths across
// are percentages: the chart is as wide as its place.

export function lineChart({ label, series, rounds, top, format }) {
  const all = series.flatMap(({ points }) => points);
  const lastRound = Math.max(rounds, ...all.map(({ round }) => round), 2);
  const highest = top ?? (Math.max(0, ...all.map(({ value }) => value)) || 1);
  const step = stepOf(highest);
  const steps = Math.ceil(highest / step - 1e-6);
  const x = (round) => 13 + (82 * (round - 1)) / (lastRound - 1);
  const y = (value) => FLOOR - ((FLOOR - CEILING) * value) / (steps * step);
  const lines = Array.from({ length: steps + 1 }, (_, place) => place * step).map((value) => [
    h("line", { x1: "0", x2: "100%", y1: y(value), y2: y(value), class: "grid" }),
    h("text", { x: "0", y: y(value) - 3 }, format(value)),
  ]);
  const every = Math.ceil(lastRound / 8);
  const marks = Array.from({ length: lastRound }, (_, place) => place + 1).filter((round) => (round - 1) % every === 0);
  const path = (points) => points.map(({ round, value }) => `${x(round)},${y(value)}`).join(" ");
  const said = series.map(({ name, points }) => {
    const last = points.at(-1);
    return `${name}: ${last ? `${format(last.value)} in round ${last.round}, ${format(points[0].value)} in round ${points[0].round}` : "no value yet"}`;
  });
  // The highest of the last values is written above its point, the others below.
  const ends = series.filter(({ points }) => points.length > 0).map(({ kind, points }) => ({ kind, ...points.at(-1) }));
  const above = ends.toSorted((a, b) => b.value - a.value)[0];
  const end = (last) => h("text", { key: last.kind, x: `${x(last.round)}%`, y: y(last.value) + (last === above ? -9 : 18), "text-anchor": "middle", class: `value ${last.kind}` }, format(last.value));
  return h("svg", { class: "chart", role: "img", "aria-label": `${label} by learning round. ${said.join(". ")}. The table below has all values.`, height: "200" },
    lines,
    marks.map((round) => h("text", { x: `${x(round)}%`, y: FLOOR + 18, "text-anchor": "middle" }, round)),
    h("svg", { viewBox: "0 0 100 200", preserveAspectRatio: "none", width: "100%", height: "200" },
      series.map(({ kind, points }) => h("polyline", { key: kind, class: kind, points: path(points) }))),
    series.map(({ kind, points }) => points.map(({ round, value }) => h("circle", { key: `${kind} ${round}`, class: kind, cx: `${x(round)}%`, cy: y(value), r: "4" }))),
    ends.map(end));
}

const CEILING = 22;
const FLOOR = 170;

// 1, 2 or 5 times a power of ten, so that at most five steps reach the highest value.
function stepOf(highest) {
  const least = highest / 5;
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least * 0.999);
}
