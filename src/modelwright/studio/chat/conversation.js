/*
 * A conversation is a tree of messages: to edit one, or to have it answered again, makes a sibling,
 * and nothing is lost. What is shown is one path through it, from the top to a leaf.
 *
 * A message has `id`, `parent` (null at the top), `role`, `text`; an answer also what is known of it:
 * `model`, `requestId`, `options` (as sent), `tokens` (with probabilities), `end`, `usage`, `seconds`,
 * `error`, `system`, `leftOut`, `feedback`, `better`. Two answers side by side have the same `pair`, and `side` 0 and 1.
 */

export const ENDS = ["stop", "length", "full", "stopped", "error"];
const MOST_TITLE = 60;
const TOP = "";  // the place of what has no parent, among the active children

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Conversation {
  constructor(mode = "chat") {
    this.id = newId();
    this.mode = mode;
    this.title = "";
    this.system = "";
    this.created = this.updated = new Date().toISOString();
    this.messages = new Map();   // by id, in the order in which they came
    this.active = new Map();     // the child that is shown, by parent
  }

  get name() {
    if (this.title) return this.title;
    const first = [...this.messages.values()].find((message) => message.role === "user");
    const text = first?.text.trim().replace(/\s+/g, " ") ?? "";
    return text.length > MOST_TITLE ? `${text.slice(0, MOST_TITLE).trimEnd()}…` : text || "New chat";
  }

  add(message) {
    const made = { id: newId(), parent: null, text: "", ...message };
    this.messages.set(made.id, made);
    this.active.set(made.parent ?? TOP, made.id);
    this.touch();
    return made;
  }

  touch() { this.updated = new Date().toISOString(); }

  children(parent) {
    return [...this.messages.values()].filter((message) => message.parent === parent);
  }

  /** The messages that are shown below each other. */
  path() {
    const found = [];
    let parent = null;
    for (;;) {
      const next = this.messages.get(this.active.get(parent ?? TOP));
      if (!next) return found;
      found.push(next);
      parent = next.id;
    }
  }

  get last() { return this.path().at(-1) ?? null; }

  /** A message and all before it, from the top. */
  upTo(id) {
    const found = [];
    for (let at = this.messages.get(id); at; at = this.messages.get(at.parent)) found.unshift(at);
    return found;
  }

  /** The versions in a message's place; two that stand side by side are one. */
  versions(message) {
    const found = new Map();
    for (const one of this.children(message.parent)) {
      const key = one.pair ?? one.id;
      found.set(key, [...(found.get(key) ?? []), one]);
    }
    return [...found.values()];
  }

  /** The messages that stand beside one, itself included, from left to right. */
  beside(message) {
    if (!message.pair) return [message];
    return this.children(message.parent).filter((one) => one.pair === message.pair)
      .sort((a, b) => a.side - b.side);
  }

  activate(message) { this.active.set(message.parent ?? TOP, message.id); }

  /** What the model reads in order to write `answer`: messages, or a text to go on with. */
  prompt({ parent, system = "", leftOut = 0 }) {
    const before = this.upTo(parent);
    if (this.mode === "complete") return before.map((message) => message.text).join("");
    const said = before.filter((message) => !isFailed(message))
      .map(({ role, text }) => ({ role, content: text })).slice(leftOut);
    return system ? [{ role: "system", content: system }, ...said] : said;
  }

  /** How many messages to leave out, if with `leftOut` of them it still is too long; null if none can be. */
  leavingOutMore({ parent, leftOut = 0 }) {
    const said = this.mode === "chat" ? this.upTo(parent).filter((message) => !isFailed(message)) : [];
    let more = leftOut + 1;
    while (said[more]?.role === "assistant") more += 1;  // an answer goes with its question
    return more < said.length ? more : null;
  }

  contains(words) {
    const text = [this.name, this.system, ...[...this.messages.values()].map((one) => one.text)]
      .join("\n").toLowerCase();
    return words.toLowerCase().split(/\s+/).every((word) => text.includes(word));
  }

  toJSON() {
    return {
      id: this.id, mode: this.mode, title: this.title, system: this.system,
      created: this.created, updated: this.updated,
      messages: [...this.messages.values()], active: [...this.active],
    };
  }

  /** A conversation from what was stored or comes from a file; throws where it is none. */
  static from(given) {
    const made = new Conversation();
    made.id = checkedId(given.id);
    made.mode = given.mode === "complete" ? "complete" : "chat";
    made.title = text(given.title ?? "");
    made.system = text(given.system ?? "");
    made.created = time(given.created);
    made.updated = time(given.updated);
    for (const one of list(given.messages)) {
      const message = checkedMessage(one);
      // Parents come before children, so there are no rings.
      if (message.parent !== null && !made.messages.has(message.parent)) throw new Error("a message without its parent");
      if (made.messages.has(message.id)) throw new Error("two messages with one id");
      made.messages.set(message.id, message);
    }
    for (const [parent, child] of list(given.active)) {
      if (made.messages.get(child)?.parent === (parent || null)) made.active.set(parent, child);
    }
    // Where a file does not say what is shown, it is the newest.
    for (const message of made.messages.values()) {
      const shown = made.active.get(message.parent ?? TOP);
      if (!shown) made.active.set(message.parent ?? TOP, made.children(message.parent).at(-1).id);
    }
    return made;
  }
}

/** An answer that never began. */
const isFailed = ({ role, end, text: said }) => role === "assistant" && end === "error" && !said;

function checkedMessage(given) {
  const message = {
    id: checkedId(given.id), parent: given.parent === null ? null : checkedId(given.parent),
    role: given.role, text: text(given.text),
  };
  if (!["user", "assistant"].includes(message.role)) throw new Error("a message of nobody");
  for (const name of ["model", "requestId", "better", "system"]) {
    if (typeof given[name] === "string") message[name] = given[name];
  }
  if (typeof given.pair === "string") Object.assign(message, { pair: checkedId(given.pair), side: given.side === 1 ? 1 : 0 });
  // One that was being written when the page was closed was stopped by that.
  if (message.role === "assistant") message.end = ENDS.includes(given.end) ? given.end : "stopped";
  for (const name of ["seconds", "leftOut"]) {
    if (Number.isFinite(given[name])) message[name] = given[name];
  }
  if (isObject(given.usage) && Number.isFinite(given.usage.completion_tokens) && Number.isFinite(given.usage.total_tokens)) {
    message.usage = { completion_tokens: given.usage.completion_tokens, total_tokens: given.usage.total_tokens };
  }
  if (isObject(given.error)) message.error = { what: String(given.error.what), todo: String(given.error.todo ?? "") };
  if (isObject(given.options)) message.options = given.options;
  if (isObject(given.feedback)) message.feedback = checkedFeedback(given.feedback);
  if (Array.isArray(given.tokens)) message.tokens = given.tokens.map(checkedToken);
  return message;
}

function checkedFeedback(given) {
  const feedback = {};
  for (const name of ["thumb", "correction", "choice"]) {
    if (typeof given[name] === "string") feedback[name] = given[name];
  }
  for (const name of ["up", "tie", "won"]) {
    if (typeof given[name] === "boolean") feedback[name] = given[name];
  }
  return feedback;
}

/** [bytes, log-probability, [[bytes, log-probability], ...]] */
function checkedToken([bytes, value, others]) {
  const pair = (one, logarithm) => {
    if (!list(one).every((byte) => Number.isInteger(byte) && byte >= 0 && byte < 256) || !Number.isFinite(logarithm)) {
      throw new Error("a token that is none");
    }
    return [one, logarithm];
  };
  return [...pair(bytes, value), list(others).map(([one, logarithm]) => pair(one, logarithm))];
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

function checkedId(value) {
  if (typeof value !== "string" || !/^[A-Za-z0-9-]{1,64}$/.test(value)) throw new Error("an id that is none");
  return value;
}

function text(value) {
  if (typeof value !== "string") throw new Error("a text that is none");
  return value;
}

function time(value) {
  if (typeof value !== "string" || Number.isNaN(Date.parse(value))) throw new Error("a time that is none");
  return value;
}

function list(value) {
  if (!Array.isArray(value)) throw new Error("a list that is none");
  return value;
}
