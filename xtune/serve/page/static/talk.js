/** A dialogue and the answer that is being written: what the chat view shows. It outlives the view. */

import { askWithTools, makeCalls } from "./tool_steps.js";

/**
 * One message.
 * @typedef {Object} Turn
 * @property {"user"|"assistant"|"tool"} role of a tool: see `Step`
 * @property {string} content
 * @property {string} [model] that has answered; and all of `Answer`
 */

const KEPT = "dialogue";

/** A dialogue. */
export class Talk {
  /**
   * @param {import("./main.js").App} app
   * @param {() => {model: string, system: string, sampling: Object}} chosen how to ask
   */
  constructor(app, chosen) {
    this.app = app;
    this.chosen = chosen;
    /** @type {Turn[]} */
    this.turns = app.keep.getHere(KEPT, []);
    this.running = null;
    this.listener = { changed() {}, grown() {} };
  }

  /**
   * Tells one listener of what happens; the last to ask.
   * @param {{changed: () => void, grown: (turn: Turn) => void}} listener changed: turns came or
   *     went, or an answer has begun or ended; grown: there is more of the last one
   */
  listen(listener) {
    this.listener = listener;
  }

  /** Whether an answer is being written. */
  get isRunning() {
    return this.running !== null;
  }

  /**
   * Sends a message, and has it answered.
   * @param {string} text
   */
  send(text) {
    this.#put(this.turns.length, { role: "user", content: text });
    return this.#answer();
  }

  /**
   * Sends another message in place of an earlier one; what followed it goes.
   * @param {number} index of it
   * @param {string} text
   */
  edit(index, text) {
    this.#put(index, { role: "user", content: text });
    return this.#answer();
  }

  /**
   * Has a message answered anew; what followed goes.
   * @param {number} index of the answer
   */
  regenerate(index) {
    this.turns.length = index;
    return this.#answer();
  }

  /** Ends the answer as far as it has come. */
  stop() {
    this.running?.abort();
  }

  /** Forgets the dialogue. */
  clear() {
    this.stop();
    this.turns = [];
    this.#changed();
  }

  /**
   * Returns the messages as the API and training data have them.
   * @param {string} system "" for none
   * @returns {Object[]}
   */
  messages(system) {
    return messagesOf(this.turns, system);
  }

  #put(index, turn) {
    this.turns.length = index;
    this.turns.push(turn);
  }

  async #answer() {
    this.stop();
    const { model, system, sampling } = this.chosen();
    const body = { ...sampling, model, messages: this.messages(system) };
    const turn = { role: "assistant", model, content: "", thinking: "", calls: [], end: "" };
    this.turns.push(turn);
    const running = new AbortController();
    this.running = running;
    this.#changed();
    const onPart = (answer) => {
      Object.assign(turn, answer);
      if (this.running === running) this.listener.grown(turn);
    };
    const { signal } = running;
    await askWithTools(this.app, body, { signal, onPart });
    if (this.running !== running) return; // another question has taken its place
    const changed = () => this.running === running && this.#changed();
    const goesOn = await makeCalls(this.app, this.turns, { signal, changed });
    if (this.running !== running) return;
    this.running = null;
    if (goesOn) return this.#answer();
    this.#changed();
    if (turn.code === "model_not_found") this.app.refresh();
  }

  #changed() {
    const whole = this.turns.filter((turn) => turn.role === "user" || turn.end);
    this.app.keep.setHere(KEPT, whole);
    this.listener.changed();
  }
}

/**
 * Returns turns as messages of the API and of training data.
 * @param {Turn[]} turns
 * @param {string} system "" for none
 * @returns {Object[]}
 */
export function messagesOf(turns, system) {
  const said = [];
  for (const { role, content, thinking, calls, id, name } of turns) {
    if (role === "assistant" && !content && !calls?.length) {
      // nothing came: then the question, and what was called for it, is not part of it either
      said.splice(said.findLastIndex((message) => message.role === "user"));
      continue;
    }
    said.push({
      role,
      content,
      ...(role === "tool" ? { tool_call_id: id, name } : {}),
      ...(thinking ? { reasoning_content: thinking } : {}),
      ...(calls?.length ? { tool_calls: calls.map(asSent) } : {}),
    });
  }
  return [...(system ? [{ role: "system", content: system }] : []), ...said];
}

function asSent({ id, name, arguments: text }) {
  return { id, type: "function", function: { name, arguments: text } };
}
