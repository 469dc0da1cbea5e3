/** Data: the rows that a run is trained on, token by token, as they lie in its token cache. */

import { histogram } from "../chart.js";
import { el, fill } from "../dom.js";
import { addressed, failed, number, runLinks } from "../run_parts.js";
import { tokenLegend, tokenText } from "../tokens.js";

export const id = "data";

const ROWS = 5; // at once
const LONGEST = 3000; // tokens of a document that are shown without being asked for

/**
 * Builds the view: `#data/NAME`.
 * @param {HTMLElement} place to be filled
 * @param {import("../main.js").App} app
 * @returns {() => void} takes it down
 */
export function mount(place, app) {
  const { t } = app;
  const [name] = addressed();
  if (!name) {
    location.replace("#runs");
    return () => {};
  }
  const leaving = new AbortController();
  const wanted = { part: "train", source: "", order: "data", untrained: "false", offset: 0 };
  const counts = el("div", {});
  const filters = el("div", { class: "filters" });
  const pager = el("div", { class: "row" });
  const rows = el("div", { class: "rows" });
  const heard = el("p", { role: "status" });
  let asked = 0;
  let listed = "";

  async function show(changes = {}) {
    Object.assign(wanted, { offset: 0 }, changes);
    const mine = (asked += 1);
    const { source, ...rest } = wanted;
    const query = new URLSearchParams({ ...rest, limit: ROWS, ...(source ? { source } : {}) });
    try {
      const answer = await app.api.get(`/xtune/runs/${encodeURIComponent(name)}/data?${query}`, { signal: leaving.signal });
      if (mine === asked) draw(answer);
    } catch (error) {
      if (!leaving.signal.aborted && mine === asked) fill(rows, failed(app, error));
    }
  }

  function draw({ about, matching, offset, rows: found, parts }) {
    const state = JSON.stringify([wanted.part, about, parts]);
    if (state !== listed) {
      listed = state;
      fill(counts, summary(about));
      fill(filters, choices(about, parts));
    }
    const last = offset + found.length;
    heard.textContent = found.length
      ? t("data.shown", { from: number(app, offset + 1), to: number(app, last), of: number(app, matching) })
      : t("data.noneShown");
    fill(pager,
      el("button", { type: "button", id: "data-back", disabled: offset === 0, onclick: () => turn(Math.max(0, offset - ROWS), "data-back") }, t("data.back")),
      el("button", { type: "button", id: "data-on", disabled: last >= matching, onclick: () => turn(last, "data-on") }, t("data.on")));
    const special = new Set(about.special_ids);
    fill(rows, found.length > 0 && tokenLegend(app), found.map((row) => rowOf(row, special)));
  }

  async function turn(offset, button) {
    await show({ offset });
    const now = document.getElementById(button);
    (now?.disabled ? pager.querySelector("button:enabled") : now)?.focus();
  }

  const summary = (about) => [
    el("p", {}, t("data.counts", {
      rows: number(app, about.rows),
      tokens: number(app, about.tokens),
      trained: number(app, about.trained_tokens),
      percent: number(app, Math.round((1000 * about.trained_tokens) / Math.max(1, about.tokens)) / 10),
    })),
    about.untrained_rows > 0 && el("p", { class: "warning" }, t("data.untrainedRows", { n: number(app, about.untrained_rows) })),
    el("h2", {}, t("data.lengths")),
    histogram(app, about.lengths),
  ];

  function choices({ sources }, parts) {
    const choose = (key, options) =>
      el("div", {},
        el("label", { for: `data-${key}` }, t(`data.${key}`)),
        el("select", { id: `data-${key}`, onchange: (event) => show({ [key]: event.target.value }) },
          options.map(([value, text]) => el("option", { value, selected: value === wanted[key] }, text))));
    const jump = el("input", { id: "data-jump", type: "number", min: 0, step: 1, value: 0 });
    const go = (event) => {
      event.preventDefault();
      const order = filters.querySelector("#data-order");
      if (order) order.value = "data";
      for (const key of ["source", "untrained"]) {
        const node = filters.querySelector(`#data-${key}`);
        if (node) node.value = key === "source" ? "" : "false";
      }
      show({ source: "", order: "data", untrained: "false", offset: Math.max(0, Math.floor(Number(jump.value)) || 0) });
    };
    return [
      parts.length > 1 && choose("part", parts.map((part) => [part, t(`data.part_${part}`)])),
      sources.length > 1 && choose("source", [["", t("data.allSources")], ...sources.map((source) => [source.name, `${source.name} (${number(app, source.rows)})`])]),
      choose("order", [["data", t("data.order_data")], ["longest", t("data.order_longest")]]),
      choose("untrained", [["false", t("data.untrained_false")], ["true", t("data.untrained_true")]]),
      el("form", { onsubmit: go }, el("label", { for: "data-jump" }, t("data.jump")), el("div", { class: "row" }, jump, el("button", {}, t("data.go")))),
    ];
  }

  function rowOf(row, special) {
    const title = t("data.row", { n: number(app, row.row) });
    const isGroup = row.documents.length > 1;
    return el("section", { "aria-label": title },
      el("h2", {}, title),
      el("p", { class: "hint" }, t("data.rowCounts", { source: row.source, tokens: number(app, row.tokens), trained: number(app, row.trained_tokens) })),
      el("div", { class: isGroup ? "answers" : null }, row.documents.map((document, at) => documentOf(document, at, row, special))));
  }

  function documentOf(document, at, row, special) {
    const said = Object.entries(document.numbers ?? {}).map(([key, value]) => `${key} ${number(app, value)}`);
    const side = row.documents.length === 2 ? t(at ? "data.rejected" : "data.chosen") : t("data.answer", { n: at + 1 });
    const heading = [row.documents.length > 1 && side, ...said].filter(Boolean).join(", ");
    const label = heading || t("data.row", { n: number(app, row.row) });
    const text = el("div", {}, tokenText(app, document.tokens.slice(0, LONGEST), label, special));
    const rest = document.tokens.length - LONGEST;
    const whole = () => fill(text, tokenText(app, document.tokens, label, special));
    return el("section", { "aria-label": label },
      heading && el("h3", {}, heading),
      text,
      rest > 0 && el("button", { type: "button", onclick: (event) => { event.target.remove(); whole(); } }, t("data.whole", { n: number(app, rest) })));
  }

  fill(place, el("h1", {}, t("data.of", { name })), runLinks(app, name, id), counts, filters, heard, pager, rows);
  show();
  return () => leaving.abort();
}
