/** What the views of runs share: what the address names, links, numbers, and asking again. */

import { el } from "./dom.js";

/**
 * Returns what stands in the address after the view's name: `#curves/mine/other` -> ["mine", "other"].
 * @returns {string[]}
 */
export function addressed() {
  try {
    return location.hash.split("/").slice(1).map(decodeURIComponent);
  } catch {
    return []; // a percent sign that is none
  }
}

/**
 * Returns the links between the views of a run.
 * @param {import("./main.js").App} app
 * @param {string} name of the run
 * @param {string} current the view that is open
 * @returns {HTMLElement}
 */
export function runLinks(app, name, current) {
  const view = (id) =>
    el("a", { href: addressOf(id, name), "aria-current": id === current && "page" }, app.t(`runs.to_${id}`));
  return el(
    "nav",
    { class: "crumbs", "aria-label": name },
    el("a", { href: "#runs" }, app.t("runs.back")),
    ["curves", "data", "evaluations"].map(view),
  );
}

/** The address of a view of a run, or of two. */
export const addressOf = (view, ...names) => `#${[view, ...names.map(encodeURIComponent)].join("/")}`;

/**
 * Returns a number as a reader sees it; what is not finite is said so.
 * @param {import("./main.js").App} app
 * @param {number|null} value
 * @returns {string}
 */
export function number(app, value) {
  if (value === null || value === undefined) return app.t("runs.notFinite");
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString(app.language);
  const size = Math.abs(value);
  if (size && (size < 1e-3 || size >= 1e6)) return value.toExponential(3);
  return value.toLocaleString(app.language, { maximumSignificantDigits: 5 });
}

/** A time as a reader sees it: seconds since 1970. */
export const when = (app, seconds) =>
  new Date(seconds * 1000).toLocaleString(app.language, { dateStyle: "short", timeStyle: "short" });

/**
 * Returns what a failure says: one of the server, as it says it.
 * @param {import("./main.js").App} app
 * @param {Error} error
 * @returns {HTMLElement}
 */
export const failed = (app, error) =>
  el("p", { class: "failure", role: "alert" }, app.t("runs.failed", { why: error.message }));

/**
 * Calls `act` again and again, as long as somebody can see the page and `act` says that it may change.
 * @param {number} seconds between two calls
 * @param {() => Promise<boolean>} act false: no more
 * @returns {() => void} ends it
 */
export function whileVisible(seconds, act) {
  let timer = 0;
  let isOver = false;
  let isActing = false;
  const later = () => {
    clearTimeout(timer);
    if (!isOver && !document.hidden) timer = setTimeout(now, seconds * 1000);
  };
  async function now() {
    if (isActing) return;
    isActing = true;
    const goesOn = await act().catch(() => false);
    isActing = false;
    if (goesOn) later();
    else isOver = true;
  }
  const seen = () => (document.hidden ? clearTimeout(timer) : isOver || now());
  document.addEventListener("visibilitychange", seen);
  later();
  return () => {
    isOver = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  };
}
