/** One paragraph's Markdown to nodes: emphasis, code, links. One pass, whatever the text. */

import { el, isSafe } from "./dom.js";

const ESCAPED = /[!-/:-@[-`{-~]/;
const ABSOLUTE = /^(?:https?:\/\/|mailto:)/i;
const WORD = /[\p{L}\p{N}]/u;
const ADDRESS = /https?:\/\/[^\s<>"'`\u3000-\u303f\uff00-\uffef]+/y;
const ANGLED = /<((?:https?:\/\/|mailto:)[^\s<>]+)>/y;
const TARGET = /\(\s*<?([^\s()<>]*(?:\([^\s()<>]*\)[^\s()<>]*)*)>?(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)/y;
const FURTHEST = 50; // marks that are looked back at for the one that opens

/**
 * Returns the nodes of a paragraph.
 * @param {string} text
 * @returns {Node[]}
 */
export function inline(text) {
  const parts = []; // nodes, and marks that may become emphasis or a link
  const brackets = []; // where in `parts` a [ stands
  const noCode = new Set(); // lengths of runs of ` that nothing closes
  let plain = "";
  let at = 0;

  const flush = () => {
    if (plain) parts.push(document.createTextNode(plain));
    plain = "";
  };
  const match = (pattern) => {
    pattern.lastIndex = at;
    return pattern.exec(text);
  };

  while (at < text.length) {
    const char = text[at];
    if (char === "\\" && ESCAPED.test(text[at + 1] ?? "") && !"()[]".includes(text[at + 1])) {
      plain += text[at + 1]; // \( and \[ stay: they open a formula
      at += 2;
    } else if (char === "\n") {
      plain = plain.trimEnd();
      flush();
      parts.push(el("br"));
      at += 1;
    } else if (char === "`") {
      const run = runAt(text, at);
      const end = noCode.has(run) ? -1 : closing(text, at + run, run);
      if (end < 0) {
        noCode.add(run);
        plain += "`".repeat(run);
        at += run;
      } else {
        flush();
        const code = text.slice(at + run, end).replace(/\n/g, " ");
        const isPadded = code.startsWith(" ") && code.endsWith(" ") && code.trim() !== "";
        parts.push(el("code", {}, isPadded ? code.slice(1, -1) : code));
        at = end + run;
      }
    } else if (char === "*" || char === "_" || char === "~") {
      const count = runAt(text, at);
      if (char === "~" && count !== 2) {
        plain += text.slice(at, at + count);
      } else {
        flush();
        parts.push(mark(text, at, count));
      }
      at += count;
    } else if (char === "[" || (char === "!" && text[at + 1] === "[")) {
      flush();
      brackets.push(parts.length);
      const opening = char === "!" ? "![" : "[";
      parts.push(document.createTextNode(opening));
      at += opening.length;
    } else if (char === "]" && brackets.length) {
      flush();
      at += 1;
      const from = brackets.pop();
      const target = text[at] === "(" ? match(TARGET) : null;
      if (target && ABSOLUTE.test(target[1]) && isSafe(target[1])) {
        // an image is a link too: the page fetches nothing from elsewhere
        const said = woven(parts.splice(from).slice(1));
        parts.push(link(target[1], said.length ? said : [target[1]]));
        brackets.length = 0; // no link within a link
        at += target[0].length;
      } else {
        plain += "]";
      }
    } else if (char === "<" && match(ANGLED)) {
      const [whole, address] = match(ANGLED);
      flush();
      parts.push(link(address, [address]));
      at += whole.length;
    } else if (char === "h" && !/\w/.test(text[at - 1] ?? "") && match(ADDRESS)) {
      const address = trimmed(match(ADDRESS)[0]);
      flush();
      parts.push(link(address, [address]));
      at += address.length;
    } else {
      plain += char;
      at += 1;
    }
  }
  flush();
  return woven(parts);
}

function link(address, said) {
  const inside = said.map((node) => (node instanceof Element && node.tagName === "A" ? node.textContent : node));
  return el("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, inside);
}

/** An address without what belongs to the sentence around it. */
function trimmed(address) {
  let end = address.length;
  let unopened = address.split(")").length - address.split("(").length;
  for (; end > 0; end -= 1) {
    const last = address[end - 1];
    if (last === ")" && unopened > 0) unopened -= 1;
    else if (!".,;:!?*_~'\"]".includes(last)) break;
  }
  return address.slice(0, end);
}

function runAt(text, at) {
  let end = at;
  while (text[end] === text[at]) end += 1;
  return end - at;
}

function closing(text, from, run) {
  for (let at = text.indexOf("`", from); at >= 0; at = text.indexOf("`", at)) {
    const found = runAt(text, at);
    if (found === run) return at;
    at += found;
  }
  return -1;
}

/** A run of * or _ or ~~, and whether it may open or close. Chinese has no blanks around words. */
function mark(text, at, count) {
  const char = text[at];
  const before = text[at - 1] ?? " ";
  const after = text[at + count] ?? " ";
  return {
    char,
    left: count,
    opens: after.trim() !== "" && !(char === "_" && WORD.test(before)),
    closes: before.trim() !== "" && !(char === "_" && WORD.test(after)),
  };
}

/** Nodes of parts: marks that fit together become elements, the others text. */
function woven(parts) {
  const out = [];
  const open = []; // marks that wait for their other end, with the place of their text in `out`
  for (const part of parts) {
    if (part instanceof Node) {
      out.push(part);
      continue;
    }
    if (part.closes) close(part, out, open);
    if (!part.left) continue;
    out.push(document.createTextNode(part.char.repeat(part.left)));
    if (part.opens) open.push({ part, at: out.length - 1 });
  }
  return out.filter((node) => node.nodeType !== Node.TEXT_NODE || node.data);
}

function close(part, out, open) {
  for (let i = open.length - 1; i >= Math.max(0, open.length - FURTHEST) && part.left; i -= 1) {
    const { part: from, at } = open[i];
    if (from.char !== part.char) continue;
    while (part.left && from.left) {
      const count = Math.min(part.left, from.left, 2);
      const tag = part.char === "~" ? "del" : count === 2 ? "strong" : "em";
      const inside = out.splice(at + 1);
      out.push(el(tag, {}, inside));
      part.left -= count;
      from.left -= count;
    }
    out[at].data = from.char.repeat(from.left);
    open.length = from.left ? i + 1 : i;
  }
}
