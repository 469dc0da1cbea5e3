/** Windows in front of the page: a question, a drawer. The browser keeps the focus within. */

import { el } from "./dom.js";

let count = 0; // for ids that name the title

/**
 * Opens a window.
 * @param {string} title
 * @param {Array} children
 * @param {string} [kind] its class: "drawer" for one at the side
 * @returns {HTMLDialogElement} closed by Escape, a click next to it, or `close(value)`
 */
export function open(title, children, kind = "window") {
  const id = `dialog-${(count += 1)}`;
  const dialog = el("dialog", { class: kind, "aria-labelledby": id }, el("h2", { id }, title), children);
  dialog.addEventListener("close", () => dialog.remove());
  // only its own ground is clicked on outside of what is in it
  let pressed = null;
  dialog.addEventListener("pointerdown", (event) => (pressed = event.target));
  dialog.addEventListener("click", (event) => {
    const box = dialog.getBoundingClientRect();
    const { clientX: x, clientY: y } = event;
    const isOutside = x < box.left || x > box.right || y < box.top || y > box.bottom;
    if (event.target === dialog && pressed === dialog && isOutside) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Asks a question that has two answers.
 * @param {string} title
 * @param {string} text
 * @param {{yes: string, no: string}} words of the buttons
 * @returns {Promise<boolean>}
 */
export function confirmed(title, text, { yes, no }) {
  return new Promise((resolve) => {
    const dialog = open(title, [
      el("p", {}, text),
      el(
        "div",
        { class: "row" },
        el("button", { type: "button", class: "main", onclick: () => dialog.close("yes") }, yes),
        el("button", { type: "button", onclick: () => dialog.close() }, no),
      ),
    ]);
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"));
  });
}
