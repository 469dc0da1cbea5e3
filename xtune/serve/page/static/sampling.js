/** How answers are written: the fields of a form, and what of them a request says. */

import { el } from "./dom.js";

const KEPT = "sampling";

// As `xtune chat` samples; "" leaves a field out of the request.
const FIELDS = {
  temperature: { first: 0.1, min: 0, step: 0.05 },
  top_p: { first: 0.75, min: 0.01, max: 1, step: 0.01 },
  top_k: { first: 40, min: 0, step: 1 },
  repetition_penalty: { first: 1, min: 0.1, step: 0.05 },
  presence_penalty: { first: 0, min: -2, max: 2, step: 0.1 },
  frequency_penalty: { first: 0, min: -2, max: 2, step: 0.1 },
  max_tokens: { first: 1024, min: 1, step: 1 },
  seed: { first: "", min: 0, step: 1 },
};

/**
 * Returns what a request says of sampling: `{ temperature: 0.1, … }`.
 * @param {import("./main.js").App} app
 * @returns {Object}
 */
export function samplingValues(app) {
  const kept = app.keep.get(KEPT, {});
  const values = Object.entries(FIELDS).map(([name, { first }]) => [name, kept[name] ?? first]);
  return Object.fromEntries(values.filter(([, value]) => value !== ""));
}

/**
 * Returns the fields; what is entered is kept at once, for all views.
 * @param {import("./main.js").App} app
 * @returns {HTMLElement}
 */
export function samplingForm(app) {
  const kept = { ...app.keep.get(KEPT, {}) };
  const inputs = {};
  const rows = Object.entries(FIELDS).map(([name, { first, ...range }]) => {
    const id = `sampling-${name}`;
    const about = `${id}-about`;
    const input = el("input", { type: "number", id, "aria-describedby": about, ...range });
    input.value = kept[name] ?? first;
    input.addEventListener("change", () => {
      const { badInput, rangeUnderflow, rangeOverflow, stepMismatch } = input.validity;
      // the arrows go by steps, but any value in range is one, unless only whole numbers are
      const isOne = !badInput && !rangeUnderflow && !rangeOverflow && !(range.step === 1 && stepMismatch);
      input.setAttribute("aria-invalid", String(!isOne));
      if (!isOne) return;
      kept[name] = input.value === "" ? "" : Number(input.value);
      app.keep.set(KEPT, kept);
    });
    inputs[name] = input;
    return el(
      "div",
      { class: "field" },
      el("label", { for: id }, el("code", {}, name)),
      input,
      el("span", { id: about, class: "hint" }, app.t(`sampling.${name}`)),
    );
  });
  const reset = () => {
    app.keep.set(KEPT, null);
    for (const [name, { first }] of Object.entries(FIELDS)) {
      delete kept[name];
      inputs[name].value = first;
      inputs[name].removeAttribute("aria-invalid");
    }
  };
  const button = el("button", { type: "button", onclick: reset }, app.t("sampling.reset"));
  return el("fieldset", { class: "sampling" }, el("legend", {}, app.t("sampling.legend")), rows, button);
}
