/** Chat: a dialogue with one model. */

import { el, fill } from "../dom.js";

export const id = "chat";

/**
 * Builds the view.
 * @param {HTMLElement} place to be filled
 * @param {import("../main.js").App} app
 * @returns {() => void} takes it down
 */
export function mount(place, app) {
  fill(place, el("h1", {}, app.t("chat.title")));
  return () => {};
}
