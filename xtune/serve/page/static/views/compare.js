/** Compare: one prompt, several models, and where their answers part. */

import { ask } from "../ask.js";
import { copyButton } from "../code.js";
import { el, fill } from "../dom.js";
import { odds, partingPlace, preferenceRow, standsAt } from "../parting.js";
import { columnsOrTabs } from "../tabs.js";

export const id = "compare";

const LIKELIEST = 5; // tokens whose probability is asked for
const NUMBERS = {
  temperature: { value: 0, min: 0, max: 2, step: "any" },
  seed: { value: 1, min: 0, step: 1 },
  max_tokens: { value: 256, min: 1, step: 1 },
};

/**
 * Builds the view.
 * @param {HTMLElement} place to be filled
 * @param {import("../main.js").App} app
 * @returns {() => void} takes it down
 */
export function mount(place, app) {
  const { t, keep } = app;
  let columns = []; // of the comparison that goes on
  let tabs = null;
  let stopping = null;
  let givesOdds = true;

  const kept = keep.get("compare", {});
  const choice = el("fieldset", { class: "models" });
  const system = el("textarea", { id: "compare-system", rows: 2 });
  system.value = kept.system ?? "";
  const numbers = Object.entries(NUMBERS).map(([name, limits]) =>
    el("input", { type: "number", id: `compare-${name}`, name, required: true, ...limits, value: kept[name] ?? limits.value }),
  );
  const settings = el(
    "fieldset",
    { "aria-label": t("compare.settings") },
    el("label", { for: "compare-system" }, t("compare.system")),
    system,
    el("div", { class: "row" }, numbers.map((input) => el("label", {}, t(`compare.${input.name}`), input))),
  );
  const prompt = el("textarea", { id: "compare-prompt", rows: 3, required: true });
  const send = el("button", { type: "submit", class: "main" }, t("compare.send"));
  const stop = el("button", { type: "button", hidden: true, onclick: () => stopping.abort() }, t("compare.stop"));
  const again = el("button", { type: "button", hidden: true, onclick: startAnew }, t("compare.new"));
  const made = el("div", { class: "made" });
  const pair = el("div", { class: "pair" });
  const form = el(
    "form",
    { class: "compare-form", onsubmit: (event) => (event.preventDefault(), answerAll()) },
    choice,
    el("details", { class: "settings" }, el("summary", {}, t("compare.settings")), settings),
    made,
    pair,
    el("label", { for: "compare-prompt" }, t("compare.prompt")),
    prompt,
    el("div", { class: "row" }, send, stop, again),
  );
  prompt.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!send.disabled) form.requestSubmit();
  });

  const boxes = () => [...choice.querySelectorAll("input")];
  function listModels() {
    const before = boxes();
    const chosen = before.length ? before.filter((box) => box.checked).map((box) => box.value) : kept.models ?? [];
    const models = app.models();
    const isKnown = models.some((model) => chosen.includes(model));
    fill(
      choice,
      el("legend", {}, t("compare.models")),
      models.map((model, at) => {
        const checked = isKnown ? chosen.includes(model) : at < 3;
        return el("label", {}, el("input", { type: "checkbox", value: model, checked }), model);
      }),
    );
    allowSending();
  }
  const allowSending = () => (send.disabled = Boolean(stopping) || !boxes().some((box) => box.checked));

  function begin() {
    const models = boxes().filter((box) => box.checked).map((box) => box.value);
    const values = Object.fromEntries(numbers.map((input) => [input.name, input.valueAsNumber]));
    keep.set("compare", { ...values, system: system.value, models });
    const first = system.value.trim() ? [{ role: "system", content: system.value }] : [];
    columns = models.map((model) => {
      const turns = el("div", { class: "turns" });
      return { model, values, messages: [...first], turns, node: el("section", {}, el("h2", {}, model), turns) };
    });
    tabs = columnsOrTabs(columns.map(({ model, node }) => ({ name: model, node })), t("compare.models"));
    fill(made, tabs.node);
  }

  async function answerAll() {
    const text = prompt.value;
    if (stopping || !text.trim()) return;
    if (!columns.length) begin();
    stopping = new AbortController();
    busy(true);
    prompt.value = "";
    fill(pair);
    const { signal } = stopping;
    const mine = columns;
    await Promise.all(columns.map((column) => answer(column, text, signal)));
    if (mine !== columns) return; // another view, or another comparison
    stopping = null;
    busy(false);
    const failed = columns.some(({ written }) => written.why);
    for (const column of columns) compare(column);
    // a turn that one of them has not answered is asked again
    if (failed) {
      for (const column of columns) column.messages = column.messages.slice(0, column.turn);
      prompt.value = text;
    } else {
      offerPair();
    }
    app.say(failed ? t("compare.someFailed") : t("compare.done"));
    if (document.activeElement === document.body) prompt.focus();
  }

  async function answer(column, text, signal) {
    column.turn = column.messages.length;
    column.messages.push({ role: "user", content: text });
    const tokens = [];
    const shown = el("div", { class: "text" });
    const about = el("div", { class: "about" }, el("p", { class: "hint" }, t("compare.writing")));
    column.turns.append(el("p", { class: "asked" }, text), shown, about);
    const body = { model: column.model, messages: column.messages, ...column.values };
    const around = {
      signal,
      onPart: ({ content }) => (shown.textContent = content),
      onChoice: ({ logprobs }) => tokens.push(...(logprobs?.content ?? [])),
    };
    const withOdds = givesOdds && { logprobs: true, top_logprobs: LIKELIEST };
    let answered = await ask(app, { ...body, ...withOdds }, around);
    if (answered.code === "unsupported_parameter" && withOdds) {
      givesOdds = false; // an engine that tells no probabilities
      answered = await ask(app, body, around);
    }
    const { content, thinking, end } = answered;
    // stopped, it is as long as the reader wanted it; without a word it is no answer
    const why = end === "failed" ? answered.why || t("compare.gone") : content.trim() ? "" : t("compare.nothing");
    column.written = { text: content, tokens, why, end, shown, about };
    const thought = thinking ? { reasoning_content: thinking } : {};
    if (!why) column.messages.push({ role: "assistant", content, ...thought });
    fill(about, why && el("p", { class: "failure" }, why));
  }

  /** Marks where an answer parts from the first one, and says how likely either way was. */
  function compare({ model, written }) {
    const { written: first, model: base } = columns[0];
    if (written.why || first.why || columns.length < 2) return;
    const cut = written.end === "length" && el("p", { class: "hint" }, t("compare.cut"));
    const place = partingPlace(written.text, first.text);
    if (written === first) {
      const places = columns.map((column) => partingPlace(first.text, column.written.text)).filter((at) => at >= 0);
      if (places.length) mark(first, standsAt(first, Math.min(...places)));
      fill(written.about, cut);
      return;
    }
    if (place < 0) {
      fill(written.about, cut, el("p", {}, t("compare.same", { base })));
      return;
    }
    const here = standsAt(written, place);
    const there = standsAt(first, place);
    mark(written, here);
    fill(
      written.about,
      cut,
      el("p", {}, t("compare.parts", { base, n: place + 1 })),
      here.token && there.token && oddsTable(odds(here.token, there.token), model, base),
    );
  }

  function mark({ text, shown }, { from, to }) {
    const label = el("span", { class: "unseen" }, t("compare.marked"));
    fill(shown, text.slice(0, from), el("mark", {}, label, text.slice(from, to) || t("compare.ends")), text.slice(to));
  }

  function oddsTable(rows, model, base) {
    const percent = new Intl.NumberFormat(app.language, { style: "percent", maximumFractionDigits: 1 });
    const shown = (value) => (value < 0.001 ? `< ${percent.format(0.001)}` : percent.format(value));
    const cell = (value) => el("td", {}, value === null ? "–" : shown(value));
    return el(
      "table",
      {},
      el("caption", {}, t("compare.odds")),
      el("thead", {}, el("tr", {}, [t("compare.token"), model, base].map((name) => el("th", { scope: "col" }, name)))),
      el(
        "tbody",
        {},
        rows.map(({ token, here, there }) =>
          el("tr", {}, el("th", { scope: "row" }, el("code", {}, JSON.stringify(token).slice(1, -1))), cell(here), cell(there)),
        ),
      ),
    );
  }

  function offerPair() {
    if (columns.length < 2) return;
    const select = (name, at) =>
      el("select", { id: `pair-${name}` }, columns.map(({ model }, n) => el("option", { value: n, selected: n === at }, model)));
    const [better, worse] = [select("chosen", 1), select("rejected", 0)];
    const row = () => preferenceRow(columns[better.value].messages, columns[worse.value].messages);
    const copied = copyButton(() => JSON.stringify(row()), { copy: t("compare.copyPair"), copied: t("compare.copied") });
    const hint = el("p", { class: "hint", role: "status" });
    const check = () => {
      copied.disabled = !row();
      hint.textContent = t(copied.disabled ? "compare.noPair" : "compare.pairHint");
    };
    better.addEventListener("change", check);
    worse.addEventListener("change", check);
    check();
    fill(
      pair,
      el(
        "fieldset",
        {},
        el("legend", {}, t("compare.pair")),
        el(
          "div",
          { class: "row" },
          el("label", { for: "pair-chosen" }, t("compare.chosen")),
          better,
          el("label", { for: "pair-rejected" }, t("compare.rejected")),
          worse,
          copied,
        ),
        hint,
      ),
    );
  }

  function busy(is) {
    stop.hidden = !is;
    choice.disabled = settings.disabled = columns.length > 0;
    again.hidden = is || !columns.length;
    allowSending();
  }

  function startAnew() {
    leave();
    fill(made);
    fill(pair);
    busy(false);
    prompt.focus();
  }

  function leave() {
    stopping?.abort();
    stopping = null;
    tabs?.takeDown();
    columns = [];
  }

  const endModels = app.onModels(listModels);
  choice.addEventListener("change", allowSending);
  listModels();
  fill(place, el("h1", {}, t("compare.title")), el("p", { class: "hint" }, t("compare.hint")), form);
  return () => {
    endModels();
    leave();
  };
}
