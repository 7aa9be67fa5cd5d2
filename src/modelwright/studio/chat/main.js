/* The page: what is where, which key does what. */

import { Answers, optionsOfAnswer } from "./answers.js";
import { ServerError, ask, key } from "./api.js";
import { Conversation } from "./conversation.js";
import { $, copyFrom, fit, toast } from "./dom.js";
import { Feedback } from "./feedback.js";
import { History } from "./history.js";
import { hide as hideTip, watchTokens } from "./probabilities.js";
import { asCurl, asPython, bodyOf } from "./requests.js";
import { Settings, fillModels, optionsOf, samplingRows } from "./settings.js";
import { Sidebar } from "./sidebar.js";
import { View } from "./view.js";

const WORDS = {
  chat: {
    title: "Ask something", hint: "The model runs where this page comes from. Nothing you write goes anywhere else.",
    label: "Your message", placeholder: "Ask something…", new: "New chat",
  },
  complete: {
    title: "Begin a text", hint: "The model goes on where you stop. Nothing you write goes anywhere else.",
    label: "A text, to be gone on with", placeholder: "Once upon a time…", new: "New text",
  },
};
const FIRST_RETRY = 1000, LAST_RETRY = 15000;  // milliseconds between looks for a server that is gone
const THEMES = ["system", "light", "dark"];
const THEME = "modelwright/theme";

const settings = new Settings();
const history = new History((text) => toast(text));
const feedback = new Feedback(settings);
let conversation = new Conversation();
let retryTimer = 0, retryAfter = FIRST_RETRY;

const answers = new Answers(settings, {
  start: (of) => { $("status").textContent = ""; history.save(of); refresh(of); if (of === conversation) view.scrollToEnd(); },
  text: (answer) => view.grow(answer),
  end: (of) => { history.save(of); refresh(of); $("status").textContent = "The model has finished."; },
  error: explain,
});

const view = new View(settings, answers, feedback, {
  edit: (message, text) => write(() => {
    const { parent, role } = message;
    return conversation.add({ parent, role, text }).id;
  }),
  regenerate: (message) => write(() => message.parent),
  again: (message) => {
    const model = settings.sides[message.side ?? 0].model;
    if (!answers.isWriting(conversation)) answers.again(conversation, message, model);
  },
  goOn: (message) => write(() => message.id),
  show: ([message]) => { conversation.activate(message); kept(); },
  request: (message) => showRequest(bodyOf(conversation.mode, conversation.prompt(message), optionsOfAnswer(message))),
  thumb: (message, up) => opinion(() => feedback.thumb(conversation, message, up)),
  correct: (message, better, comment, person) => {
    setPerson(person);
    return opinion(() => feedback.correct(conversation, message, better, comment));
  },
  choose: (pair, winner) => {
    if (winner !== null) conversation.activate(pair[winner]);
    if (!feedback.isKept) { kept(); return; }
    opinion(() => feedback.choose(conversation, pair, winner));
  },
});

const sidebar = new Sidebar(history, {
  open: show,
  isWriting: (one) => answers.isWriting(one),
  removed: (one) => { answers.stop(one); if (one === conversation) begin(); },
});

/* ---------- conversations ---------- */

function show(one) {
  conversation = one;
  location.replace(`#${one.id}`);
  document.querySelector(`input[name=mode][value=${one.mode}]`).checked = true;
  $("system").value = one.system;
  fit($("system"));
  close("sidebar");
  view.draw(one);
  refresh(one);
  $("input").focus();
}

/** An empty conversation; it is kept once something is said. */
function begin(mode = conversation.mode) {
  const made = new Conversation(mode);
  if (mode === "chat") made.system = conversation.system;
  show(made);
}

/** Something of the conversation has changed. */
function kept() {
  history.save(conversation);
  refresh(conversation);
}

function refresh(of) {
  sidebar.draw(conversation);
  if (of !== conversation) return;
  view.draw();
  const isBusy = answers.isWriting(conversation);
  $("send").hidden = isBusy;
  $("stop").hidden = !isBusy;
  $("log").setAttribute("aria-busy", String(isBusy));
  $("modes").disabled = isBusy;
  showWords();
  showContext();
}

function showWords() {
  const words = WORDS[conversation.mode];
  $("welcome-title").textContent = words.title;
  $("welcome-text").textContent = words.hint;
  $("input-label").textContent = words.label;
  $("input").placeholder = conversation.mode === "complete" && conversation.messages.size
    ? "Write on yourself, or press Enter and let the model go on…" : words.placeholder;
  $("new").querySelector("span").textContent = words.new;
  $("system-field").hidden = conversation.mode === "complete";
  document.title = conversation.messages.size ? `${conversation.name} · Modelwright` : "Modelwright";
}

/** How much of the context the last answer has filled. */
function showContext() {
  const used = conversation.path().findLast((message) => message.usage);
  const holds = answers.contexts.get(used?.model);
  $("context").hidden = !holds;
  if (!holds) return;
  $("context-bar").max = holds;
  $("context-bar").value = used.usage.total_tokens;
  $("context-text").textContent = `${used.usage.total_tokens} of ${holds} tokens`;
}

/* ---------- saying something ---------- */

/** Have a place in the tree answered, unless something is being written there. */
function write(place) {
  if (answers.isWriting(conversation) || !settings.sides[0].model) return;
  answers.write(conversation, place());
  $("input").focus();
}

function send() {
  const input = $("input");
  const isText = conversation.mode === "complete";
  const canGoOn = isText && conversation.messages.size > 0;
  if (!input.value.trim() && !canGoOn) return;
  write(() => {
    const text = isText ? input.value : input.value.trim();  // a space at the end of a text matters
    input.value = "";
    fit(input);
    const parent = conversation.last?.id ?? null;
    return text ? conversation.add({ parent, role: "user", text }).id : parent;
  });
}

async function opinion(give) {
  try {
    await give();
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    toast(`${error.what} ${error.todo}`);
    explain(error);
  }
  kept();
}

/* ---------- the server ---------- */

async function connect() {
  clearTimeout(retryTimer);
  try {
    const [health, models] = [await ask("/health").catch(stopped), await ask("/v1/models")];
    await feedback.connect();
    retryAfter = FIRST_RETRY;
    $("banner").hidden = true;
    answers.contexts = new Map(models.data.map((one) => [one.id, one.max_model_len]));
    settings.offer(models.data.map((one) => one.id));
    showModels();
    const mode = health.chat === false ? "complete" : "chat";
    if (!conversation.messages.size && conversation.mode !== mode) begin(mode);
    else refresh(conversation);
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    explain(error);
  }
}

function stopped(error) {
  if (error.status !== 503) throw error;
  throw new ServerError("The model has stopped.", "Start the server again.", { code: "gone" });  // looked for again
}

/** What an error asks for beside its words. */
function explain(error) {
  if (error.status === 401) askForKey();
  if (error.code === "model_not_found") connect();
  if (!error.isGone) {
    if (!answers.contexts.size) banner(`${error.what} ${error.todo}`);
    return;
  }
  banner(`${error.what} ${error.todo}`);
  clearTimeout(retryTimer);
  retryTimer = setTimeout(connect, retryAfter);
  retryAfter = Math.min(2 * retryAfter, LAST_RETRY);
}

function banner(text) {
  $("banner").textContent = text;
  $("banner").hidden = false;
}

function askForKey() {
  $("key-field").hidden = false;
  $("key-input").value = "";
  if (key.get()) $("key-title").textContent = "That key is not valid (any more)";
  if (!$("key-dialog").open) $("key-dialog").showModal();
}

function useKey(value) {
  key.set(value.trim());
  $("key").value = key.get();
  connect();
}

function showModels() {
  const models = [...answers.contexts.keys()];
  fillModels($("model"), models, settings.sides[0].model);
  fillModels($("model-b"), models, settings.sides[1].model);
  for (const node of document.querySelectorAll(".versus, .second")) node.hidden = !settings.isBeside;
}

/* ---------- settings ---------- */

function showSettings() {
  $("probabilities").setAttribute("aria-pressed", String(settings.withTokens));
  $("beside").setAttribute("aria-pressed", String(settings.isBeside));
  $("sides").hidden = !settings.isBeside;
  if (!settings.isBeside) settings.side = 0;
  document.querySelectorAll("input[name=side]")[settings.side].checked = true;
  $("sampling").replaceChildren(...samplingRows(settings, () => settings.save()));
  $("colour").value = settings.colour;
  $("person").value = settings.person;
  $("key").value = key.get();
  if (key.get()) $("key-field").hidden = false;
}

function change(values) {
  Object.assign(settings, values);
  settings.save();
  showSettings();
  showModels();
  view.draw();
}

function setPerson(name) {
  settings.person = name;
  settings.save();
  $("person").value = name;
}

function setTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const node = $("theme");
  node.querySelector("use").setAttribute("href", `#i-${theme}`);
  node.title = `Colours: ${theme === "system" ? "as the system has them" : theme}`;
  node.setAttribute("aria-label", node.title);
}

function storedTheme() {
  const stored = document.documentElement.dataset.theme;
  return THEMES.includes(stored) ? stored : "system";
}

function nextTheme() {
  const theme = THEMES[(THEMES.indexOf(storedTheme()) + 1) % THEMES.length];
  setTheme(theme);
  try { localStorage.setItem(THEME, theme); } catch { /* It holds until the page is closed. */ }
}

/* ---------- what opens and closes ---------- */

const isNarrow = () => matchMedia("(max-width: 52rem)").matches;

function open(id) {
  if (id === "panel") {
    $("panel").hidden = false;
    $("open-panel").setAttribute("aria-expanded", "true");
    fit($("system"));
  } else {
    document.body.classList.add("with-sidebar");
  }
  $("scrim").hidden = !isNarrow();
}

function close(id) {
  if (id === "panel") {
    $("panel").hidden = true;
    $("open-panel").setAttribute("aria-expanded", "false");
  } else {
    document.body.classList.remove("with-sidebar");
  }
  $("scrim").hidden = true;
}

function toggleSidebar() {
  if (isNarrow()) open("sidebar");
  else document.body.classList.toggle("without-sidebar");
}

let shownBody = null;  // of the request in the dialog

function showRequest(body) {
  shownBody = body;
  writeRequest();
  $("request-dialog").showModal();
}

function writeRequest() {
  const form = document.querySelector("input[name=form]:checked").value;
  $("request-code").textContent = (form === "curl" ? asCurl : asPython)(conversation.mode, shownBody);
  $("request-note").textContent = form === "python" ? "pip install openai" : "";
}

/** The request for what stands in the field now, or for a first word. */
function nextRequest() {
  const draft = new Conversation(conversation.mode);
  const text = $("input").value || (conversation.mode === "chat" ? "Hello" : "Once upon a time");
  const { id } = draft.add({ role: "user", text });
  const prompt = draft.prompt({ parent: id, system: conversation.mode === "chat" ? conversation.system.trim() : "" });
  showRequest(bodyOf(conversation.mode, prompt, optionsOf(settings.sides[0])));
}

/* ---------- keys and buttons ---------- */

function onKey(event) {
  const isField = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  const isDialog = document.querySelector("dialog[open]") !== null;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    document.body.classList.remove("without-sidebar");
    open("sidebar");
    $("search").focus();
    $("search").select();
  } else if (event.key === "Escape" && !isDialog) {
    const isOpen = !$("scrim").hidden;
    hideTip();
    if (isOpen) { close("sidebar"); close("panel"); }
    else if (answers.isWriting(conversation)) answers.stop(conversation);
    else if (event.target === $("search")) { $("search").value = ""; sidebar.draw(); $("input").focus(); }
  } else if (event.key === "?" && !isDialog && (!isField || (event.target === $("input") && !$("input").value))) {
    event.preventDefault();
    $("help-dialog").showModal();
  }
}

function onInputKey(event) {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  } else if (event.key === "ArrowUp" && !$("input").value && !answers.isWriting(conversation)) {
    const mine = conversation.path().findLast((message) => message.role === "user");
    if (!mine || conversation.mode === "complete") return;
    event.preventDefault();
    view.edit(mine);
  }
}

const onClick = (id, act) => $(id).addEventListener("click", act);

$("form").addEventListener("submit", (event) => { event.preventDefault(); send(); });
$("input").addEventListener("input", () => fit($("input")));
$("input").addEventListener("keydown", onInputKey);
document.addEventListener("keydown", onKey);
onClick("stop", () => { answers.stop(conversation); $("input").focus(); });
onClick("new", () => begin());
onClick("open-sidebar", toggleSidebar);
onClick("close-sidebar", () => close("sidebar"));
onClick("open-panel", () => ($("panel").hidden ? open : close)("panel"));
onClick("close-panel", () => { close("panel"); $("open-panel").focus(); });
onClick("scrim", () => { close("sidebar"); close("panel"); });
onClick("probabilities", () => change({ withTokens: !settings.withTokens }));
onClick("beside", () => change({ isBeside: !settings.isBeside }));
onClick("theme", nextTheme);
onClick("help-open", () => $("help-dialog").showModal());
onClick("reset", () => { settings.resetSide(); change({}); });
onClick("request-open", nextRequest);
onClick("request-copy", () => copyFrom(null, $("request-code").textContent));
$("request-dialog").addEventListener("change", writeRequest);
$("modes").addEventListener("change", ({ target }) => begin(target.value));
$("sides").addEventListener("change", ({ target }) => change({ side: Number(target.value) }));
$("colour").addEventListener("change", ({ target }) => change({ colour: target.value }));
$("person").addEventListener("change", ({ target }) => setPerson(target.value.trim()));
$("key").addEventListener("change", ({ target }) => useKey(target.value));
$("key-form").addEventListener("submit", () => useKey($("key-input").value));
$("system").addEventListener("input", ({ target }) => {
  conversation.system = target.value;
  fit(target);
  history.save(conversation);
});
[["model", 0], ["model-b", 1]].forEach(([id, side]) => {
  $(id).addEventListener("change", ({ target }) => {
    settings.sides[side].model = target.value;
    settings.save();
  });
});
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", ({ target }) => {
    if (target === dialog || target.closest("[data-close]")) dialog.close();
  });
}
watchTokens($("scroll"));
addEventListener("pagehide", () => {
  for (const one of new Set([conversation, ...answers.conversations])) history.save(one);
});
addEventListener("storage", ({ key: changed, newValue }) => {
  const id = history.refresh(changed, newValue);
  if (id === null) return;
  const read = history.all.get(id);
  if (id === conversation.id && read && !answers.isWriting(conversation)) show(read);
  else sidebar.draw();
});

setTheme(storedTheme());
showSettings();
show(history.all.get(location.hash.slice(1)) ?? conversation);
connect();
