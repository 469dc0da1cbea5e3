/** An answer as it is shown: what was thought, folded; its text; its calls of tools. */

import { codeBlock } from "./code.js";
import { el, fill } from "./dom.js";
import { Growing } from "./markdown.js";

const SENTENCE = /[.!?]["')\]]?\s|[。！？…]|\n/g;

/** Shows an answer that grows, not more often than the browser has time for. */
export class AnswerView {
  /** @param {import("./main.js").App} app */
  constructor(app) {
    this.words = { copy: app.t("answer.copy"), copied: app.t("answer.copied") };
    this.thought = el("p", { class: "thought" });
    this.thinking = el("details", { class: "thinking", hidden: true }, el("summary", {}, app.t("answer.thinking")), this.thought);
    const text = el("div", { class: "text" });
    this.calls = el("div", { class: "calls" });
    /** To be put into the page. */
    this.node = el("div", { class: "answer" }, this.thinking, text, this.calls);
    this.growing = new Growing(text, this.words);
    this.timer = 0;
    this.pause = 0; // milliseconds between two times: four times what one takes
    /** Is given what shows the answer, to be done: a view may look where the reader is, and after. */
    this.around = (show) => show();
  }

  /**
   * Shows what there is, soon.
   * @param {import("./ask.js").Answer} answer
   */
  show(answer) {
    this.timer ||= setTimeout(() => this.showNow(answer), this.pause);
  }

  /**
   * Shows what there is.
   * @param {import("./ask.js").Answer} answer
   */
  showNow(answer) {
    clearTimeout(this.timer);
    this.timer = 0;
    const began = performance.now();
    this.around(() => {
      if (answer.thinking) {
        this.thinking.hidden = false;
        this.thought.textContent = answer.thinking;
      }
      this.growing.show(answer.content);
      fill(this.calls, answer.calls.map((call) => codeBlock(call.arguments, call.name, this.words)));
    });
    this.pause = Math.max(16, 4 * (performance.now() - began));
  }
}

/** Says an answer to those who listen, sentence by sentence. */
export class Speaker {
  /**
   * @param {(text: string) => void} say
   * @param {number} said characters that are not to be said
   */
  constructor(say, said = 0) {
    this.say = say;
    this.said = said;
  }

  /**
   * Says the sentences that are whole, and what is left once the answer has ended.
   * @param {import("./ask.js").Answer} answer
   */
  hear({ content, end }) {
    const rest = content.slice(this.said);
    let cut = end ? rest.length : 0;
    for (const found of end ? [] : rest.matchAll(SENTENCE)) cut = found.index + found[0].length;
    const text = rest.slice(0, cut).replace(/[`*_#|]+/g, "").trim();
    this.said += cut;
    if (text) this.say(text);
  }
}
