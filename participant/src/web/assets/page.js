// A hospital's page: the runs that wait for a decision, the common model, where it looks in slices of this hospital, and what has left.

import {
  $, NONE, bytes, code, confirm, emptyRow, get, getBytes, h, lineChart, named, number, pairs, patch, post, progress, row, showFrame, showLog, start, time,
} from "./common.js";

let last = null;

function render(state) {
  last = state;
  showHospital(state);
  showWaiting(state.offered);
  patch($("offered-rows"), state.offered.length ? state.offered.toReversed().map(offeredRow) : emptyRow(5, "No run was offered yet."));
  showModel(state);
  showHeat(state.heat);
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

// --- The common model: the sums of all hospitals, and beside them what this hospital's own data say.

function showModel({ run, rounds, own }) {
  const byRound = (values) => values.toSorted((a, b) => a.learning_round - b.learning_round);
  const [all, here] = [byRound(rounds), byRound(own)];
  const points = (values, of) => values.map(({ learning_round, validation }) => ({ round: learning_round, value: validation?.[of] })).filter(({ value }) => Number.isFinite(value));
  const series = (of) => [{ name: "All hospitals", kind: "all", points: points(all, of) }, { name: "This hospital", kind: "here", points: points(here, of) }];
  const chart = { rounds: run?.rounds ?? 0 };
  patch($("loss-chart"), lineChart({ ...chart, label: "Validation loss", series: series("loss"), format: (value) => value.toFixed(2) }));
  patch($("accuracy-chart"), lineChart({ ...chart, label: "Validation accuracy", series: series("accuracy"), top: 1, format: percent }));
  const caution = here.findLast(({ validation }) => validation)?.validation.caution;
  patch($("own-caution"), caution && `▲ Accuracy of this hospital: ${caution}.`);
  const numbers = [...new Set([...all, ...here].map(({ learning_round }) => learning_round))].sort((a, b) => b - a);
  const of = (values, round) => values.findLast(({ learning_round }) => learning_round === round);
  patch($("round-rows"), numbers.length ? numbers.map((round) => roundRow(round, of(all, round), of(here, round))) : emptyRow(11, "No learning round is done yet."));
}

const percent = (part) => `${Number((100 * part).toFixed(1))} %`;
const loss = (value) => number(Number.isFinite(value) ? value.toFixed(4) : NONE);
const accuracy = (value) => number(Number.isFinite(value) ? percent(value) : NONE);

function roundRow(round, all, here) {
  return row(round, round, number(all?.contributors ?? NONE), loss(all?.validation?.loss), loss(here?.validation?.loss),
    accuracy(all?.validation?.accuracy), accuracy(here?.validation?.accuracy), loss(here?.training_loss),
    number(all?.validation?.slices ?? NONE), number(here?.validation?.slices ?? NONE), time(all?.at), all?.model_hash ? code(all.model_hash) : NONE);
}

// --- Where the model looks. The state says that there are pictures; they are fetched when they are others than before.

let heatShown = null;

async function showHeat(heat) {
  const name = heat && `${heat.learning_round} ${heat.at}`;
  if (name === heatShown) {
    if (!name) patch($("heat-said"), "No picture yet: they are made after each evaluation of the common model.");
    return;
  }
  heatShown = name;
  const { learning_round, slices } = await get("/api/heat");
  const pixels = await Promise.all((slices ?? []).map(({ patient }) => getBytes(`/api/heat/${learning_round}/${patient}`)));
  // Others came meanwhile, or the program gave no answer: the next state asks again.
  if (heatShown !== name) return;
  if (!slices || pixels.includes(null)) {
    heatShown = null;
    return;
  }
  const words = slices.length === 1 ? "one slice" : `${slices.length} slices`;
  patch($("heat-said"), `The common model after learning round ${learning_round}, in ${words}.`);
  const hottest = pixels.map((buffer) => new Uint8Array(buffer, SIDE * SIDE).some((heat) => heat > 0));
  patch($("heat"), slices.map((slice, place) => heatFigure(slice, hottest[place])));
  slices.forEach(({ patient }, place) => draw(patient, pixels[place]));
}

// Who is logged out sees no patient, whatever the document is asked.
function forgetHeat() {
  heatShown = null;
  patch($("heat"));
  patch($("heat-said"));
}

function heatFigure({ patient, truth, prediction, probability }, isHot) {
  const verdict = truth === prediction ? "✔" : "✖";
  const said = `patient ${patient}, true class ${truth}, predicted class ${prediction}, probability ${percent(probability)}`;
  const seen = isHot ? "where the model looks, over the slice" : "nothing in the slice speaks for the predicted class";
  const canvas = (kind, label) => h("canvas", { id: `${kind}-${patient}`, key: kind, width: SIDE, height: SIDE, role: "img", "aria-label": label });
  return h("figure", { key: patient },
    h("div", { class: "pair" }, canvas("slice", `Slice of ${said}`), canvas("heat", `Heat: ${seen}; ${said}`)),
    h("figcaption", {},
      h("b", {}, `Patient ${patient}`),
      h("span", {}, `True class: ${truth}`),
      h("span", {}, `Predicted: ${prediction}, ${percent(probability)} ${verdict}`),
      !isHot && h("span", { class: "quiet" }, "Nothing speaks for this class.")));
}

function draw(patient, buffer) {
  const [slice, heat] = [new Uint8Array(buffer, 0, SIDE * SIDE), new Uint8Array(buffer, SIDE * SIDE)];
  paint($(`slice-${patient}`), (pixel) => [slice[pixel], slice[pixel], slice[pixel]]);
  paint($(`heat-${patient}`), (pixel) => {
    const part = heat[pixel] / 255;
    const colour = glow(part);
    return colour.map((value) => slice[pixel] + (value - slice[pixel]) * 0.75 * part);
  });
}

function paint(canvas, colourOf) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(SIDE, SIDE);
  for (let pixel = 0; pixel < SIDE * SIDE; pixel += 1) image.data.set([...colourOf(pixel), 255], 4 * pixel);
  context.putImageData(image, 0, 0);
}

// Red over orange to a light yellow: lighter where it is hotter, for whoever does not tell the colours apart.
function glow(part) {
  const stops = [[225, 45, 20], [255, 190, 20], [255, 255, 150]];
  const place = Math.min(1.999, 2 * part);
  const [from, to] = [stops[Math.floor(place)], stops[Math.floor(place) + 1]];
  return from.map((value, channel) => value + (to[channel] - value) * (place % 1));
}

const SIDE = 128;

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

start(render, forgetHeat);
