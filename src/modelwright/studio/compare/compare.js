"use strict";

const $ = (id) => document.getElementById(id);
const VERDICTS = {
  "choose-left": "left", "choose-right": "right", "choose-tie": "tie", skip: "skip",
};
const KEYS = { 1: "choose-left", 2: "choose-right", 3: "choose-tie", " ": "skip", u: "undo" };
const POLL_MILLISECONDS = 500;

let state = null;      // what the server said last
let isBusy = false;    // a request is under way
let timer = 0;         // for the next look at answers that are being written

/* ---------- talking to the server ---------- */

async function ask(path, body) {
  let response;
  try {
    response = await fetch(path, body && {
      method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
    });
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  if (!response.ok) {
    const answer = await response.json().catch(() => null);
    const text = answer?.error?.message ?? `the server answered with status ${response.status}`;
    throw new Error(text.charAt(0).toUpperCase() + text.slice(1) + ".");
  }
  return response.json();
}

/** Ask, then show what came: one request at a time, so that no key press counts twice. */
async function update(path, body) {
  if (isBusy) return;
  isBusy = true;
  clearTimeout(timer);
  try {
    const before = state;
    state = await ask(path, body);
    $("error").hidden = true;
    show(before);
  } catch (error) {
    $("error-text").textContent = error.message;
    $("error").hidden = false;
  } finally {
    isBusy = false;
  }
}

function judge(verdict) {
  if (state?.pair) update("/judge", { number: state.pair.number, verdict });
}

function undo() {
  if (state?.can_undo) update("/undo", { done: state.done });
}

/* ---------- showing: only text nodes, never HTML of a model's making ---------- */

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.textContent = text;
  return node;
}

function show(before) {
  const { done, total, pair, result } = state;
  $("count").textContent = result ? `all ${total} done` : `${done + 1} of ${total}`;
  $("progress").max = total;
  $("progress").value = done;
  $("pair").hidden = !pair;
  $("result").hidden = !result;
  $("waiting").hidden = Boolean(pair || result);
  document.querySelector("h1").hidden = Boolean(result);
  if (pair && before?.pair?.number !== pair.number) showPair(pair);
  if (result) showResult(result);
  if (!pair && !result) timer = setTimeout(() => update("/state"), POLL_MILLISECONDS);
  for (const id of Object.keys(VERDICTS)) {
    // Not "disabled", which would take the keyboard's place away.
    $(id).setAttribute("aria-disabled", String(!pair));
    $(id).hidden = Boolean(result);
  }
  $("undo").disabled = !state.can_undo;
}

function showPair(pair) {
  $("prompt").replaceChildren(...pair.prompt.map((message) => {
    const node = element("div", `message ${message.role}`, "");
    if (pair.prompt.length > 1) node.append(element("small", "", message.role));
    node.append(element("p", "text", message.content));
    return node;
  }));
  for (const side of ["left", "right"]) {
    $(side).textContent = pair[side].trim() ? pair[side] : "(nothing)";
    $(side).classList.toggle("empty", !pair[side].trim());
  }
  document.querySelector("main").scrollTop = 0;
  $("prompt-head").focus({ preventScroll: true });  // and no button is left that space would press
  $("status").textContent = `Pair ${state.done + 1} of ${state.total}`;
}

const percent = (share) => `${Math.round(100 * share)} %`;
const interval = (share) => `95 % interval ${percent(share.low)} to ${percent(share.high)}`;

function showResult({ duel, left, skipped, same }) {
  const { first, second, wins, losses, ties, rate } = duel;
  $("first").textContent = first;
  $("second").textContent = second;
  $("wins").textContent = wins;
  $("losses").textContent = losses;
  $("ties").textContent = ties;
  document.querySelector(".bar .first").style.flexGrow = wins;
  document.querySelector(".bar .tied").style.flexGrow = ties;
  document.querySelector(".bar .second").style.flexGrow = losses;
  $("rate").hidden = !rate;
  $("result-head").textContent = verdictOf(duel);
  if (rate) {
    const value = rate.count / rate.total;
    $("rate-text").textContent =
      `${first} won ${percent(value)} of the ${rate.total} that were no tie (${interval(rate)}).`;
    document.querySelector(".point").style.left = `${100 * value}%`;
    Object.assign(document.querySelector(".range").style, {
      left: `${100 * rate.low}%`, width: `${100 * (rate.high - rate.low)}%`,
    });
  }
  const remarks = [];
  if (left) {
    remarks.push(`Answer 1 was chosen in ${percent(left.count / left.total)} `
      + `(${interval(left)}); about half would be fair.`);
  }
  if (skipped) remarks.push(`${skipped} skipped.`);
  if (same) remarks.push(`${same} not asked about: both answers were the same.`);
  remarks.push("Every choice is kept: see “modelwright feedback stats”.");
  $("remarks").replaceChildren(...remarks.map((text) => element("li", "", text)));
  $("result-head").focus({ preventScroll: true });
  $("status").textContent = $("result-head").textContent;
}

function verdictOf({ first, second, rate }) {
  if (!rate) return "Nothing was decided";
  if (rate.low > 0.5) return `${first} is better`;
  if (rate.high < 0.5) return `${second} is better`;
  return "Too close, or too few, to tell";
}

/* ---------- keys and buttons ---------- */

for (const [id, verdict] of Object.entries(VERDICTS)) {
  $(id).addEventListener("click", () => judge(verdict));
}
$("undo").addEventListener("click", undo);
$("again").addEventListener("click", () => update("/state"));
document.addEventListener("keydown", (event) => {
  const id = KEYS[event.key.toLowerCase()];
  if (!id || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  // Who has gone to a button with the keyboard means that button by the space bar.
  if (event.key === " " && event.target.closest("button")) return;
  event.preventDefault();
  $(id).click();
});

update("/state");
