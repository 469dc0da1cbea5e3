/** Curves: the numbers of a run's log over its steps, alone or with another run's laid over them. */

import { LineChart } from "../chart.js";
import { el, fill, svg } from "../dom.js";
import { addressOf, addressed, failed, number, runLinks, whileVisible } from "../run_parts.js";

export const id = "curves";

const SECONDS = 5; // between two looks at a run that trains
const MEANS = [1, 5, 20, 100]; // steps that a point is the mean of
const FIRST = ["loss", "val_loss", "lr", "tokens_per_s", "grad_norm", "reward_margin", "reward_accuracy"];

/**
 * Builds the view: `#curves/NAME`, or `#curves/NAME/OTHER`.
 * @param {HTMLElement} place to be filled
 * @param {import("../main.js").App} app
 * @returns {() => void} takes it down
 */
export function mount(place, app) {
  const { t, keep } = app;
  const names = addressed().slice(0, 2);
  if (!names.length) {
    location.replace("#runs");
    return () => {};
  }
  const leaving = new AbortController();
  const charts = new Map();
  const about = el("div", {});
  const which = el("fieldset", { class: "which" });
  const panels = el("div", { class: "charts" });
  const problem = el("div", {});
  const mean = el("select", { id: "curves-mean", onchange: again },
    MEANS.map((n) => el("option", { value: n, selected: n === keep.get("curves-mean", 1) }, t(n === 1 ? "curves.asTheyAre" : "curves.meanOf", { n }))));
  const other = el("select", { id: "curves-other", onchange: lay }, el("option", { value: "" }, t("curves.alone")));
  const turned = new Set(keep.get("curves-turned", [])); // first ones that are off, others that are on
  let listed = "";
  let endPolling = () => {};

  async function show() {
    const query = new URLSearchParams({ mean_of: mean.value, points: 600 });
    const ask = (name) => app.api.get(`/xtune/runs/${encodeURIComponent(name)}/curves?${query}`, { signal: leaving.signal });
    const asked = mean.value;
    const answers = await Promise.all(names.map(ask));
    if (asked !== mean.value) return true; // another choice was made meanwhile, and is asked for
    fill(about, key(answers), thinned(answers));
    const all = ordered(answers.flatMap((answer) => answer.names));
    choices(all);
    for (const name of all) {
      const series = answers
        .map((answer, at) => ({ label: names[at], ...(answer.curves[name] ?? { steps: [], values: [] }) }));
      if (!charts.has(name)) charts.set(name, new LineChart(app, name));
      charts.get(name).update(series);
    }
    arrange();
    return answers.some(({ run }) => run.state === "training");
  }

  const isFirst = (name) => FIRST.includes(name) || name.startsWith("eval/");
  const isHidden = (name) => turned.has(name) === isFirst(name);

  function arrange() {
    const nodes = ordered([...charts.keys()].filter((name) => !isHidden(name))).map((name) => charts.get(name).node);
    if (!charts.size) fill(panels, el("p", {}, t("curves.nothing")));
    // a drawing that stays where it is keeps the focus
    else if (nodes.length !== panels.childElementCount || nodes.some((node, at) => node !== panels.children[at])) fill(panels, nodes);
  }

  function choices(all) {
    if (JSON.stringify(all) === listed) return;
    listed = JSON.stringify(all);
    const turn = (name, isOn) => {
      if (isOn === isFirst(name)) turned.delete(name);
      else turned.add(name);
      keep.set("curves-turned", [...turned]);
      arrange();
    };
    fill(which, el("legend", {}, t("curves.which")), all.map((name) =>
      el("label", {}, el("input", { type: "checkbox", checked: !isHidden(name), onchange: (event) => turn(name, event.target.checked) }), name)));
  }

  const key = (answers) =>
    el("ul", { class: "key" }, answers.map(({ run }, at) =>
      el("li", {},
        svg("svg", { viewBox: "0 0 36 12", "aria-hidden": "true" }, svg("g", { class: `of-${at}` }, svg("path", { d: "M1 6h34" }))),
        `${run.name}: ${t(`runs.state_${run.state}`)}, ${t("curves.stepN", { n: number(app, run.step) })}`)));

  const thinned = (answers) => {
    const most = Math.max(...answers.flatMap(({ curves }) => Object.values(curves).map((curve) => curve.of)), 0);
    return answers.some((answer) => answer.thinned) && el("p", { class: "hint" }, t("curves.thinned", { n: number(app, most) }));
  };

  function again() {
    keep.set("curves-mean", Number(mean.value));
    start();
  }

  function lay() {
    location.hash = addressOf("curves", ...[names[0], other.value].filter(Boolean));
  }

  function start() {
    endPolling();
    fill(problem);
    show()
      .then((isTraining) => {
        if (isTraining && !leaving.signal.aborted) endPolling = whileVisible(SECONDS, show);
      })
      .catch((error) => leaving.signal.aborted || fill(problem, failed(app, error)));
  }

  app.api
    .get("/xtune/runs", { signal: leaving.signal })
    .then(({ runs }) => other.append(...runs.map((run) => run.name).filter((name) => name !== names[0])
      .map((name) => el("option", { value: name, selected: name === names[1] }, name))))
    .catch(() => {}); // the curves say what is wrong

  fill(
    place,
    el("h1", {}, t("curves.of", { name: names.join(" · ") })),
    runLinks(app, names[0], id),
    el("div", { class: "filters" },
      el("div", {}, el("label", { for: "curves-other" }, t("curves.other")), other),
      el("div", {}, el("label", { for: "curves-mean" }, t("curves.mean")), mean)),
    which,
    about,
    problem,
    panels,
  );
  start();
  return () => {
    leaving.abort();
    endPolling();
  };
}

/** Each name once: first those that one looks at first. */
function ordered(names) {
  const place = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  return [...new Set(names)].sort((a, b) => place(a) - place(b) || a.localeCompare(b));
}
