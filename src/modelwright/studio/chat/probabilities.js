/*
 * How likely tokens were, and what else could have been said. A token is kept as
 * `[bytes, log-probability, [[bytes, log-probability], ...]]`, natural logarithms.
 */

import { $, element } from "./dom.js";

const MOST_SHOWN = 4;    // decimals of what is kept
const HOT_BITS = 6;      // where the colour is full: 1 in 64, or as undecided as between 64

/** Tokens as the API gives them, in the form that is kept. */
export function compact(content) {
  const pair = ({ bytes, logprob }) => [bytes, Number(logprob.toFixed(MOST_SHOWN))];
  return content.map((one) => [...pair(one), one.top_logprobs.map(pair)]);
}

/** The same of a completion, whose tokens that are no whole characters are written `bytes:\\xe2`. */
export function compactText({ tokens, token_logprobs, top_logprobs }) {
  const pair = (text, logprob) => {
    const bytes = /^bytes:((?:\\x[0-9a-f]{2})+)$/.exec(text)?.[1].split("\\x").slice(1).map((one) => parseInt(one, 16));
    return [bytes ?? Array.from(new TextEncoder().encode(text)), Number(logprob.toFixed(MOST_SHOWN))];
  };
  return tokens.map((text, at) => [
    ...pair(text, token_logprobs[at]),
    Object.entries(top_logprobs[at] ?? {}).map(([other, logprob]) => pair(other, logprob)),
  ]);
}

/** Without what is no part of the text: the token that ended it, or those of a stop text. */
export function within(tokens, text) {
  const length = new TextEncoder().encode(text).length;
  let sum = 0, count = 0;
  while (count < tokens.length && sum + tokens[count][0].length <= length) {
    sum += tokens[count][0].length;
    count += 1;
  }
  return tokens.slice(0, count);
}

/**
 * Tokens in groups that are whole characters: `{ text, tokens }`. A byte-level token may hold a
 * part of a character only, and is shown with those that complete it.
 */
export function groups(tokens) {
  const decoder = new TextDecoder();
  const found = [];
  let open = [];
  for (const token of tokens) {
    open.push(token);
    const text = decoder.decode(Uint8Array.from(token[0]), { stream: true });
    if (text) {
      found.push({ text, tokens: open });
      open = [];
    }
  }
  if (open.length) found.push({ text: decoder.decode(), tokens: open });
  return found;
}

/** How surprising a token was, in bits. */
export const surprise = ([, value]) => -value / Math.LN2;

/**
 * How undecided the model was, in bits: the entropy if all that is not listed were one token, which
 * is the least that it can be.
 */
export function entropy([, value, others]) {
  const listed = others.length ? others.map(([, logarithm]) => logarithm) : [value];
  const shares = listed.map(Math.exp);
  const rest = Math.max(0, 1 - shares.reduce((sum, share) => sum + share, 0));
  return [...shares, rest].filter((share) => share > 0)
    .reduce((sum, share) => sum - share * Math.log2(share), 0);
}

/** A text as its tokens, coloured; one of them takes part in the order of the tab key. */
export function tokenNodes(tokens, colour) {
  const bits = colour === "entropy" ? entropy : surprise;
  return groups(tokens).map((group, index) => {
    const node = element("span", "token", group.text);
    const heat = Math.min(1, Math.max(...group.tokens.map(bits)) / HOT_BITS);
    node.style.setProperty("--heat", `${Math.round(100 * heat)}%`);
    node.tabIndex = index ? -1 : 0;
    node.setAttribute("role", "button");
    node.setAttribute("aria-label", `${visible(group.text)}, ${group.tokens.map((one) => percent(one[1])).join(", ")}`);
    node.tokens = group.tokens;
    return node;
  });
}

/** Hover, focus and tap show what else could have been said; arrow keys go from token to token. */
export function watchTokens(area) {
  let pinned = null;
  const tokenOf = (event) => event.target.closest?.(".token");
  area.addEventListener("mouseover", (event) => {
    if (pinned) return;
    const node = tokenOf(event);
    if (node) show(node); else hide();
  });
  area.addEventListener("mouseleave", () => { if (!pinned) hide(); });
  area.addEventListener("focusin", (event) => { if (tokenOf(event)) show(tokenOf(event)); });
  area.addEventListener("focusout", () => { pinned = null; hide(); });
  area.addEventListener("click", (event) => {
    const node = tokenOf(event);
    pinned = node && pinned !== node ? node : null;
    if (node) show(node); else hide();
  });
  area.addEventListener("keydown", (event) => {
    const node = tokenOf(event);
    const step = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" }[event.key];
    const next = node && step && node[step];
    if (!next?.classList.contains("token")) return;
    event.preventDefault();
    node.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  area.addEventListener("scroll", hide, { passive: true });
}

export function hide() {
  $("tip").hidden = true;
  document.querySelector(".token[aria-describedby]")?.removeAttribute("aria-describedby");
}

function show(node) {
  hide();
  const tip = $("tip");
  tip.replaceChildren(...node.tokens.map(described));
  tip.hidden = false;
  node.setAttribute("aria-describedby", "tip");
  const [at, own] = [node.getClientRects()[0], tip.getBoundingClientRect()];
  const left = Math.max(8, Math.min(at.left, document.documentElement.clientWidth - own.width - 8));
  const below = at.bottom + 8 + own.height < innerHeight;
  tip.style.left = `${left}px`;
  tip.style.top = `${below ? at.bottom + 8 : Math.max(8, at.top - 8 - own.height)}px`;
}

function described(token) {
  const [bytes, value, others] = token;
  const said = JSON.stringify(bytes);
  const rows = others.map(([other, logarithm]) => row(other, logarithm, JSON.stringify(other) === said));
  const isListed = others.some(([other]) => JSON.stringify(other) === said);
  if (!isListed) rows.push(row(bytes, value, true));
  const rest = 1 - [...others, ...(isListed ? [] : [[bytes, value]])]
    .reduce((sum, [, logarithm]) => sum + Math.exp(logarithm), 0);
  if (rest > 0.0005) rows.push(bar("all others", "others", rest));
  const figures = `${percent(value)} · ${surprise(token).toFixed(1)} bits · undecided by at least ${entropy(token).toFixed(1)} bits`;
  return element("div", "alternatives", element("p", "", figures), ...rows);
}

function row(bytes, logarithm, isSaid) {
  return bar(visible(decoded(bytes)), isSaid ? "said" : "", Math.exp(logarithm));
}

function bar(label, kind, share) {
  const fill = element("i");
  fill.style.width = `${Math.max(1, Math.round(100 * share))}%`;
  return element("div", `row ${kind}`, element("code", "", label), element("span", "track", fill),
    element("span", "share", percent(Math.log(share))));
}

function decoded(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes));
  } catch {
    return bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
  }
}

/** A text in which white space can be seen. */
const visible = (text) => text.replace(/ /g, "␣").replace(/\n/g, "↵").replace(/\t/g, "⇥");

function percent(logarithm) {
  const share = 100 * Math.exp(logarithm);
  if (share < 0.01) return "< 0.01 %";
  return `${share.toFixed(share < 1 ? 2 : share < 99.95 ? 1 : 0)} %`;
}
