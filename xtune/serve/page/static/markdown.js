/** Markdown to nodes, whole or as it grows. What is not understood stays text; HTML is text. */

import { codeBlock } from "./code.js";
import { el } from "./dom.js";
import { inline } from "./inline.js";

// None of these looks at a character more than a few times, whatever a model writes.
const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})([ \t].*)?$/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])([ \t]+|$)/;
const DASHES = /^ *\|? *:?-+:? *(\| *:?-+:? *)*\|? *$/;
const DEEPEST = 8; // quotes and lists within each other; deeper ones are text

/**
 * Returns the nodes of a text.
 * @param {string} text of a model
 * @param {{copy: string, copied: string}} words of the button at a block of code
 * @returns {Node[]}
 */
export function markdown(text, words) {
  return blocks(text.split("\n"), words, 0).map(({ node }) => node);
}

/** A text that grows: only its last two blocks are built anew, which its last line may change. */
export class Growing {
  /**
   * @param {Element} place to be filled
   * @param {{copy: string, copied: string}} words as for `markdown`
   */
  constructor(place, words) {
    this.place = place;
    this.words = words;
    this.text = "";
    this.settled = 0; // characters that no further text can change
    this.last = []; // nodes behind them
  }

  /**
   * Shows a text.
   * @param {string} text what was shown before, and more
   */
  show(text) {
    if (!text.startsWith(this.text)) {
      this.place.replaceChildren();
      this.settled = 0;
      this.last = [];
    }
    this.text = text;
    const lines = text.slice(this.settled).split("\n");
    const found = blocks(lines, this.words, 0);
    for (const node of this.last) node.remove();
    this.place.append(...found.map(({ node }) => node));
    const unsettled = found.slice(-2);
    this.last = unsettled.map(({ node }) => node);
    for (const line of lines.slice(0, unsettled[0]?.line ?? 0)) this.settled += line.length + 1;
  }
}

/** The blocks of some lines, each with the number of the line that it begins at. */
function blocks(lines, words, depth) {
  const found = [];
  let at = 0;
  while (at < lines.length) {
    const line = at;
    if (!lines[at].trim()) {
      at += 1;
      continue;
    }
    const [node, next] = block(lines, at, words, depth);
    found.push({ line, node });
    at = next;
  }
  return found;
}

/** The block that begins at a line, and the line behind it. */
function block(lines, at, words, depth) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence) return fenced(lines, at, fence, words);
  const heading = HEADING.exec(line);
  if (heading) {
    // the page's own headings are h1 and h2
    return [el(`h${Math.min(heading[1].length + 2, 6)}`, {}, inline(titleOf(heading[2] ?? ""))), at + 1];
  }
  if (RULE.test(line)) return [el("hr"), at + 1];
  if (depth < DEEPEST && QUOTE.test(line)) {
    let end = at;
    while (end < lines.length && QUOTE.test(lines[end])) end += 1;
    const inside = lines.slice(at, end).map((each) => each.replace(QUOTE, ""));
    return [el("blockquote", {}, nodesOf(inside, words, depth)), end];
  }
  if (depth < DEEPEST && ITEM.test(line)) return list(lines, at, words, depth);
  if (isTable(lines, at)) return table(lines, at);
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !begins(lines, end, depth)) end += 1;
  const text = lines.slice(at, end).map((each) => each.trimStart());
  return [el("p", {}, inline(text.join("\n").trimEnd())), end];
}

/** The text of a heading, without the marks that may close it. */
function titleOf(text) {
  const title = text.trim();
  let end = title.length;
  while (title[end - 1] === "#") end -= 1;
  return end === 0 || title[end - 1].trim() === "" ? title.slice(0, end).trimEnd() : title;
}

const nodesOf = (lines, words, depth) => blocks(lines, words, depth + 1).map(({ node }) => node);

/** Whether a line ends the paragraph before it. */
function begins(lines, at, depth) {
  const line = lines[at];
  if (FENCE.test(line) || HEADING.test(line) || RULE.test(line) || isTable(lines, at)) return true;
  return depth < DEEPEST && (QUOTE.test(line) || /^ *([-*+]|1[.)])[ \t]/.test(line));
}

function fenced(lines, at, [, mark, about], words) {
  const indent = lines[at].search(/[`~]/);
  const inside = [];
  let end = at + 1;
  for (; end < lines.length; end += 1) {
    const closing = FENCE.exec(lines[end]);
    if (closing && closing[1].startsWith(mark) && !closing[2].trim()) break;
    inside.push(lines[end].replace(new RegExp(`^ {0,${indent}}`), ""));
  }
  return [codeBlock(inside.join("\n"), about.trim().split(/\s/)[0], words), end + 1];
}

function list(lines, at, words, depth) {
  const [, margin, first] = ITEM.exec(lines[at]);
  const isNumbered = /\d/.test(first);
  const items = [];
  let isLoose = false;
  let inside = null;
  let indent = 0;
  let end = at;
  for (; end < lines.length; end += 1) {
    const line = lines[end];
    const item = RULE.test(line) ? null : ITEM.exec(line);
    const here = line.search(/\S|$/);
    if (item && here < margin.length + 2 && here >= margin.length - 1) {
      if (/\d/.test(item[2]) !== isNumbered) break;
      if (inside?.length && !inside.at(-1).trim()) isLoose = true;
      const blanks = item[3].length > 4 ? 1 : item[3].length;
      indent = item[1].length + item[2].length + Math.max(blanks, 1);
      inside = [line.slice(indent)];
      items.push(inside);
    } else if (!line.trim()) {
      inside.push("");
    } else if (here >= indent || here >= margin.length + 2) {
      inside.push(line.slice(Math.min(here, indent)));
    } else if (inside.at(-1).trim() && !item && !begins(lines, end, depth)) {
      inside.push(line); // goes on without an indent
    } else {
      break;
    }
  }
  const made = items.map((each) => {
    while (each.length && !each.at(-1).trim()) each.pop();
    const nodes = nodesOf(each, words, depth);
    const isText = !isLoose && nodes[0]?.tagName === "P";
    return el("li", {}, isText ? [...nodes[0].childNodes, ...nodes.slice(1)] : nodes);
  });
  const start = isNumbered && parseInt(first, 10) !== 1 ? parseInt(first, 10) : null;
  return [isNumbered ? el("ol", { start }, made) : el("ul", {}, made), end];
}

function isTable(lines, at) {
  const next = lines[at + 1];
  if (next === undefined || !lines[at].includes("|") || !next.includes("-")) return false;
  return DASHES.test(next) && cells(lines[at]).length === cells(next).length;
}

function table(lines, at) {
  const sides = cells(lines[at + 1]).map((dashes) => {
    if (!dashes.endsWith(":")) return null;
    return dashes.startsWith(":") ? "middle" : "right";
  });
  const row = (line, tag) => {
    const given = cells(line);
    return el("tr", {}, sides.map((side, column) => el(tag, { class: side }, inline(given[column] ?? ""))));
  };
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|") && lines[end].trim()) end += 1;
  const body = lines.slice(at + 2, end).map((line) => row(line, "td"));
  const whole = el("table", {}, el("thead", {}, row(lines[at], "th")), el("tbody", {}, body));
  return [el("div", { class: "table" }, whole), end];
}

/** The cells of a row; a bar behind a backslash or within code parts none. */
function cells(line) {
  const text = line.trim().replace(/^\|/, "").replace(/([^\\]|^)\|$/, "$1");
  const found = [""];
  let isCode = false;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === "\\" && text[at + 1] === "|") {
      found.push(found.pop() + "|");
      at += 1;
    } else if (text[at] === "|" && !isCode) {
      found.push("");
    } else {
      if (text[at] === "`") isCode = !isCode && text.indexOf("`", at + 1) > 0;
      found.push(found.pop() + text[at]);
    }
  }
  return found.map((each) => each.trim());
}
