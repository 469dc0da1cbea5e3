/** One message of a dialogue as the chat view shows it, with what can be done with it. */

import { AnswerView } from "./answer.js";
import { copyButton } from "./code.js";
import { el, fill } from "./dom.js";
import { stepNode } from "./tool_steps.js";

/**
 * Returns the node of a message.
 * @param {import("./main.js").App} app
 * @param {import("./talk.js").Turn} turn
 * @param {{edit: (text: string) => Promise<boolean>, regenerate: () => void}} does edit: false where
 *     the reader has thought better of it
 * @returns {{node: HTMLElement, show: (turn: import("./talk.js").Turn) => void, view: AnswerView?}}
 *     show: there is more of it, or it has ended
 */
export function turnNode(app, turn, does) {
  if (turn.role === "tool") return stepNode(app, turn);
  return turn.role === "user" ? asked(app, turn, does.edit) : answered(app, turn, does.regenerate);
}

function asked(app, turn, edit) {
  const { t } = app;
  const words = { copy: t("answer.copy"), copied: t("answer.copied") };
  const text = el("div", { class: "text asked" }, turn.content);
  const change = el("button", { type: "button", class: "quiet" }, t("chat.edit"));
  const actions = el("div", { class: "actions" }, change, copyButton(() => turn.content, words));
  const node = el("article", { class: "turn user", "aria-label": t("chat.you"), tabindex: "-1" }, el("h2", {}, t("chat.you")), text, actions);

  const back = () => {
    fill(node, node.firstChild, text, actions);
    change.focus();
  };
  change.addEventListener("click", () => {
    const area = el("textarea", { "aria-label": t("chat.editLabel"), rows: Math.min(12, turn.content.split("\n").length + 1) });
    area.value = turn.content;
    const send = async () => {
      if (area.value.trim() && !(await edit(area.value))) area.focus();
    };
    area.addEventListener("keydown", (event) => {
      if (event.key === "Escape") back();
      if (isSend(event)) {
        event.preventDefault();
        send();
      }
    });
    const buttons = el(
      "div",
      { class: "row" },
      el("button", { type: "button", class: "main", onclick: send }, t("chat.send")),
      el("button", { type: "button", onclick: back }, t("page.cancel")),
    );
    fill(node, node.firstChild, area, buttons);
    area.focus();
  });
  return { node, show() {}, view: null };
}

function answered(app, turn, regenerate) {
  const { t } = app;
  const words = { copy: t("answer.copy"), copied: t("answer.copied") };
  const view = new AnswerView(app);
  const about = el("p", { class: "about" });
  const actions = el(
    "div",
    { class: "actions", hidden: true },
    el("button", { type: "button", class: "quiet", onclick: regenerate }, t("chat.regenerate")),
    copyButton(() => turn.content, words),
    about,
  );
  const node = el("article", { class: "turn assistant", "aria-label": turn.model, tabindex: "-1" }, el("h2", {}, turn.model), view.node, actions);
  const show = (now) => {
    node.classList.toggle("writing", !now.end);
    actions.hidden = !now.end;
    if (now.end) {
      view.showNow(now);
      about.textContent = endOf(app, now);
      about.classList.toggle("failure", now.end === "failed");
    } else {
      view.show(now);
    }
  };
  show(turn);
  return { node, show, view };
}

/** What is said below an answer: how long it is, or why it ends. */
function endOf({ t }, { end, why, code, tokens, seconds }) {
  if (end === "failed") return code === "gone" ? t("chat.broken") : t("chat.failed", { why });
  const speed = seconds > 0.05 && tokens > 1 ? (tokens - 1) / seconds : 0;
  const said = [
    tokens ? t("chat.tokens", { n: tokens }) : "",
    speed ? t("chat.speed", { n: speed.toFixed(speed < 10 ? 1 : 0) }) : "",
    end === "length" ? t("chat.cut") : end === "stopped" ? t("chat.stopped") : "",
  ];
  return said.filter(Boolean).join(" · ");
}

/**
 * Whether a key sends: Enter, not with Shift, and not while an input method composes a word.
 * @param {KeyboardEvent} event
 * @returns {boolean}
 */
export function isSend(event) {
  // 229: Safari ends the composition before it tells of the key that has
  return event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
}
