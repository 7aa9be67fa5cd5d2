/* Talking to the server: streams of events, and what goes wrong in words. */

const KEY = "modelwright/key";
const GONE = ["The server does not answer.", "Is it still running? This page tries again by itself."];

export class ServerError extends Error {
  /** `what` is wrong, and what `todo`; `code` and `status` as the server gave them. */
  constructor(what, todo = "", { code = "", status = 0 } = {}) {
    super(what);
    Object.assign(this, { what, todo, code, status });
  }

  get isGone() { return this.status === 0 && this.code === "gone"; }
}

/** The key for this tab; empty if none was given. */
export const key = {
  get: () => {
    try { return sessionStorage.getItem(KEY) ?? ""; } catch { return ""; }
  },
  set: (value) => {
    try {
      if (value) sessionStorage.setItem(KEY, value); else sessionStorage.removeItem(KEY);
    } catch { /* It is asked for again. */ }
  },
};

/** Ask for JSON, or send some; null if there is nothing to read. */
export async function ask(path, { method = "GET", body } = {}) {
  const response = await request(path, { method, body: body && JSON.stringify(body) });
  return response.status === 204 ? null : response.json();
}

/** Send a request for a stream; yields its events. `onStart` is told the id of the request. */
export async function* events(path, body, signal, onStart) {
  const response = await request(path, { method: "POST", body: JSON.stringify(body), signal });
  onStart(response.headers.get("X-Request-Id") ?? "");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await read(reader);
    if (done) throw new ServerError("The server broke off before the answer was complete.", "Try again.");
    const parts = (held + value).split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      if (!part.startsWith("data: ")) continue;  // a comment, to keep the connection open
      const data = part.slice("data: ".length);
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw inWords(event.error, 0);
      yield event;
    }
  }
}

async function request(path, init) {
  const headers = {};
  if (init.body) headers["Content-Type"] = "application/json";
  if (key.get()) headers.Authorization = `Bearer ${key.get()}`;
  let response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(...GONE, { code: "gone" });
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => null);
  throw inWords(answer?.error ?? { message: "" }, response.status, response.headers.get("Retry-After"));
}

async function read(reader) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The connection to the server was lost.", GONE[1], { code: "gone" });
  }
}

/** The server's error, with what to do about it; its own message ends with that, behind "; ". */
function inWords({ message, code }, status, wait) {
  const about = { code: code ?? "", status };
  const what = sentence(message || `the server answered with status ${status}`);
  if (status === 401) return new ServerError("This server asks for a key.", "Give one, and try again.", about);
  if (code === "context_length_exceeded") {
    const todo = "Shorten your message or the system prompt, or begin a new chat.";
    return new ServerError(sentence(message.split("; ")[0]), todo, about);
  }
  if (code === "insufficient_scope") return new ServerError(what, "Use another key.", about);
  if (code === "model_not_found") return new ServerError(what, "Choose another model above.", about);
  if (status === 429 || status === 503) {
    return new ServerError(what, wait ? `Try again in ${wait} s.` : "Try again in a moment.", about);
  }
  return new ServerError(what, "", about);
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
