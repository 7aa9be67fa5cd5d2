/* Requests: what is sent for an answer, and the same as a command and as a program. */

import { key } from "./api.js";

export const ALTERNATIVES = 5;

const PATHS = { chat: "chat/completions", complete: "completions" };
const KEY_VARIABLE = "MODELWRIGHT_KEY";
const OWN = ["top_k", "min_p", "repetition_penalty"];  // which OpenAI's client does not know

/** The body for an answer to `prompt`, messages or a text. */
export function bodyOf(mode, prompt, options) {
  return { model: options.model, [mode === "chat" ? "messages" : "prompt"]: prompt, ...options };
}

/** The body with what a page needs in order to show an answer while it is written. */
export function streamed(mode, body, withTokens) {
  const logprobs = mode === "chat" ? { logprobs: true, top_logprobs: ALTERNATIVES } : { logprobs: ALTERNATIVES };
  return { ...body, stream: true, stream_options: { include_usage: true }, ...(withTokens ? logprobs : {}) };
}

export const pathOf = (mode) => `/v1/${PATHS[mode]}`;

export function asCurl(mode, body) {
  const lines = [
    `curl ${location.origin}${pathOf(mode)}`,
    "-H 'Content-Type: application/json'",
    ...(key.get() ? [`-H "Authorization: Bearer $${KEY_VARIABLE}"`] : []),
    `-d '${JSON.stringify(body, null, 2).replaceAll("'", "'\\''")}'`,
  ];
  return lines.join(" \\\n  ");
}

export function asPython(mode, body) {
  const own = Object.fromEntries(OWN.filter((name) => name in body).map((name) => [name, body[name]]));
  const known = Object.entries(body).filter(([name]) => !(name in own));
  const given = known.map(([name, value]) => `    ${name}=${literal(value, 1)},`);
  if (Object.keys(own).length) given.push(`    extra_body=${literal(own, 1)},`);
  const method = mode === "chat" ? "chat.completions" : "completions";
  const said = mode === "chat" ? "answer.choices[0].message.content" : "answer.choices[0].text";
  const secret = key.get() ? `os.environ["${KEY_VARIABLE}"]` : '"none"';
  return [
    ...(key.get() ? ["import os", ""] : []),
    "from openai import OpenAI", "",
    `client = OpenAI(base_url="${location.origin}/v1", api_key=${secret})`,
    `answer = client.${method}.create(`, ...given, ")",
    `print(${said})`,
  ].join("\n");
}

/** JSON as Python writes it; JSON's texts are Python's, too. */
function literal(value, depth) {
  const indent = "    ".repeat(depth + 1), end = "    ".repeat(depth);
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) {
    return value.length ? `[\n${value.map((one) => `${indent}${literal(one, depth + 1)},\n`).join("")}${end}]` : "[]";
  }
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${literal(one, depth)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}
