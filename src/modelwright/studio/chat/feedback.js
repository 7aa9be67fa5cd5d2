/* What people think of answers, kept by the server in the workspace's table. */

import { ask } from "./api.js";

const PATH = "/feedback";

export class Feedback {
  constructor(settings) {
    this.settings = settings;
    this.isKept = false;
  }

  /** Ask whether the server keeps any. */
  async connect() { this.isKept = (await ask(PATH)).is_kept; }

  /** A thumb up or down; the same one again takes it back. */
  async thumb(conversation, answer, up) {
    const given = (answer.feedback ??= {});
    const before = given.thumb ? given.up : null;
    await this.#takeBack(given, "thumb");
    delete given.up;
    if (before === up) return;
    given.thumb = await this.#give({ kind: "thumb", ...this.#about(conversation, answer), answer: said(answer), up });
    given.up = up;
  }

  /** What it should have said; an empty text takes it back. */
  async correct(conversation, answer, better, comment) {
    const given = (answer.feedback ??= {});
    await this.#takeBack(given, "correction");
    delete answer.better;
    if (!better.trim()) return;
    const about = this.#about(conversation, answer);
    given.correction = await this.#give({ kind: "correction", ...about, answer: said(answer), better, comment });
    answer.better = better;
  }

  /** Which of two answers is better, by its place; null for a tie. The same again takes it back. */
  async choose(conversation, pair, winner) {
    const before = chosen(pair);
    for (const one of pair) one.feedback ??= {};
    const [first] = pair;
    await this.#takeBack(first.feedback, "choice");
    for (const one of pair) { delete one.feedback.won; delete one.feedback.tie; }
    if (before !== undefined && before === winner) return;
    first.feedback.choice = await this.#give({
      kind: "choice", ...this.#about(conversation, first), answers: pair.map(said), winner, left: 0,
    });
    if (winner === null) first.feedback.tie = true;
    else pair[winner].feedback.won = true;
  }

  #about(conversation, answer) {
    const prompt = conversation.prompt(answer);
    const messages = typeof prompt === "string" ? [{ role: "user", content: prompt }] : prompt;
    return { prompt: messages, person: this.settings.person };
  }

  async #give(body) { return (await ask(PATH, { method: "POST", body })).id; }

  async #takeBack(given, kind) {
    if (!given[kind]) return;
    try {
      await ask(`${PATH}/${given[kind]}`, { method: "DELETE" });
    } catch (error) {
      if (error.status !== 404) throw error;  // else it is gone already
    }
    delete given[kind];
  }
}

const said = ({ text, model, requestId }) => ({ text, model: model ?? "", request_id: requestId ?? "" });

/** The place of the answer that was chosen, null for a tie, undefined if none was. */
export function chosen(pair) {
  if (pair.some((one) => one.feedback?.tie)) return null;
  const place = pair.findIndex((one) => one.feedback?.won);
  return place === -1 ? undefined : place;
}
