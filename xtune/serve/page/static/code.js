/** A block of code with a button that copies it, and what copies anything. */

import { el } from "./dom.js";

/**
 * Returns a block of code.
 * @param {string} text
 * @param {string} language as the model names it; "" for none
 * @param {{copy: string, copied: string}} words of the button
 * @returns {HTMLElement}
 */
export function codeBlock(text, language, words) {
  return el(
    "div",
    { class: "code" },
    el("div", { class: "code-head" }, el("span", {}, language), copyButton(() => text, words)),
    el("pre", {}, el("code", {}, text)),
  );
}

/**
 * Returns a button that copies a text and says that it has.
 * @param {() => string} text
 * @param {{copy: string, copied: string}} words
 * @returns {HTMLButtonElement}
 */
export function copyButton(text, words) {
  const button = el("button", { type: "button", class: "quiet" }, words.copy);
  button.addEventListener("click", async () => {
    await copy(text());
    button.textContent = words.copied;
    setTimeout(() => (button.textContent = words.copy), 2000);
  });
  return button;
}

/** Copies a text; also at an address without TLS, where browsers give a page no clipboard. */
async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const before = document.activeElement;
  const held = el("textarea", { class: "unseen", "aria-hidden": "true" });
  held.value = text;
  // within an open dialogue, outside of which nothing can be selected
  (before?.closest("dialog") ?? document.body).append(held);
  held.select();
  document.execCommand("copy");
  held.remove();
  before?.focus();
}
