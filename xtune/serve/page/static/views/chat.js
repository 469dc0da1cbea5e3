/** Chat: a dialogue with one of the models; stop, regenerate, edit, copy, take away. */

import { Speaker } from "../answer.js";
import { confirmed, open } from "../dialogs.js";
import { el, fill } from "../dom.js";
import { samplingForm, samplingValues } from "../sampling.js";
import { Talk } from "../talk.js";
import { schemasFor, toolSwitch } from "../tool_steps.js";
import { isSend, turnNode } from "../turn.js";

export const id = "chat";

const NEAR = 80; // pixels from the end, within which the reader is at it
const FEWEST = 3; // questions of a dialogue that has a table of contents
const talks = new WeakMap(); // a dialogue goes on while another view is open

/**
 * Builds the view.
 * @param {HTMLElement} place to be filled
 * @param {import("../main.js").App} app
 * @returns {() => void} takes it down
 */
export function mount(place, app) {
  if (!talks.has(app)) talks.set(app, new Talk(app, () => chosen(app)));
  const view = new ChatView(app, talks.get(app));
  fill(place, view.bar, view.contents, view.turns, view.composer);
  view.start();
  return () => view.end();
}

function chosen(app) {
  return {
    model: modelOf(app),
    system: app.keep.get("system", ""),
    sampling: samplingValues(app),
  };
}

/** The model that was chosen, also where it is gone: another would answer in its name. */
function modelOf(app) {
  const kept = app.keep.getHere("model");
  const isUsed = app.models().includes(kept) || talks.get(app).turns.length > 0;
  return kept && isUsed ? kept : (app.models()[0] ?? "");
}

class ChatView {
  constructor(app, talk) {
    const { t } = app;
    this.app = app;
    this.talk = talk;
    this.nodes = []; // {turn, node, show, view} of each message
    this.isAtEnd = true;

    this.model = el("select", { id: "model", onchange: () => app.keep.setHere("model", this.model.value) });
    this.toContents = button(t("chat.contents"), () => this.openContents(), "quiet narrow");
    this.toTake = button(t("chat.export"), () => this.export(), "quiet");
    this.toClear = button(t("chat.clear"), () => this.clear(), "quiet");
    this.system = el("p", { class: "hint" }); // a text of one's own, which is easily forgotten
    this.bar = el(
      "div",
      { class: "bar" },
      el("h1", { class: "unseen" }, t("chat.title")),
      el("label", { for: "model" }, t("chat.model")),
      this.model,
      el("div", { class: "row" }, this.toContents, button(t("chat.settings"), () => this.openSettings(), "quiet"), this.toTake, this.toClear),
      this.system,
    );
    this.contents = el("nav", { class: "contents", "aria-label": t("chat.contents") });
    this.turns = el("section", { class: "turns", "aria-label": t("chat.dialogue") });

    this.message = el("textarea", { id: "message", rows: 1, placeholder: t("chat.hint"), "aria-label": t("chat.message") });
    this.message.value = app.keep.getHere("draft", "");
    this.toSend = button(t("chat.send"), () => this.send(), "main");
    this.toStop = button(t("chat.stop"), () => this.stop(), "main");
    this.toEnd = button(t("chat.toEnd"), () => this.toTheEnd(), "to-end");
    this.composer = el("div", { class: "composer" }, this.toEnd, this.message, this.toSend, this.toStop);
  }

  start() {
    const { app, message } = this;
    message.addEventListener("input", () => {
      this.fit();
      app.keep.setHere("draft", message.value);
    });
    message.addEventListener("keydown", (event) => {
      if (!isSend(event)) return;
      event.preventDefault();
      this.send();
    });
    this.onScroll = () => this.look();
    addEventListener("scroll", this.onScroll, { passive: true });
    addEventListener("resize", this.onScroll);
    this.forgetModels = app.onModels(() => this.showModels());
    this.talk.listen({ changed: () => this.changed(), grown: (turn) => this.grown(turn) });
    this.showModels();
    this.showSystem();
    this.changed();
    this.fit();
    this.toTheEnd();
    // not where that brings up a keyboard
    if (matchMedia("(hover: hover)").matches) message.focus({ preventScroll: true });
  }

  end() {
    removeEventListener("scroll", this.onScroll);
    removeEventListener("resize", this.onScroll);
    this.forgetModels();
    this.talk.listen({ changed() {}, grown() {} });
  }

  showModels() {
    const now = modelOf(this.app);
    const ids = this.app.models();
    const options = ids.map((each) => el("option", { value: each }, each));
    if (now && ids.length && !ids.includes(now)) {
      options.push(el("option", { value: now }, this.app.t("chat.gone", { model: now })));
    }
    fill(this.model, options);
    this.model.value = now;
    if (now) this.app.keep.setHere("model", now);
    this.toSend.disabled = !now;
  }

  showSystem() {
    const text = this.app.keep.get("system", "");
    this.system.hidden = !text;
    this.system.textContent = this.app.t("chat.systemSet", { text });
  }

  send() {
    const text = this.message.value;
    if (!text.trim() || this.talk.isRunning || this.toSend.disabled) return;
    this.message.value = "";
    this.app.keep.setHere("draft", null);
    this.fit();
    this.isAtEnd = true;
    this.talk.send(text);
  }

  stop() {
    this.talk.stop();
    this.message.focus();
  }

  /** Has what follows dropped, if that is what the reader wants. */
  async drop(from, yes) {
    const count = this.talk.turns.length - from;
    const { t } = this.app;
    const words = { yes, no: t("page.cancel") };
    if (count > 0 && !(await confirmed(t("chat.dropTitle"), t("chat.drop", { n: count }), words))) return false;
    this.isAtEnd = true;
    return true;
  }

  async clear() {
    const { t } = this.app;
    const words = { yes: t("chat.clear"), no: t("page.cancel") };
    if (this.talk.turns.length && (await confirmed(t("chat.clear"), t("chat.clearAsk"), words))) {
      this.talk.clear();
      this.message.focus();
    }
  }

  /** Turns came or went, an answer has begun or ended. */
  changed() {
    const { turns, isRunning } = this.talk;
    const same = turns.findIndex((turn, index) => this.nodes[index]?.turn !== turn);
    const from = same < 0 ? turns.length : same;
    for (const { node } of this.nodes.splice(from)) node.remove();
    if (turns.length && this.turns.firstElementChild?.className === "empty") this.turns.replaceChildren();
    turns.slice(from).forEach((turn, past) => this.add(turn, from + past));
    if (!turns.length) fill(this.turns, el("p", { class: "empty" }, this.app.t("chat.empty")));
    const last = this.nodes.at(-1);
    if (last?.turn.role === "assistant") {
      last.show(last.turn);
      if (isRunning && this.spoken !== last.turn) {
        this.spoken = last.turn;
        this.speaker = new Speaker(this.app.say, last.turn.content.length);
      } else if (!isRunning && this.spoken === last.turn) {
        this.speaker.hear(last.turn);
        this.spoken = null;
      }
    } else if (last?.turn.role === "tool") {
      last.show(last.turn);
    }
    const hadFocus = [this.toSend, this.toStop].includes(document.activeElement);
    this.toSend.hidden = isRunning;
    this.toStop.hidden = !isRunning;
    if (hadFocus) (isRunning ? this.toStop : this.message).focus();
    this.toTake.disabled = this.toClear.disabled = !turns.length;
    this.showContents();
    this.keepAtEnd();
  }

  add(turn, index) {
    const edit = async (text) => {
      if (!(await this.drop(index + 1, this.app.t("chat.send")))) return false;
      this.talk.edit(index, text);
      this.message.focus();
      return true;
    };
    const regenerate = async () => {
      if (!(await this.drop(index + 1, this.app.t("chat.regenerate")))) return;
      this.talk.regenerate(index);
      this.toStop.focus();
    };
    const made = turnNode(this.app, turn, { edit, regenerate });
    if (made.view) made.view.around = (show) => this.keepingPlace(show);
    this.nodes.push({ turn, ...made });
    this.turns.append(made.node);
  }

  grown(turn) {
    const last = this.nodes.at(-1);
    if (last?.turn !== turn) return;
    last.show(turn);
    this.speaker?.hear(turn);
  }

  /** The questions, as links to them. */
  listed(onChosen = () => {}) {
    const asked = this.nodes.filter(({ turn }) => turn.role === "user");
    const items = asked.map(({ turn, node }) => {
      const go = () => {
        onChosen();
        node.scrollIntoView({ block: "start" });
        node.focus({ preventScroll: true });
      };
      return el("li", {}, button(turn.content.trim().split("\n")[0].slice(0, 120), go, "quiet"));
    });
    return items.length < FEWEST ? [] : [el("ol", {}, items)];
  }

  showContents() {
    const list = this.listed();
    fill(this.contents, list);
    this.contents.hidden = this.toContents.hidden = !list.length;
  }

  openContents() {
    const drawer = open(this.app.t("chat.contents"), [this.listed(() => drawer.close())], "drawer");
  }

  openSettings() {
    const { app } = this;
    const { t, keep } = app;
    const system = el("textarea", { id: "system", rows: 5, "aria-describedby": "system-about" });
    system.value = keep.get("system", "");
    system.addEventListener("input", () => {
      keep.set("system", system.value || null);
      this.showSystem();
    });
    const trained = app.about(this.model.value)?.system;
    const drawer = open(
      t("chat.settings"),
      [
        el("div", { class: "field wide" },
          el("label", { for: "system" }, t("chat.system")),
          system,
          el("p", { id: "system-about", class: "hint" }, trained ? t("chat.systemTrained", { text: trained }) : t("chat.systemNone"))),
        toolSwitch(app, this.model.value),
        samplingForm(app),
        button(t("page.close"), () => drawer.close(), "main"),
      ],
      "drawer",
    );
  }

  /** Saves the dialogue as one row of training data, as `/save` in `xtune chat` does. */
  async export() {
    const system = this.app.keep.get("system", "") || this.app.about(this.model.value)?.system || "";
    const tools = await schemasFor(this.app, this.model.value);
    const row = { messages: this.talk.messages(system), ...(tools.length ? { tools } : {}) };
    const text = `${JSON.stringify(row, null, 2)}\n`;
    const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    el("a", { href: address, download: "dialogue.json" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }

  /** As many lines as are written, to a limit of page.css. */
  fit() {
    this.message.style.height = "auto";
    this.message.style.height = `${this.message.scrollHeight + 2}px`;
    this.keepAtEnd();
  }

  look() {
    const { scrollHeight } = document.documentElement;
    this.isAtEnd = scrollHeight - innerHeight - scrollY < NEAR;
    this.toEnd.hidden = this.isAtEnd;
  }

  /** Shows more: who is at the end stays there, who reads further up is left there. */
  keepingPlace(show) {
    this.look(); // now: the browser tells of scrolling only later
    show();
    this.keepAtEnd();
  }

  keepAtEnd() {
    if (this.isAtEnd) this.toTheEnd();
    else this.look();
  }

  toTheEnd() {
    scrollTo(0, document.documentElement.scrollHeight);
    this.isAtEnd = true;
    this.toEnd.hidden = true;
  }
}

function button(text, does, kind = "") {
  return el("button", { type: "button", class: kind, onclick: does }, text);
}
