/** A text as tokens: which of them are trained, and the id of each on hover, focus and arrow keys. */

import { el } from "./dom.js";

/**
 * What a token is; see xtune/data/shown.py.
 * @typedef {{id: number, text: string, trained: boolean, weight: number}} Token
 */

const STEPS = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10, Home: -Infinity, End: Infinity };

/**
 * Returns a document's tokens: one stop of the Tab key, in which arrow keys go from token to token.
 * Trained ones are underlined too, and stand between words that a screen reader says.
 * @param {import("./main.js").App} app
 * @param {Token[]} tokens
 * @param {string} label of the whole, for those who hear it
 * @param {Set<number>} [special] ids of tokens that are no text of anybody's
 * @returns {HTMLElement}
 */
export function tokenText(app, tokens, label, special = new Set()) {
  const about = el("p", { class: "token-about", role: "status" }, app.t("tokens.how"));
  const spans = [];
  const runs = [];
  for (const [at, token] of tokens.entries()) {
    const style = token.trained ? `trained ×${token.weight}` : "";
    if (runs.at(-1)?.style !== style) runs.push({ style, token, spans: [] });
    const span = el("span", { class: special.has(token.id) ? "token special" : "token", tabindex: at ? -1 : 0 }, shown(token));
    spans.push(span);
    runs.at(-1).spans.push(span);
  }
  const text = el("div", { class: "tokens", role: "group", "aria-label": label }, runs.map((run) => runOf(app, run)));

  const tell = (span) => {
    const at = spans.indexOf(span);
    if (at < 0) return;
    const { id, text: own, trained, weight } = tokens[at];
    const values = { n: at + 1, of: tokens.length, id, text: JSON.stringify(own), weight };
    const key = trained ? (weight === 1 ? "tokens.trained" : "tokens.weighed") : "tokens.read";
    about.textContent = app.t(own ? key : "tokens.part", values);
  };
  text.addEventListener("mouseover", (event) => tell(event.target));
  text.addEventListener("focusin", (event) => tell(event.target));
  text.addEventListener("keydown", (event) => {
    const at = spans.indexOf(event.target);
    if (at < 0 || !(event.key in STEPS) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const to = spans[Math.max(0, Math.min(spans.length - 1, at + STEPS[event.key]))];
    event.target.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  });
  return el("div", { class: "token-text" }, text, about);
}

/**
 * Returns the legend of `tokenText`.
 * @param {import("./main.js").App} app
 * @returns {HTMLElement}
 */
export function tokenLegend(app) {
  return el(
    "p",
    { class: "legend" },
    el("span", { class: "run trained" }, el("span", { class: "token" }, app.t("tokens.legendTrained"))),
    " ",
    el("span", { class: "run" }, el("span", { class: "token" }, app.t("tokens.legendRead"))),
  );
}

function runOf(app, { style, token, spans }) {
  if (!style) return el("span", { class: "run" }, spans);
  const weight = token.weight === 1 ? null : el("b", { class: "weight" }, `×${token.weight} `);
  return el(
    "span",
    { class: "run trained" },
    el("span", { class: "unseen" }, app.t("tokens.begins")),
    weight,
    spans,
    el("span", { class: "unseen" }, app.t("tokens.ends")),
  );
}

// A part of a character has no text of its own, and an id all the same.
const shown = (token) => (token.text === "" ? "◦" : token.text.replaceAll("\n", "⏎\n"));
