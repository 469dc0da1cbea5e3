/** Show prompt: what a model reads of a dialogue, token by token, and what a training learns. */

import { copyButton } from "../code.js";
import { el, fill } from "../dom.js";
import { messagesOf } from "../talk.js";
import { schemasFor } from "../tool_steps.js";
import { tokenLegend, tokenText } from "../tokens.js";

export const id = "prompt";

const EXAMPLE = {
  messages: [
    { role: "user", content: "Who are you?" },
    { role: "assistant", content: "A language model." },
  ],
};

/**
 * Builds the view. The address `#prompt/chat` begins with the dialogue of the chat.
 * @param {HTMLElement} place to be filled
 * @param {import("../main.js").App} app
 * @returns {() => void} takes it down
 */
export function mount(place, app) {
  const { t, keep } = app;
  const leaving = new AbortController();
  const words = { copy: t("prompt.copyText"), copied: t("prompt.copied") };
  const ofIds = { ...words, copy: t("prompt.copyIds") };

  const model = el("select", { id: "prompt-model" });
  const row = el("textarea", { id: "prompt-row", rows: 8, spellcheck: "false" });
  const problem = el("p", { class: "failure", role: "alert", id: "prompt-problem" });
  const made = el("div", { class: "made" });
  const turns = keep.getHere("dialogue", []);
  const isFromChat = location.hash === "#prompt/chat" && turns.length > 0;
  row.value = keep.getHere("prompt", written(EXAMPLE));

  const listModels = () => {
    const chosen = model.value || keep.getHere("prompt-model") || keep.getHere("model");
    fill(model, app.models().map((each) => el("option", { value: each, selected: each === chosen }, each)));
  };
  const endModels = app.onModels(listModels);
  listModels();

  async function take() {
    const tools = await schemasFor(app, model.value);
    row.value = written({ messages: messagesOf(turns, keep.get("system", "")), tools });
    return show();
  }

  let asked = 0;
  async function show(event) {
    event?.preventDefault();
    const mine = (asked += 1);
    keep.setHere("prompt", row.value);
    keep.setHere("prompt-model", model.value);
    problem.textContent = "";
    row.removeAttribute("aria-invalid");
    try {
      const body = { ...parsed(row.value, t), model: model.value };
      const answer = await app.api.post("/xtune/prompt", body, { signal: leaving.signal });
      if (mine !== asked) return;
      fill(made, shown(answer));
      const of = answer.documents.map(({ count }) => t("prompt.count", { tokens: count.tokens, trained: count.trained }));
      app.say(of.join(" "));
    } catch (error) {
      if (leaving.signal.aborted || mine !== asked) return;
      fill(made);
      row.setAttribute("aria-invalid", "true");
      problem.textContent = error.message;
    }
  }

  function shown({ documents, ends_with: ending, left_out: leftOut, unread }) {
    return [
      el("p", {}, t(ending === "answer" ? "prompt.whole" : "prompt.request")),
      leftOut.length > 0 && el("p", { class: "warning" }, t("prompt.leftOut", { parts: leftOut.join(", ") })),
      unread.length > 0 && el("p", { class: "warning" }, t("prompt.unread", { keys: unread.join(", ") })),
      tokenLegend(app),
      documents.map(({ tokens, count }, at) => {
        const name = documents.length > 1 ? t("prompt.sample", { n: at + 1, of: documents.length }) : t("prompt.tokens");
        return el(
          "section",
          { "aria-label": name },
          documents.length > 1 && el("h2", {}, name),
          el(
            "div",
            { class: "row" },
            el("p", { class: "count" }, t("prompt.count", { tokens: count.tokens, trained: count.trained })),
            copyButton(() => tokens.map((token) => token.text).join(""), words),
            copyButton(() => JSON.stringify(tokens.map((token) => token.id)), ofIds),
          ),
          tokenText(app, tokens, name),
        );
      }),
    ];
  }

  fill(
    place,
    el("h1", {}, t("prompt.title")),
    el("p", { class: "hint", id: "prompt-hint" }, t("prompt.hint")),
    el(
      "form",
      { class: "prompt-form", onsubmit: show },
      el("div", { class: "row" }, el("label", { for: "prompt-model" }, t("prompt.model")), model),
      el("label", { for: "prompt-row" }, t("prompt.row")),
      row,
      problem,
      el(
        "div",
        { class: "row" },
        el("button", { type: "submit", class: "main" }, t("prompt.show")),
        turns.length > 0 && el("button", { type: "button", onclick: take }, t("prompt.fromChat")),
      ),
    ),
    made,
  );
  row.setAttribute("aria-describedby", "prompt-hint prompt-problem");
  if (isFromChat) whenThere(app, leaving.signal, take);
  return () => {
    leaving.abort();
    endModels();
  };
}

/** Does something now, or when the models are known. */
function whenThere(app, signal, act) {
  if (app.models().length) {
    act();
    return;
  }
  const end = app.onModels(() => {
    end();
    if (!signal.aborted) act();
  });
}

const written = ({ messages, tools }) => JSON.stringify(tools?.length ? { messages, tools } : { messages }, null, 1);

/** The messages and tools of a row, or of a list of messages. */
function parsed(text, t) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(t("prompt.noJson", { why: error.message }));
  }
  const row = Array.isArray(value) ? { messages: value } : value;
  if (!Array.isArray(row?.messages)) throw new Error(t("prompt.noMessages"));
  return { messages: row.messages, ...(row.tools ? { tools: row.tools } : {}) };
}
