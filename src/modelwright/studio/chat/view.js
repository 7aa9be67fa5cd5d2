/* The conversation as it is shown: one path through the tree, drawn anew when the tree changes. */

import { $, button, copyFrom, element, fit, iconButton } from "./dom.js";
import { chosen } from "./feedback.js";
import { renderInto } from "./markdown.js";
import { hide as hideTip, tokenNodes } from "./probabilities.js";

const NEAR_THE_END = 90;  // pixels within which the view goes along with a text that grows
const NAMES = ["A", "B"];

const REASONS = {
  length: "stopped at the limit on its length", full: "stopped: the context is full",
  stopped: "stopped by you", error: "broken off",
};

export class View {
  /** `act` has a function for everything that a reader can do with a message. */
  constructor(settings, answers, feedback, act) {
    Object.assign(this, { settings, answers, feedback, act });
    this.conversation = null;
    this.texts = new Map();    // where an answer's text is shown, by its id
    this.waiting = new Set();  // answers that have grown since the last frame
    $("log").addEventListener("click", ({ target }) => {
      const pressed = target.closest(".copy-code");
      if (pressed) copyFrom(null, pressed.closest("figure").querySelector("code").textContent);
    });
  }

  get isBusy() { return this.answers.isWriting(this.conversation); }

  /** Show a conversation from its beginning, or the same one as it is now. */
  draw(conversation = this.conversation) {
    const isOther = conversation !== this.conversation;
    this.conversation = conversation;
    hideTip();
    this.texts.clear();
    const path = conversation.path();
    $("welcome").hidden = path.length > 0;
    const nodes = conversation.mode === "complete" ? this.#document(path) : path.map((one) => this.#entry(one));
    this.#keepingPlace(() => $("log").replaceChildren(...nodes), isOther);
  }

  /** An answer has grown. */
  grow(answer) {
    if (!this.waiting.size) requestAnimationFrame(() => this.#paint());
    this.waiting.add(answer);
  }

  scrollToEnd() { $("scroll").scrollTop = $("scroll").scrollHeight; }

  /** Put a field in a message's place; `onSave` is given its text. */
  edit(message) {
    const node = document.querySelector(`[data-id="${message.id}"]`);
    const area = element("textarea");
    area.value = message.text;
    area.setAttribute("aria-label", "Edit this message");
    const done = () => { this.draw(); $("input").focus(); };
    const save = () => (area.value.trim() ? this.act.edit(message, area.value) : done());
    area.addEventListener("input", () => fit(area));
    area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); save(); }
      if (event.key === "Escape") { event.stopPropagation(); done(); }
    });
    node.replaceChildren(element("div", "editor", area, element("div", "buttons",
      button("Cancel", "", done), button("Send", "strong", save))));
    fit(area);
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }

  #paint() {
    const grown = [...this.waiting];
    this.waiting.clear();
    this.#keepingPlace(() => {
      for (const answer of grown) {
        const node = this.texts.get(answer.id);
        if (node) this.#fill(node, answer);
      }
    });
  }

  /** Change something; who reads the end goes on reading the end. */
  #keepingPlace(change, toEnd = false) {
    const scroll = $("scroll");
    const place = scroll.scrollTop;
    const atEnd = toEnd || scroll.scrollHeight - place - scroll.clientHeight < NEAR_THE_END;
    change();
    scroll.scrollTop = atEnd ? scroll.scrollHeight : place;
  }

  #entry(message) {
    if (message.role === "user") return this.#question(message);
    const pair = this.conversation.beside(message);
    if (pair.length === 1) return this.#answer(message);
    const columns = element("div", "columns", ...pair.map((one) => this.#answer(one, message)));
    return element("section", "pair", columns, ...this.#verdict(pair));
  }

  #question(message) {
    const actions = element("div", "actions", ...this.#versions(message));
    if (!this.isBusy) {
      actions.append(iconButton("copy", "Copy this message", (event) => copyFrom(event.currentTarget, message.text)),
        iconButton("pencil", "Edit this message", () => this.edit(message)));
    }
    return this.#article("message user", message, "You", element("div", "text", message.text), actions);
  }

  #answer(message, active = message) {
    const parts = [];
    const name = message.model ?? message.options?.model ?? "";
    const isPair = Boolean(message.pair);
    parts.push(element("div", "who", ...(isPair ? [element("b", "", NAMES[message.side]), " "] : []), name));
    if (isPair) parts[0].append(element("small", "", written(message.options)));
    if (message.leftOut) {
      parts.push(element("p", "note", message.leftOut === 1
        ? "The oldest message no longer fits into the context and was left out."
        : `The ${message.leftOut} oldest messages no longer fit into the context and were left out.`));
    }
    parts.push(this.#text(message));
    parts.push(...this.#after(message));
    const node = this.#article("message model", message, `Answer of ${name}`, ...parts);
    if (isPair) node.classList.toggle("active", message === active);
    return node;
  }

  /** What stands below an answer's text: what went wrong, a correction, what can be done. */
  #after(message) {
    const parts = [];
    if (message.error) parts.push(this.#error(message));
    if (message.better) {
      parts.push(element("div", "better", element("small", "", "It should have said"), element("div", "text", message.better)));
    }
    if (!this.answers.isRunning(message)) parts.push(this.#actions(message));
    return parts;
  }

  #text(message) {
    const node = element("div", "text");
    this.texts.set(message.id, node);
    this.#fill(node, message);
    return node;
  }

  #fill(node, message) {
    const isRunning = this.answers.isRunning(message);
    const withTokens = this.settings.withTokens && message.tokens?.length > 0;
    node.classList.toggle("waiting", isRunning);
    node.classList.toggle("tokens", withTokens);
    const isPlain = this.conversation.mode === "complete";  // a text that goes on is as it is
    node.classList.toggle("markdown", !withTokens && !isPlain);
    if (withTokens || isPlain) {
      node.blocks = null;
      node.replaceChildren(...(withTokens ? tokenNodes(message.tokens, this.settings.colour) : [message.text]));
    } else {
      if (!node.blocks) node.replaceChildren();
      renderInto(node, message.text);
    }
    node.classList.toggle("empty", !isRunning && !message.text && !message.error);
  }

  #error(message) {
    const node = element("div", "error", element("strong", "", message.error.what), " ", message.error.todo, " ");
    node.setAttribute("role", "alert");
    if (!this.isBusy) node.append(button("Try again", "link", () => this.act.again(message)));
    return node;
  }

  #actions(message) {
    const actions = element("div", "actions", ...this.#versions(message));
    if (!this.isBusy) {
      actions.append(
        iconButton("copy", "Copy this answer", (event) => copyFrom(event.currentTarget, message.text)),
        iconButton("again", "Answer again", () => this.act.regenerate(message)));
      if (this.feedback.isKept && !message.error) actions.append(...this.#opinions(message));
      actions.append(iconButton("code", "The request as curl or Python", () => this.act.request(message)));
      if (this.settings.withTokens && !message.tokens && !message.error) {
        actions.append(element("span", "hint", "no probabilities: they are asked for with the next answer"));
      }
    }
    actions.append(figures(message));
    return actions;
  }

  #opinions(message) {
    const given = message.feedback?.thumb ? message.feedback.up : null;
    const thumb = (up) => {
      const node = iconButton(up ? "up" : "down", up ? "A good answer" : "A bad answer", () => this.act.thumb(message, up));
      node.setAttribute("aria-pressed", String(given === up));
      return node;
    };
    return [thumb(true), thumb(false),
      iconButton("correct", "Write what it should have said", () => this.#correct(message))];
  }

  #correct(message) {
    const area = element("textarea"), why = element("input"), who = element("input");
    area.value = message.better ?? message.text;
    who.value = this.settings.person;
    who.maxLength = 200;
    const close = () => this.draw();
    const row = (label, field) => element("label", "field", element("span", "", label), field);
    const save = () => this.act.correct(message, area.value, why.value, who.value.trim());
    const form = element("div", "editor correction", row("It should have said", area),
      element("div", "two", row("Why (optional)", why), row("Your name (optional)", who)),
      element("div", "buttons", ...(message.better ? [button("Take it back", "", () => this.act.correct(message, "", "", this.settings.person))] : []),
        button("Cancel", "", close), button("Keep", "strong", save)));
    form.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); close(); } });
    const node = document.querySelector(`[data-id="${message.id}"]`);
    node.querySelector(".actions").replaceWith(form);
    area.addEventListener("input", () => fit(area));
    fit(area);
    area.focus();
  }

  #verdict(pair) {
    if (this.isBusy || pair.some((one) => one.error)) return [];
    const given = chosen(pair);
    const choose = (label, winner) => {
      const node = button(label, "", () => this.act.choose(pair, winner));
      node.setAttribute("aria-pressed", String(given === winner));
      return node;
    };
    const asked = this.feedback.isKept ? "Which is better?" : "Go on with";
    const tie = this.feedback.isKept ? [choose("Tie", null)] : [];
    return [element("div", "verdict", element("span", "", asked), choose("A", 0), ...tie, choose("B", 1))];
  }

  /** ‹ 2/3 › */
  #versions(message) {
    const versions = this.conversation.versions(message);
    if (versions.length < 2) return [];
    const at = versions.findIndex((version) => version.includes(message));
    const step = (name, label, by) => {
      const node = iconButton(name, label, () => this.act.show(versions[at + by]));
      node.disabled = this.isBusy || !versions[at + by];
      return node;
    };
    return [element("span", "versions", step("left", "The version before", -1),
      element("span", "", `${at + 1}/${versions.length}`), step("right", "The next version", 1))];
  }

  /** A text that the model goes on with, as one piece. */
  #document(path) {
    if (!path.length) return [];
    const last = path.at(-1);
    const text = element("div", "text", ...path.map((message) => this.#part(message)));
    const running = path.find((message) => this.answers.isRunning(message));
    const parts = [text];
    if (last.role === "assistant") {
      parts.push(...(last.pair ? this.#twoEnds(last) : this.#after(last)));
      if (!this.isBusy && !last.error) {
        parts.at(-1).append(button("Go on from here", "link", () => this.act.goOn(last)));
      }
    }
    const [first] = path;
    if (!running) {
      const actions = element("div", "actions above", ...this.#versions(first), iconButton("pencil", "Edit the beginning", () => this.edit(first)));
      parts.unshift(actions);
    }
    const node = this.#article("message document", first, "Text", ...parts);
    return [node];
  }

  #part(message) {
    if (message.role === "user") return element("span", "given", message.text);
    if (message.pair && message === this.conversation.last) return "";
    const node = element("span");
    this.texts.set(message.id, node);
    this.#fill(node, message);
    return node;
  }

  /** Two ways on from one text. */
  #twoEnds(last) {
    const pair = this.conversation.beside(last);
    return [element("section", "pair", element("div", "columns", ...pair.map((one) => this.#answer(one, last))), ...this.#verdict(pair)), element("div", "actions")];
  }

  #article(className, message, label, ...children) {
    const node = element("article", className, ...children);
    node.dataset.id = message.id;
    node.setAttribute("aria-label", label);
    return node;
  }
}

/** Settings in short, to tell two sides apart. */
function written({ model: _, ...options } = {}) {
  const shown = Object.entries(options).filter(([name]) => !["max_tokens", "stop"].includes(name));
  return shown.map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`).join(" · ");
}

function figures({ usage, seconds, end }) {
  const parts = [];
  if (usage) {
    const count = usage.completion_tokens;
    parts.push(`${count} ${count === 1 ? "token" : "tokens"} in ${seconds.toFixed(1)} s`);
    if (seconds > 0) parts.push(`${(count / seconds).toFixed(count / seconds < 10 ? 1 : 0)} tokens/s`);
  }
  if (REASONS[end]) parts.push(REASONS[end]);
  return element("span", "figures", parts.join(" · "));
}
