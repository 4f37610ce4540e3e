// A hospital's page: the runs that wait for a decision, the common model, and what has left this hospital.

import {
  $, NONE, bytes, code, confirm, emptyRow, get, h, lineChart, named, number, pairs, patch, post, progress, row, showFrame, showLog, start, time,
} from "./common.js";

let last = null;

function render(state) {
  last = state;
  showHospital(state);
  showWaiting(state.offered);
  patch($("offered-rows"), state.offered.length ? state.offered.toReversed().map(offeredRow) : emptyRow(5, "No run was offered yet."));
  showModel(state);
  showLedger(state.ledger);
  showLog(state.log);
  showFrame(state);
}

// --- What goes on.

function showHospital({ hospital, connected, phase, run, rounds, training, uploading, offered }) {
  const waiting = offered.filter(isWaiting).length;
  const name = hospital.name ?? "This hospital";
  document.title = `${waiting ? `(${waiting}) ` : ""}${name} - myelin`;
  patch($("hospital"), named(name), h("small", {}, ` hospital ${hospital.number}`));
  patch($("run-name"), run ? named(run.name) : "No run is under way");
  const link = connected ? h("b", { class: "good" }, "● connected") : h("b", { class: "quiet" }, "○ not connected");
  patch($("run-phase"), link, " ", named(phase));
  const done = Math.max(0, ...rounds.map(({ learning_round }) => learning_round));
  patch($("run-progress"),
    run ? progress("Learning rounds", done, run.rounds, `${done} of ${run.rounds} done`) : progress("Learning rounds", 0, 1, "no run"),
    training ? progress("Training", training.done, training.total, `${training.done} of ${training.total}`) : progress("Training", 0, 1, "not now"),
    uploading ? progress("Upload", uploading.sent, uploading.total, `${bytes(uploading.sent)} of ${bytes(uploading.total)}`) : progress("Upload", 0, 1, "not now"));
}

// --- Runs that wait. What a run asks for is fetched once; nobody can approve what they have not been shown.

const isWaiting = ({ state }) => state === "waiting";
const details = new Map();

function showWaiting(offered) {
  const waiting = offered.filter(isWaiting);
  const count = waiting.length === 1 ? "1 run waits" : `${waiting.length} runs wait`;
  $("waiting-section").classList.toggle("loud", waiting.length > 0);
  patch($("waiting-said"), waiting.length ? `▲ ${count} for the decision of this hospital.` : "No run waits for a decision.");
  patch($("waiting"), waiting.map(waitingRun));
  waiting.filter(({ run }) => !details.has(run)).forEach(({ run }) => load(run));
}

async function load(run) {
  details.set(run, null);
  details.set(run, await get(`/api/run?id=${encodeURIComponent(run)}`));
  showWaiting(last.offered);
}

function waitingRun(offer) {
  const about = details.get(offer.run);
  return h("article", { key: offer.run, "aria-label": offer.name },
    h("h3", {}, named(offer.name)),
    h("p", { class: "quiet" }, "Offered ", utc(offer.offered), ", run ", code(offer.run)),
    about?.ok ? detailsOf(about) : detailsMissing(offer.run, about),
    h("div", { class: "buttons" },
      about?.ok && h("button", { key: "approve", type: "button", class: "approve primary", "aria-label": `Approve ${offer.name}`, onclick: () => askToApprove(offer) }, "Approve …"),
      h("button", { key: "reject", type: "button", class: "reject danger", "aria-label": `Reject ${offer.name}`, onclick: () => askToReject(offer) }, "Reject …")));
}

function detailsMissing(run, about) {
  if (!about) return h("p", { key: "loading" }, "The details are being fetched …");
  return h("p", { key: "failed", class: "error" }, "The details cannot be shown: ", named(about.error), " ",
    h("button", { type: "button", onclick: () => load(run) }, "Try again"));
}

function detailsOf({ warnings, leaves, members, settings }) {
  return h("div", { key: "details", class: "terms" },
    listOf("Warnings", warnings, "warnings"),
    listOf("What would leave this hospital", leaves),
    listOf("Who takes part", members),
    h("details", {}, h("summary", {}, "All settings that the operator has signed"), h("dl", { class: "settings" }, pairs(Object.entries(settings)))));
}

function listOf(title, lines, kind) {
  return h("div", { key: title, class: kind }, h("h4", {}, title), h("ul", {}, lines.length ? lines.map((line) => h("li", {}, named(line))) : h("li", {}, "none")));
}

function askToApprove({ run, name }) {
  confirm({
    title: "Approve this run?",
    body: [
      about(run, name),
      h("p", {}, "This hospital joins within seconds, trains on its data, and sends what is listed under “What would leave this hospital”."),
    ],
    ok: "Approve",
    act: () => post("/api/approve", { run }),
  });
}

function askToReject({ run, name }) {
  confirm({
    title: "Reject this run?",
    body: [
      about(run, name),
      h("label", { for: "reject-reason" }, "Reason, 1 to 300 characters. The coordinator's operator reads it."),
      h("input", { id: "reject-reason", type: "text", maxlength: "300", required: true, autocomplete: "off", "aria-describedby": "dialog-error" }),
    ],
    ok: "Reject",
    danger: true,
    act: () => reject(run),
  });
  $("reject-reason").value = "";
}

async function reject(run) {
  const reason = $("reject-reason").value.trim();
  if (reason) return post("/api/reject", { run, reason });
  $("reject-reason").focus();
  return { ok: false, error: "Write a reason first." };
}

const about = (run, name) => h("dl", {}, pairs([["Name", named(name)], ["Run", code(run)]]));

// As the ledger, the record of approvals and their exports write it.
const utc = (at) => h("time", { datetime: at }, at.replace("T", " ").replace("Z", ""));

function offeredRow({ run, name, offered, state, refusal, decisions }) {
  const decided = decisions.map(({ verdict, at, by, reason }) => h("li", {}, `${verdict} by `, named(by), ", ", utc(at), reason && [": ", named(reason)]));
  return row(run, named(name), utc(offered), [STATES[state] ?? state, refusal && [": ", named(refusal)]],
    decided.length ? h("ul", { class: "plain" }, decided) : NONE, code(run.slice(0, 16)));
}

const STATES = { waiting: "▲ waits for you", approved: "✔ approved", rejected: "✖ rejected", refused: "✖ refused by the policy" };

// --- The common model.

function showModel({ run, rounds }) {
  const ordered = rounds.toSorted((a, b) => a.learning_round - b.learning_round);
  const points = (of) => ordered.map(({ learning_round, validation }) => ({ round: learning_round, value: validation?.[of] })).filter(({ value }) => Number.isFinite(value));
  const chart = { rounds: run?.rounds ?? 0 };
  patch($("loss-chart"), lineChart({ ...chart, label: "Validation loss", points: points("loss"), format: (value) => value.toFixed(2) }));
  patch($("accuracy-chart"), lineChart({ ...chart, label: "Validation accuracy", points: points("accuracy"), top: 1, format: percent }));
  patch($("round-rows"), ordered.length ? ordered.reverse().map(roundRow) : emptyRow(7, "No learning round is done yet."));
}

const percent = (part) => `${Number((100 * part).toFixed(1))} %`;

function roundRow({ learning_round, contributors, model_hash, validation, at }) {
  return row(learning_round, learning_round, number(contributors), number(validation?.loss?.toFixed(4) ?? NONE),
    number(Number.isFinite(validation?.accuracy) ? percent(validation.accuracy) : NONE), number(validation?.slices ?? NONE), time(at),
    model_hash ? code(model_hash) : NONE);
}

// --- The ledger.

function showLedger({ entries, hash, bytes: total, recent, fault }) {
  patch($("ledger-fault"), fault && `✖ The ledger does not hold: ${fault}`);
  patch($("ledger-totals"), pairs([["Entries", entries], ["In all", `${bytes(total)} (${total} bytes)`]]));
  patch($("ledger-head"), hash || NONE);
  const newestFirst = recent.toSorted((a, b) => b.entry - a.entry);
  patch($("ledger-rows"), newestFirst.length ? newestFirst.map(ledgerRow) : emptyRow(8, "Nothing has left yet."));
}

function ledgerRow({ entry, at, to, purpose, object, bytes: size, protection, hash }) {
  return row(entry, entry, utc(at), named(to), named(purpose), named(object), number(size), named(protection), code(hash.slice(0, 16)));
}

start(render);
