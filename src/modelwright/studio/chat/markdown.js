/*
 * Markdown to nodes, for what models say: headings, lists, tables, quotes, code, emphasis, links.
 *
 * Safe by construction: nodes are made by name from a fixed set, texts become text nodes, the only
 * address that is taken over is that of a link, and only if it is http, https or mailto. HTML in the
 * text is text, and images are links, as a page that loads them would tell others of it.
 *
 * All of it is linear in the length of the text: what is searched for in vain is not searched again.
 */

import { button, element } from "./dom.js";

const DEEPEST = 10;
const LONGEST_LABEL = 1000, LONGEST_ADDRESS = 2000;

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+/;
const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const MARKER = /^( {0,3})([-*+]|\d{1,9}[.)])(?: {1,4}(?=\S)| +|$)/;
const BELOW_HEAD = /^:?-+:?$/;

/**
 * Put a text into a node, block by block; blocks that are there already, as in a text that grows,
 * stay as they are.
 */
export function renderInto(node, text) {
  const blocks = split(text.split("\n"));
  const known = node.blocks ?? [];
  let same = 0;
  while (same < known.length && same < blocks.length && known[same] === keyOf(blocks[same])) same += 1;
  while (node.childNodes.length > same) node.lastChild.remove();
  node.append(...blocks.slice(same).map((block) => nodeOf(block, 0)));
  node.blocks = blocks.map(keyOf);
}

/** Nodes for a text. */
export function rendered(text) {
  return split(text.split("\n")).map((block) => nodeOf(block, 0));
}

const keyOf = (block) => `${block.kind}\n${block.lines.join("\n")}`;

/* ---------- blocks ---------- */

/** Lines to blocks, `{ kind, lines }`. */
function split(lines) {
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) { at += 1; continue; }
    const [kind, end] = blockAt(lines, at);
    blocks.push({ kind, lines: lines.slice(at, end) });
    at = end;
  }
  return blocks;
}

function blockAt(lines, at) {
  const line = lines[at];
  if (isFence(line)) return ["code", endOfCode(lines, at)];
  if (HEADING.test(line)) return ["heading", at + 1];
  if (RULE.test(line)) return ["rule", at + 1];
  if (QUOTE.test(line)) return ["quote", endWhile(lines, at, (one) => QUOTE.test(one))];
  if (MARKER.test(line)) return ["list", endOfList(lines, at)];
  if (isTable(lines, at)) return ["table", endWhile(lines, at, (one) => one.includes("|"))];
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !begins(lines, end)) end += 1;
  return ["paragraph", end];
}

/**
 * Whether a paragraph ends before a line, as something else begins there. Numbers do so only from 1
 * on, as a line of a text may happen to begin with "1984."
 */
function begins(lines, at) {
  const line = lines[at];
  const marker = MARKER.exec(line);
  const isList = marker && line.length > marker[0].length && (!isNumbered(marker) || parseInt(marker[2], 10) === 1);
  return isFence(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line)
    || isList || isTable(lines, at);
}

function endWhile(lines, at, fits) {
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && fits(lines[end])) end += 1;
  return end;
}

/** Behind backticks that begin a block there are none: those are code within a line. */
function isFence(line) {
  const found = FENCE.exec(line);
  return Boolean(found) && (found[1][0] === "~" || !line.slice(found[0].length).includes("`"));
}

function endOfCode(lines, at) {
  const fence = FENCE.exec(lines[at])[1];
  for (let end = at + 1; end < lines.length; end += 1) {
    const closing = lines[end].trim();
    if (closing.length >= fence.length && closing === fence[0].repeat(closing.length)) return end + 1;
  }
  return lines.length;  // it is still being written
}

const isTable = (lines, at) => lines[at].includes("|") && at + 1 < lines.length
  && lines[at + 1].includes("-") && cells(lines[at + 1]).every((cell) => BELOW_HEAD.test(cell))
  && cells(lines[at]).length === cells(lines[at + 1]).length;

const indentOf = (line) => line.length - line.trimStart().length;

const isNumbered = (marker) => /\d/.test(marker[2]);

function endOfList(lines, at) {
  const numbered = isNumbered(MARKER.exec(lines[at]));
  let end = at;
  while (end < lines.length) {
    const marker = MARKER.exec(lines[end]);
    if (!marker || isNumbered(marker) !== numbered || RULE.test(lines[end])) break;
    end = endOfItem(lines, end, marker);
    let next = end;
    while (next < lines.length && !lines[next].trim()) next += 1;
    const following = next < lines.length && MARKER.exec(lines[next]);
    if (!following || isNumbered(following) !== numbered || RULE.test(lines[next])) return end;
    end = next;
  }
  return end;
}

/** The first line that does not belong to the item. */
function endOfItem(lines, at, marker) {
  const inside = marker[1].length + 2;
  let end = at + 1;
  while (end < lines.length) {
    let next = end;
    while (next < lines.length && !lines[next].trim()) next += 1;
    if (next === lines.length) return end;
    const isIn = indentOf(lines[next]) >= inside;
    if (!isIn && (next > end || MARKER.test(lines[next]) || begins(lines, next))) return end;
    end = next + 1;
  }
  return end;
}

function nodeOf({ kind, lines }, depth) {
  switch (kind) {
    case "code": return codeBlock(lines);
    case "heading": return heading(lines[0]);
    case "rule": return element("hr");
    case "quote": return quote(lines, depth);
    case "list": return listOf(lines, depth);
    case "table": return table(lines);
    default: return element("p", "", ...inline(lines.join("\n").trim()));
  }
}

/** Blocks inside of a block; too deep inside they are a paragraph. */
function inner(lines, depth) {
  if (depth >= DEEPEST) return [element("p", "", ...inline(lines.join("\n").trim()))];
  return split(lines).map((block) => nodeOf(block, depth + 1));
}

function heading(line) {
  const [begin, marks] = HEADING.exec(line);
  let text = line.slice(begin.length).trimEnd();
  let end = text.length;
  while (text[end - 1] === "#") end -= 1;
  if (end === 0 || /\s/.test(text[end - 1])) text = text.slice(0, end).trimEnd();  // closed as it began
  // Below the page's own headings.
  return element(`h${Math.min(marks.length + 2, 6)}`, "", ...inline(text));
}

function quote(lines, depth) {
  return element("blockquote", "", ...inner(lines.map((line) => line.replace(QUOTE, "")), depth));
}

function codeBlock(lines) {
  const [begin, fence] = FENCE.exec(lines[0]);
  const language = lines[0].slice(begin.length).trim().split(/\s/, 1)[0].slice(0, 40);
  const last = lines.at(-1).trim();
  const isClosed = lines.length > 1 && last.length >= fence.length && last === fence[0].repeat(last.length);
  const text = lines.slice(1, isClosed ? -1 : undefined).join("\n");
  const copying = button("Copy", "copy-code", () => {});  // pressed: see view.js
  const block = element("pre", "", element("code", "", text));
  block.tabIndex = 0;  // it scrolls
  return element("figure", "code", element("figcaption", "", element("span", "", language || "text"), copying), block);
}

function listOf(lines, depth) {
  const first = MARKER.exec(lines[0]);
  const list = element(isNumbered(first) ? "ol" : "ul");
  if (isNumbered(first)) list.start = parseInt(first[2], 10);
  let at = 0;
  while (at < lines.length) {
    const marker = MARKER.exec(lines[at]);
    if (!marker) { at += 1; continue; }  // an empty line between items
    const end = endOfItem(lines, at, marker);
    const width = marker[0].length;
    const body = lines.slice(at + 1, end)
      .map((line) => line.slice(Math.min(indentOf(line), width)));
    list.append(item([lines[at].slice(width), ...body], depth));
    at = end;
  }
  return list;
}

function item(lines, depth) {
  const nodes = inner(lines, depth);
  // A text alone, or before a list inside, needs no paragraph around it.
  if (nodes[0]?.tagName === "P" && !lines.some((line) => !line.trim())) {
    nodes.splice(0, 1, ...nodes[0].childNodes);
  }
  return element("li", "", ...nodes);
}

/** The cells of a line of a table; a bar behind a backslash is none. */
function cells(line) {
  const found = [""];
  const text = line.trim();
  for (let at = text.startsWith("|") ? 1 : 0; at < text.length; at += 1) {
    if (text[at] === "\\" && text[at + 1] === "|") { found[found.length - 1] += "|"; at += 1; }
    else if (text[at] === "|") found.push("");
    else found[found.length - 1] += text[at];
  }
  if (text.endsWith("|") && !text.endsWith("\\|") && found.length > 1) found.pop();
  return found.map((cell) => cell.trim());
}

function table(lines) {
  const sides = cells(lines[1]).map((cell) => (
    cell.endsWith(":") ? (cell.startsWith(":") ? "middle" : "right") : ""
  ));
  const row = (line, tag) => {
    const texts = cells(line);
    return element("tr", "", ...sides.map((side, at) => element(tag, side, ...inline(texts[at] ?? ""))));
  };
  const found = element("table", "", element("thead", "", row(lines[0], "th")),
    element("tbody", "", ...lines.slice(2).map((line) => row(line, "td"))));
  const around = element("div", "table", found);
  around.tabIndex = 0;
  return around;
}

/* ---------- within a line ---------- */

const ADDRESS = /https?:\/\/[^\s<>"'`\u0000-\u001f]{1,2000}/y;
const IN_ANGLES = /<((?:https?:\/\/|mailto:)[^\s<>]{1,2000})>/y;
const SPECIAL = /[\\`*_~[!<h]/g;
const ESCAPABLE = /[!-/:-@[-`{-~]/;
const WORD = /[\p{L}\p{N}_]/u;
const MARKS = [["***", "strong"], ["**", "strong"], ["__", "strong"], ["~~", "del"], ["*", "em"], ["_", "em"]];

/** Nodes for the text of a block. */
export function inline(text, depth = 0) {
  if (depth > DEEPEST) return [text];
  const nodes = [];
  const known = new Map();  // what is not there from here on, and where the next "](" is
  let plain = "", at = 0;
  const put = (node) => {
    if (plain) nodes.push(plain);
    plain = "";
    nodes.push(node);
  };
  while (at < text.length) {
    SPECIAL.lastIndex = at;
    const next = SPECIAL.exec(text)?.index ?? text.length;
    plain += text.slice(at, next);
    at = next;
    if (at === text.length) break;
    const found = special(text, at, depth, known);
    if (found === null) { plain += text[at]; at += 1; continue; }
    if (typeof found.node === "string") plain += found.node;
    else put(found.node);
    at = found.end;
  }
  if (plain) nodes.push(plain);
  return nodes;
}

/** What begins at a special character: `{ node, end }`, or null. */
function special(text, at, depth, known) {
  switch (text[at]) {
    case "\\": {
      const next = text[at + 1];
      return next && ESCAPABLE.test(next) ? { node: next, end: at + 2 } : null;
    }
    case "`": return codeSpan(text, at, known);
    case "!": return text[at + 1] === "[" ? link(text, at + 1, depth, known) : null;
    case "[": return link(text, at, depth, known);
    case "<": {
      IN_ANGLES.lastIndex = at;
      const found = IN_ANGLES.exec(text);
      return found && { node: anchor(found[1], [found[1]]), end: IN_ANGLES.lastIndex };
    }
    case "h": return bareAddress(text, at);
    default: return emphasis(text, at, depth, known);
  }
}

function codeSpan(text, at, known) {
  let end = at;
  while (text[end] === "`") end += 1;
  const marks = text.slice(at, end);
  if (!known.has(marks)) {
    for (let close = text.indexOf(marks, end); close !== -1;) {
      let after = close + marks.length;
      if (text[after] !== "`") {
        const said = text.slice(end, close);
        const isPadded = said.startsWith(" ") && said.endsWith(" ") && said.trim();
        const trimmed = isPadded ? said.slice(1, -1) : said;
        return { node: element("code", "", trimmed), end: after };
      }
      while (text[after] === "`") after += 1;
      close = text.indexOf(marks, after);
    }
    known.set(marks, null);
  }
  return { node: marks, end };
}

/** `[label](address "title")`, in one place only and of bounded length. */
function link(text, at, depth, known) {
  let middle = known.get("](") ?? 0;
  if (middle <= at) middle = text.indexOf("](", at + 1);
  if (middle === -1) middle = Infinity;
  known.set("](", middle);
  if (middle - at > LONGEST_LABEL) return null;
  const label = text.slice(at + 1, middle);
  if (label.includes("[") && !label.includes("]")) return null;  // another begins inside
  let end = middle + 2, open = 1;
  const last = Math.min(text.length, end + LONGEST_ADDRESS);
  for (; end < last; end += 1) {
    if (text[end] === "\n") return null;
    if (text[end] === "(") open += 1;
    else if (text[end] === ")") { open -= 1; if (!open) break; }
  }
  if (open) return null;
  const address = text.slice(middle + 2, end).trim().replace(/\s+(["']).*\1$/s, "");
  const nodes = inline(label, depth + 1);
  return { node: anchor(address, nodes) ?? element("span", "", ...nodes, ` (${address})`), end: end + 1 };
}

/** A link, or null if the address is of no kind that a page may lead to. */
export function anchor(address, nodes) {
  let url;
  try {
    url = new URL(address.replace(/^<(.*)>$/s, "$1"));
  } catch {
    return null;
  }
  if (!["http:", "https:", "mailto:"].includes(url.protocol)) return null;
  const node = element("a", "", ...(nodes.length ? nodes : [address]));
  node.href = url.href;
  node.rel = "noopener noreferrer nofollow";
  node.target = "_blank";
  // A link inside of a link is none.
  for (const inside of node.querySelectorAll("a")) inside.replaceWith(...inside.childNodes);
  return node;
}

function bareAddress(text, at) {
  ADDRESS.lastIndex = at;
  const found = ADDRESS.exec(text);
  if (!found || (at && WORD.test(text[at - 1]))) return null;
  let address = found[0].replace(/[.,:;!?*_~]+$/, "");
  if (address.endsWith(")") && !address.includes("(")) address = address.slice(0, -1);
  const node = anchor(address, [address]);
  return node && { node, end: at + address.length };
}

function emphasis(text, at, depth, known) {
  const mark = MARKS.find(([marks]) => text.startsWith(marks, at));
  if (!mark) return null;
  const [marks, tag] = mark;
  const from = at + marks.length;
  const opens = from < text.length && !/\s/.test(text[from]) && text[from] !== marks[0]
    && !(marks[0] === "_" && at && WORD.test(text[at - 1]));
  if (opens && !known.has(marks)) {
    const end = closing(text, from, marks);
    if (end !== -1) {
      const nodes = inline(text.slice(from, end), depth + 1);
      const inside = marks === "***" ? [element("em", "", ...nodes)] : nodes;
      return { node: element(tag, "", ...inside), end: end + marks.length };
    }
    known.set(marks, null);
  }
  // All of a run, so that half of it is not taken for another mark.
  let end = at;
  while (text[end] === marks[0]) end += 1;
  return { node: text.slice(at, end), end };
}

/** Where emphasis that began before `from` ends; -1 if nowhere. */
function closing(text, from, marks) {
  for (let at = text.indexOf(marks, from + 1); at !== -1; at = text.indexOf(marks, at + 1)) {
    let run = at;
    while (text[run] === marks[0]) run += 1;
    const after = text[at + marks.length];
    const closes = !/\s/.test(text[at - 1]) && text[at - 1] !== "\\"
      && !(marks[0] === "_" && after && WORD.test(after) && run === at + marks.length);
    // `*` does not end at one half of `**`; `**` may end within `***`.
    if (closes && (run - at === marks.length || run - at === 3)) return run - at === 3 ? run - marks.length : at;
    at = run - 1;
  }
  return -1;
}
