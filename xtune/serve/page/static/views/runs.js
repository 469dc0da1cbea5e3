/** Runs: what has been trained in the folder, and which two are to be laid over each other. */

import { el, fill } from "../dom.js";
import { addressOf, failed, number, when, whileVisible } from "../run_parts.js";

export const id = "runs";

const SECONDS = 5; // between two looks at runs that train

/**
 * Builds the view.
 * @param {HTMLElement} place to be filled
 * @param {import("../main.js").App} app
 * @returns {() => void} takes it down
 */
export function mount(place, app) {
  const { t } = app;
  const leaving = new AbortController();
  const body = el("div", {});
  const chosen = new Set(app.keep.getHere("runs-chosen", []));
  let shown = "";
  let endPolling = () => {};

  async function show() {
    const { folder, runs } = await app.api.get("/xtune/runs", { signal: leaving.signal });
    const isTraining = runs.some((run) => run.state === "training");
    const text = JSON.stringify([folder, runs]);
    if (text === shown) return isTraining;
    shown = text;
    const focused = document.activeElement?.id;
    fill(body, runs.length ? listed(folder, runs) : empty(folder));
    if (focused) document.getElementById(focused)?.focus(); // the row is another node now
    return isTraining;
  }

  function listed(folder, runs) {
    const names = new Set(runs.map((run) => run.name));
    for (const name of chosen) if (!names.has(name)) chosen.delete(name);
    const button = el("button", { type: "button", class: "main", id: "runs-compare", onclick: compare }, t("runs.compare"));
    const tell = () => (button.disabled = chosen.size !== 2);
    tell();
    return [
      el("p", { class: "hint" }, t("runs.folder", { folder })),
      el("div", { class: "scrolls" },
        el("table", { class: "data-table", "aria-label": t("runs.title") },
          el("thead", {}, el("tr", {}, ["choose", "name", "state", "steps", "loss", "changed"].map((key) =>
            el("th", { scope: "col", class: ["steps", "loss"].includes(key) && "number" }, t(`runs.head_${key}`))))),
          el("tbody", {}, runs.map((run, at) => rowOf(run, at, tell))))),
      el("div", { class: "row" }, button, el("span", { class: "hint" }, t("runs.compareHint"))),
    ];
  }

  function rowOf(run, at, tell) {
    const choose = (event) => {
      if (event.target.checked) chosen.add(run.name);
      else chosen.delete(run.name);
      if (chosen.size > 2) {
        const first = [...chosen][0];
        chosen.delete(first);
        const box = [...body.querySelectorAll("input")].find((input) => input.value === first);
        if (box) box.checked = false;
      }
      app.keep.setHere("runs-chosen", [...chosen]);
      tell();
    };
    const box = { type: "checkbox", id: `runs-box-${at}`, value: run.name, "aria-label": t("runs.chooseOne", { name: run.name }) };
    const of = run.max_steps === null ? number(app, run.step) : t("runs.of", { n: number(app, run.step), of: number(app, run.max_steps) });
    return el("tr", {},
      el("td", {}, el("input", { ...box, checked: chosen.has(run.name), onchange: choose })),
      el("th", { scope: "row" }, run.name, run.config && run.config !== run.name && el("div", { class: "hint" }, run.config),
        el("div", { class: "links" }, ["curves", "data", "evaluations"].map((view) =>
          el("a", { href: addressOf(view, run.name), "aria-label": t("runs.ofRun", { view: t(`runs.to_${view}`), name: run.name }) }, t(`runs.to_${view}`))))),
      el("td", {}, el("span", { class: `line state-${run.state}` }, t(`runs.state_${run.state}`)), run.why && el("div", { class: "hint" }, run.why)),
      el("td", { class: "number line" }, of),
      el("td", { class: "number" }, run.step ? number(app, run.loss) : "–"),
      el("td", { class: "line" }, when(app, run.changed)),
    );
  }

  const compare = () => (location.hash = addressOf("curves", ...chosen));

  const empty = (folder) =>
    el("div", {},
      el("p", {}, folder === null ? t("runs.noFolder") : t("runs.none", { folder })),
      folder !== null && [
        el("p", {}, t("runs.train")),
        el("pre", {}, el("code", {}, "xtune train smollm2_135m_lora_toolcall")),
        el("p", { class: "hint" }, t("runs.appears")),
      ]);

  fill(place, el("h1", {}, t("runs.title")), el("p", {}, el("a", { href: "#evaluations" }, t("runs.allEvaluations"))), body);
  // a run may begin at any time
  const look = () => show().then(() => !leaving.signal.aborted);
  show()
    .then(() => leaving.signal.aborted || (endPolling = whileVisible(SECONDS, look)))
    .catch((error) => leaving.signal.aborted || fill(body, failed(app, error)));
  return () => {
    leaving.abort();
    endPolling();
  };
}
