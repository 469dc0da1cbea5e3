/** Markdown to nodes. What is not understood stays text. */

import { el } from "./dom.js";

/**
 * Returns the nodes of a text.
 * @param {string} text of a model
 * @returns {Node[]}
 */
export function markdown(text) {
  return text.split(/\n{2,}/).map((part) => el("p", {}, part));
}
