// The coordinator's page: the state of the run, and what an operator can do about it.

import { $, NONE, bytes, clock, code, confirm, duration, emptyRow, get, h, named, number } from "./common.js";
import { pairs, patch, post, progress, row, showFrame, showLog, start, time } from "./common.js";

let last = null;

function render(state) {
  last = state;
  showRun(state.run);
  patch($("hospital-rows"), state.members.length ? state.members.map((member) => hospitalRow(member, state.run)) : emptyRow(8, "No member yet."));
  patch($("rounds"), timeline(state));
  showRoundTable(state);
  patch($("phase-rows"), Object.keys(PURPOSES).map((purpose) => phaseRow(purpose, state.rounds)));
  patch($("past-run-rows"), state.runs.length ? state.runs.map(pastRow) : emptyRow(4, "No run was begun here yet."));
  showLog(state.log);
  showFrame(state);
}

// --- The run.

function showRun(run) {
  document.title = `${run ? `${run.name} - ` : ""}coordinator - myelin`;
  patch($("run-name"), run ? named(run.name) : "No run is under way");
  patch($("run-phase"), run ? phaseInWords(run) : "The coordinator waits for a run.");
  patch($("run-progress"), run && roundProgress(run));
  patch($("run-alert"), run && alertOf(run));
  patch($("run-buttons"), run && [
    h("button", { type: "button", id: "pause-button", onclick: () => pauseOrResume(run) }, run.paused ? "Resume" : "Pause"),
    h("button", { type: "button", id: "finish-button", onclick: () => askToFinish(run) }, "End after this round …"),
    h("button", { type: "button", id: "stop-button", class: "danger", onclick: () => askToStop(run) }, "Stop the run …"),
  ]);
}

function phaseInWords({ phase, phase_secs, ends_in_secs, sum }) {
  const which = sum === null ? "" : ` Sum ${sum}.`;
  const limit = ends_in_secs === null ? "" : `; ${duration(ends_in_secs)} more at the most`;
  return `${PHASES[phase] ?? `${phase}.`}${which} For ${duration(phase_secs)}${limit}.`;
}

function roundProgress({ learning_round, rounds }) {
  if (learning_round === null) return progress("Learning rounds", rounds, rounds, `all ${rounds} are done`);
  const words = learning_round === 0 ? `before the first of ${rounds}` : `${learning_round} of ${rounds}`;
  return progress("Learning round", Math.max(0, learning_round - 1), rounds, words);
}

function alertOf({ stands_still, paused }) {
  if (stands_still) return "✖ The run stands still: something cannot be written to the disk. The log says what.";
  return paused && "▮▮ The run is paused. It goes on when you resume it.";
}

async function pauseOrResume({ run, paused }) {
  const answer = await post(paused ? "/api/run/resume" : "/api/run/pause", { run });
  patch($("run-error"), answer.ok ? null : answer.error);
}

function askToFinish({ run, name }) {
  confirm({
    title: "End this run after the round at hand?",
    body: [
      h("dl", {}, pairs([["Run", named(name)]])),
      h("p", {}, "The round at hand and its evaluation are finished; then the run ends well for all hospitals. It cannot go on later. Each hospital has the model of that round, and the best one so far."),
    ],
    ok: "End the run after this round",
    act: () => post("/api/run/stop", { run, keep_best: true }),
  });
}

function askToStop({ run, name }) {
  confirm({
    title: "Stop this run?",
    body: [
      h("dl", {}, pairs([["Run", named(name)]])),
      h("p", {}, "This ends the run for all hospitals, now, as a failed one. It cannot go on later. Each hospital keeps the models that it has."),
    ],
    ok: "Stop the run",
    danger: true,
    act: () => post("/api/run/stop", { run, keep_best: false }),
  });
}

const PHASES = {
  "gathering": "Gathering: the hospitals join.",
  "key exchange": "Key exchange: the hospitals exchange keys.",
  "handing over": "Handing over: hospitals that come late get the state of the run.",
  "waiting": "Waiting: the next round opens when enough hospitals are there.",
  "collecting": "Collecting: the hospitals work and contribute.",
  "unlocking": "Unlocking: the hospitals answer, so that the sum can be opened.",
  "publishing": "Publishing: the hospitals fetch the outcome and open it.",
  "finishing": "Finishing: all rounds are done. The last outcome is kept for hospitals that were away.",
  "over": "Over: the run has ended.",
};

// --- Hospitals.

function hospitalRow(member, run) {
  const connection = member.connected
    ? [h("b", { class: "good" }, "● connected"), member.address && h("small", {}, member.address)]
    : h("b", { class: "quiet" }, "○ not connected");
  const seen = member.last_seen_secs === null ? NONE : `${duration(member.last_seen_secs)} ago`;
  const ask = { type: "button", class: "without", "aria-label": `Go on without ${member.name}`, onclick: () => askToGoOnWithout(member) };
  return row(member.hospital, [`${member.hospital} `, named(member.name)],
    h("span", { class: "stack" }, connection),
    WAITED_FOR[member.waited_for] ?? member.waited_for ?? NONE,
    number(seen), certificate(member.certificate_secs), number(bytes(member.bytes_up)), number(bytes(member.bytes_down)),
    run ? h("button", ask, "Go on without …") : NONE);
}

function certificate(secs) {
  if (secs === null) return "not known";
  const days = Math.floor(secs / 86400);
  if (secs <= 0) return h("b", { class: "error" }, "✖ expired");
  if (days < 30) return h("b", { class: "warn" }, `▲ warning: ${days} days left`);
  return `${days} days left`;
}

function askToGoOnWithout({ hospital, name }) {
  confirm({
    title: "Go on without this hospital?",
    body: [
      h("dl", {}, pairs([["Hospital", [`${hospital} `, named(name)]]])),
      h("p", {}, "Nobody waits for it any more, and it is told so. What it has contributed stays in the sums. It takes part again once the coordinator is started again."),
    ],
    ok: "Go on without it",
    danger: true,
    act: () => post("/api/run/without", { hospital }),
  });
}

const WAITED_FOR = {
  "not-connected": "to connect",
  "away": "to come back",
  "silent": "a sign of life",
  "joining": "to join",
  "exchanging-keys": "exchanging keys",
  "handing-over": "handing over the state",
  "catching-up": "fetching what it missed",
  "counting": "counting its data",
  "training": "training",
  "evaluating": "evaluating the model",
  "acknowledging": "acknowledging shares",
  "answering": "answering for the sum",
  "opening": "opening the outcome",
};

// --- Rounds: a lane for each hospital. Lengths across are percentages. Words that do not fit their bar are in its title.

function timeline({ rounds, members, now, run }) {
  const shown = lastTogether(rounds, run, now);
  if (!shown.length) return h("p", { class: "quiet" }, "No round yet.");
  const from = shown[0].opened_at;
  const until = Math.max(from + 1, ...shown.map(({ end_at }) => end_at));
  const across = (at) => (100 * (at - from)) / (until - from);
  const bar = barOn(across);
  const height = LANES_AT + members.length * LANE + 22;
  return h("svg", { class: "timeline", width: "100%", height, role: "group", "aria-label": `Rounds from ${clock(from)} to ${clock(until)}` },
    shown.map((round) => [
      h("line", { x1: `${across(round.opened_at)}%`, x2: `${across(round.opened_at)}%`, y1: "0", y2: height - 18, class: "grid" }),
      bar({ from: round.opened_at, to: round.end_at, y: 0, kind: "head", words: `${round.end && round.end !== "settled" ? "✖ " : ""}${purposeOf(round)}`, said: `Sum ${round.round}, ${purposeOf(round)}: ${round.end ?? "under way"}` }),
    ]),
    members.map((member, place) => lane(member, LANES_AT + place * LANE, shown, bar)),
    [[0, "start"], [50, "middle"], [100, "end"]].map(([place, anchor]) =>
      h("text", { x: `${place}%`, y: height - 4, "text-anchor": anchor }, clock(from + ((until - from) * place) / 100))));
}

// The last rounds, without those before a long time of nothing: it would leave no room for the bars.
function lastTogether(rounds, run, now) {
  const ended = rounds.map((round, place) => ({ ...round, ...endOf(round, run && place === rounds.length - 1, now) })).slice(-MAX_SHOWN);
  const gap = ended.findLastIndex((round, place) => place > 0 && round.opened_at - ended[place - 1].end_at > Math.max(60, ended.at(-1).end_at - round.opened_at));
  return ended.slice(Math.max(0, gap));
}

function endOf({ opened_at, contributions, unlocking_at, outcome_at, ended_at }, mayBeLive, now) {
  const live = mayBeLive && ended_at === null;
  const latest = Math.max(opened_at, unlocking_at ?? 0, outcome_at ?? 0, ...contributions.map(({ at }) => at));
  return { live, end_at: ended_at ?? (live ? Math.max(now, latest) : latest) };
}

function barOn(across) {
  const wide = $("rounds").clientWidth;
  return ({ from, to, y, kind, words, said }) => {
    const width = Math.max(0.4, across(to) - across(from));
    const fits = words.length * LETTER + 8 < (wide * width) / 100;
    return h("svg", { x: `${across(from)}%`, y, width: `${width}%`, height: "16", class: kind, role: "img", "aria-label": said },
      h("title", {}, said), h("rect", { width: "100%", height: "100%", rx: "2" }), fits && h("text", { x: "4", y: "12" }, words));
  };
}

function lane(member, y, rounds, bar) {
  return h("g", { key: member.hospital, role: "group", "aria-label": member.name },
    h("text", { x: "0", y: y + 12, class: "name" }, `${member.hospital} ${member.name}`),
    rounds.map((round) => partsOf(round, member.hospital).map((part) =>
      bar({ ...part, y: y + 17, said: `${member.name}, ${purposeOf(round)}: ${part.said ?? part.words}` }))));
}

// What a hospital did in a round, one thing after the other.
function partsOf(round, hospital) {
  const { opened_at, unlocking_at, outcome_at, end_at, live } = round;
  const [contribution, declined] = [round.contributions, round.declined].map((all) => all.find((one) => one.hospital === hospital));
  const refused = declined && { kind: "declined", from: contribution?.at ?? opened_at, to: end_at, words: "✖ declined", said: declined.why };
  if (!contribution && refused) return [refused];
  if (!contribution && live && unlocking_at === null) {
    return [{ kind: "working live", from: opened_at, to: end_at, words: `working ${duration(end_at - opened_at)}`, said: "no contribution yet" }];
  }
  if (!contribution) return [{ kind: "waits", from: opened_at, to: end_at, words: "", said: "no contribution" }];
  const { at, bytes: size } = contribution;
  const worked = `working ${duration(at - opened_at)}`;
  const working = { kind: "working", from: opened_at, to: at, words: worked, said: `${worked}, ${bytes(size)}` };
  if (refused) return [working, refused];
  const [opens, opened] = [unlocking_at ?? end_at, outcome_at ?? end_at];
  const waits = { kind: "waits", from: at, to: opens, words: "", said: `waits for others ${duration(opens - at)}` };
  const opening = { kind: "opening", from: opens, to: opened, words: `opening ${duration(opened - opens)}` };
  return unlocking_at === null ? [working, waits] : [working, waits, opening];
}

function purposeOf({ purpose, learning_round }) {
  return purpose === "stats" ? PURPOSES.stats : `${PURPOSES[purpose] ?? purpose} ${learning_round}`;
}

// Made only while somebody looks at it.
function showRoundTable({ rounds }) {
  if (!$("rounds-details").open) return;
  const rows = rounds.toReversed().flatMap((round) => [
    ...round.contributions.map((one) => roundRow(round, one.hospital, "yes", one)),
    ...round.declined.map(({ hospital, why }) => roundRow(round, hospital, ["✖ ", named(why)])),
    ...(round.contributions.length + round.declined.length ? [] : [roundRow(round, null, "none yet")]),
  ]);
  patch($("round-rows"), rows.length ? rows : emptyRow(8, "No round yet."));
}

function roundRow(round, hospital, said, contribution) {
  return row(`${round.round} ${hospital}`, `${round.round}: ${purposeOf(round)}`, time(round.opened_at), hospital === null ? NONE : nameOf(hospital), said,
    number(contribution ? duration(contribution.at - round.opened_at) : NONE), number(contribution ? bytes(contribution.bytes) : NONE),
    number(duration(between(round.unlocking_at, round.outcome_at))), round.end ?? "under way");
}

function nameOf(hospital) {
  return [`${hospital} `, last.members.filter((one) => one.hospital === hospital).map(({ name }) => named(name))];
}

const between = (from, to) => (from === null || to === null ? null : to - from);
function phaseRow(purpose, rounds) {
  const these = rounds.filter((round) => round.purpose === purpose);
  const spent = [["opened_at", "unlocking_at"], ["unlocking_at", "outcome_at"], ["outcome_at", "ended_at"]].flatMap(([from, to]) => {
    const secs = these.map((round) => between(round[from], round[to])).filter((one) => one !== null).sort((a, b) => a - b);
    return [secs.length ? secs.reduce((sum, one) => sum + one) : null, median(secs)];
  });
  const up = these.flatMap(({ contributions }) => contributions).reduce((sum, one) => sum + one.bytes, 0);
  return row(purpose, PURPOSES[purpose], number(these.length), ...spent.map((secs) => number(duration(secs))), number(bytes(up)));
}

function median(sorted) {
  const last = sorted.length - 1;
  return sorted.length ? (sorted[Math.floor(last / 2)] + sorted[Math.ceil(last / 2)]) / 2 : null;
}

const PURPOSES = { stats: "counting", update: "training", evaluation: "evaluation" };
const MAX_SHOWN = 6;
// Pixels.
const [LANES_AT, LANE, LETTER] = [22, 40, 6.5];

// --- Runs and the transcript.

function pastRow({ run, name, learning_rounds, result, reason }) {
  return row(run, named(name), number(learning_rounds), [RESULTS[result] ?? result ?? "under way", reason && [": ", named(reason)]], code(run.slice(0, 16)));
}

const RESULTS = { complete: "✔ complete", stopped: "■ stopped", failed: "✖ failed", abandoned: "✖ abandoned" };
const say = (text) => patch($("start-said"), text);

function askToStart() {
  const [file] = $("start-file").files;
  if (!file) {
    say("Choose the signed run file first.");
    $("start-file").focus();
  } else if (last.run) {
    say("A run is under way. The next one can begin when it has ended.");
  } else if (file.size > MAX_RUN_FILE_BYTES) {
    say("This file is too long for a signed run.");
  } else {
    confirm({
      title: "Begin this run?",
      body: h("dl", {}, pairs([["File", named(file.name)], ["Size", bytes(file.size)]])),
      ok: "Begin the run",
      act: () => begin(file),
    });
  }
}

async function begin(file) {
  const text = await file.text().catch(() => null);
  if (text === null) return { ok: false, error: "The file cannot be read any more. Choose it again." };
  const answer = await post("/api/run/start", { file: text });
  if (!answer.ok) return answer;
  $("start-file").value = "";
  say("The run begins.");
  return answer;
}

async function checkTranscript() {
  const said = $("transcript-said");
  patch(said, "The transcript is checked …");
  const answer = await get("/api/transcript");
  patch(said, answer.ok ? ["✔ ", named(answer.text)] : h("span", { class: "error" }, "✖ ", named(answer.error)));
}

const MAX_RUN_FILE_BYTES = 128 * 1024;
$("start-file").addEventListener("change", ({ target }) => say(target.files[0] && [named(target.files[0].name), `, ${bytes(target.files[0].size)}`]));
$("start-button").addEventListener("click", askToStart);
$("transcript-button").addEventListener("click", checkTranscript);
$("rounds-details").addEventListener("toggle", () => last && showRoundTable(last));
start(render);
