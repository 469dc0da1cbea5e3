/** Evaluations: what was measured, with the scores before and after, and the pages of it. */

import { el, fill } from "../dom.js";
import { addressOf, addressed, failed, number, runLinks } from "../run_parts.js";

export const id = "evaluations";

/**
 * Builds the view: `#evaluations/NAME` of a run, or `#evaluations` of all.
 * @param {HTMLElement} place to be filled
 * @param {import("../main.js").App} app
 * @returns {() => void} takes it down
 */
export function mount(place, app) {
  const { t } = app;
  const [name] = addressed();
  const leaving = new AbortController();
  const body = el("div", {});
  const addresses = [];

  async function show() {
    const path = name ? `/xtune/runs/${encodeURIComponent(name)}/evaluations` : "/xtune/evaluations";
    const { evaluations } = await app.api.get(path, { signal: leaving.signal });
    fill(body, evaluations.length ? evaluations.map(shown) : empty());
  }

  const empty = () => [
    el("p", {}, t("evaluations.none")),
    el("pre", {}, el("code", {}, `xtune eval ${name ? `work_dirs/${name}` : "smollm2"}`)),
  ];

  function shown(one) {
    const hasBefore = one.scores.some((score) => score.before !== null);
    const columns = ["name", "metric", ...(hasBefore ? ["before", "after", "change"] : ["score"]), "n"];
    const isNumber = (key) => !["name", "metric"].includes(key);
    const cell = (score, key) => {
      if (!isNumber(key)) return score[key];
      if (key === "n") return score.n === null ? "–" : number(app, score.n);
      if (key === "change") return changeOf(score);
      return number(app, key === "score" ? score.after : score[key]);
    };
    return el("section", { "aria-label": one.title || one.id },
      el("h2", {}, one.title || one.id),
      el("p", { class: "hint" }, [t(`evaluations.kind_${one.kind}`), one.date, one.id].filter(Boolean).join(" · "),
        !name && one.run && [" · ", el("a", { href: addressOf("curves", one.run) }, one.run)]),
      one.scores.length > 0 && el("div", { class: "scrolls" },
        el("table", { class: "data-table", "aria-label": one.title || one.id },
          el("thead", {}, el("tr", {}, columns.map((key) => el("th", { scope: "col", class: isNumber(key) && "number" }, t(`evaluations.head_${key}`))))),
          el("tbody", {}, one.scores.map((score) => el("tr", {}, columns.map((key, at) =>
            el(at ? "td" : "th", { scope: at ? null : "row", class: isNumber(key) && "number" }, cell(score, key)))))))),
      one.has_page && report(one));
  }

  function changeOf({ before, after }) {
    if (before === null || after === null) return "–";
    if (after === before) return "0";
    return `${after > before ? "+" : "−"}${number(app, Math.abs(after - before))}`;
  }

  /** A page with a script of its own: opened as if from nowhere, or, where a key is asked for, saved. */
  function report(one) {
    const path = `/xtune/evaluations/${one.id.split("/").map(encodeURIComponent).join("/")}/report.html`;
    if (!app.api.key()) {
      return el("p", {}, el("a", { href: path, target: "_blank", rel: "noopener" }, t("evaluations.open")));
    }
    const save = async () => {
      const text = await app.api.text(path, { signal: leaving.signal });
      const address = URL.createObjectURL(new Blob([text], { type: "text/html" }));
      addresses.push(address);
      el("a", { href: address, download: `${one.id.replaceAll("/", "-")}.html` }).click();
    };
    return el("p", {}, el("button", { type: "button", onclick: save }, t("evaluations.save")));
  }

  fill(
    place,
    el("h1", {}, name ? t("evaluations.of", { name }) : t("evaluations.title")),
    name ? runLinks(app, name, id) : el("p", {}, el("a", { href: "#runs" }, t("runs.back"))),
    body,
  );
  show().catch((error) => leaving.signal.aborted || fill(body, failed(app, error)));
  return () => {
    leaving.abort();
    addresses.forEach((address) => URL.revokeObjectURL(address));
  };
}
