/* Having answers written: one or two at a time, streamed into the tree, stopped, begun again. */

import { ServerError, events } from "./api.js";
import { newId } from "./conversation.js";
import { compact, compactText, within } from "./probabilities.js";
import { bodyOf, pathOf, streamed } from "./requests.js";
import { optionsOf } from "./settings.js";

/** How an answer was asked for; one that comes from the terminal chat has its model only. */
export const optionsOfAnswer = ({ options, model }) => options ?? { model };

export class Answers {
  /** `on` has `start(conversation)`, `text(message)`, `end(conversation)` and `error(error)`. */
  constructor(settings, on) {
    Object.assign(this, { settings, on });
    this.running = new Map();   // AbortControllers and conversations, by the answer's id
    this.contexts = new Map();  // how much models hold, by name
  }

  isWriting(conversation) { return this.conversations.includes(conversation); }

  /** Those in which something is being written. */
  get conversations() { return [...this.running.values()].map((one) => one.conversation); }

  isRunning(message) { return this.running.has(message.id); }

  /** Answer a message, by as many sets of settings as are in use. */
  async write(conversation, parent) {
    const sides = this.settings.used;
    const pair = sides.length > 1 ? { pair: newId() } : {};
    const system = conversation.mode === "chat" ? conversation.system.trim() : "";
    const answers = sides.map((side, at) => conversation.add({
      parent, role: "assistant", options: optionsOf(side), system,
      ...pair, ...(pair.pair ? { side: at } : {}),
    }));
    conversation.activate(answers[0]);
    await this.#all(conversation, answers);
  }

  /** Write one that failed once more, in its place. */
  async again(conversation, answer, model) {
    answer.options = optionsOfAnswer(answer);
    Object.assign(answer, { text: "", end: undefined, error: undefined, tokens: undefined, leftOut: 0 });
    if (model) answer.options.model = model;
    await this.#all(conversation, [answer]);
  }

  stop(conversation) {
    for (const one of this.running.values()) {
      if (one.conversation === conversation) one.controller.abort();
    }
  }

  async #all(conversation, answers) {
    const jobs = answers.map((answer) => this.#one(conversation, answer));
    this.on.start(conversation);
    await Promise.all(jobs);
    conversation.touch();
    this.on.end(conversation);
  }

  async #one(conversation, answer) {
    const controller = new AbortController();
    this.running.set(answer.id, { controller, conversation });
    const started = performance.now();
    try {
      while (!(await this.#fits(conversation, answer, controller.signal)));
    } catch (error) {
      answer.end = error.name === "AbortError" ? "stopped" : "error";
      if (answer.end === "error") {
        const { what, todo } = error instanceof ServerError ? error
          : new ServerError("This page has met an error of its own.", String(error));
        answer.error = { what, todo };
        this.on.error(error);
      }
    } finally {
      answer.seconds = Number(((performance.now() - started) / 1000).toFixed(3));
      if (answer.tokens) answer.tokens = within(answer.tokens, answer.text);
      this.running.delete(answer.id);
    }
  }

  /** Stream an answer; false if more of what was said must be left out first. */
  async #fits(conversation, answer, signal) {
    const { mode } = conversation;
    const body = bodyOf(mode, conversation.prompt(answer), answer.options);
    try {
      const sent = streamed(mode, body, this.settings.withTokens);
      for await (const event of events(pathOf(mode), sent, signal, (id) => { answer.requestId = id; })) {
        answer.model = event.model;
        if (event.usage) answer.usage = event.usage;
        for (const choice of event.choices) this.#take(mode, answer, choice);
        this.on.text(answer);
      }
    } catch (error) {
      const more = error.code === "context_length_exceeded" ? conversation.leavingOutMore(answer) : null;
      if (more === null) throw error;
      answer.leftOut = more;
      return false;
    }
    if (answer.end === "length" && answer.usage?.total_tokens >= this.contexts.get(answer.model)) answer.end = "full";
    return true;
  }

  #take(mode, answer, choice) {
    answer.text += mode === "chat" ? choice.delta.content ?? "" : choice.text;
    if (choice.finish_reason) answer.end = choice.finish_reason;
    if (choice.logprobs) {
      const tokens = mode === "chat" ? compact(choice.logprobs.content) : compactText(choice.logprobs);
      answer.tokens = [...(answer.tokens ?? []), ...tokens];
    }
  }
}
