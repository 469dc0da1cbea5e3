/** Drawings of numbers: lines over steps, bars of counts; both can be read without seeing them. */

import { el, fill, svg } from "./dom.js";
import { number } from "./run_parts.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [460, 200, 58, 10, 10, 22];
const ROWS = 60; // of the table beneath
const DENSE = 200; // points beyond which dashes would hide the line

/**
 * A number by step; null where it is not finite.
 * @typedef {{label: string, steps: number[], values: (number|null)[]}} Series
 */

/** One number of one or two runs: lines, a cursor that arrow keys move, and a table. */
export class LineChart {
  #app;
  #name;
  #series = [];
  #steps = [];

  /**
   * @param {import("./main.js").App} app
   * @param {string} name of the number
   */
  constructor(app, name) {
    this.#app = app;
    this.#name = name;
    const { t } = app;
    this.drawing = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" });
    this.slider = el("input", { type: "range", class: "chart-step", "aria-label": t("curves.step", { name }), min: 0, step: 1 });
    this.reading = el("p", { class: "reading", "aria-hidden": "true" });
    this.table = el("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": t("curves.valuesOf", { name }) });
    const more = el("details", {}, el("summary", {}, t("curves.values")), this.table);
    more.addEventListener("toggle", () => this.#tabulate());
    this.more = more;
    this.node = el("section", { "aria-label": name }, el("h2", {}, name), this.drawing, this.slider, this.reading, more);
    this.slider.addEventListener("input", () => this.#read());
    this.drawing.addEventListener("pointermove", (event) => this.#point(event));
  }

  /**
   * Draws.
   * @param {Series[]} series
   */
  update(series) {
    const atEnd = Number(this.slider.value) >= this.#steps.length - 1;
    this.#series = series;
    this.#steps = [...new Set(series.flatMap((one) => one.steps))].sort((a, b) => a - b);
    this.slider.max = Math.max(0, this.#steps.length - 1);
    this.slider.disabled = !this.#steps.length;
    if (atEnd || !this.#steps.length) this.slider.value = this.slider.max;
    this.#draw();
    this.#read();
    this.#tabulate();
  }

  #draw() {
    const finite = this.#series.flatMap((one) => one.values).filter((value) => value !== null);
    const [low, high] = range(finite);
    const [first, last] = [this.#steps[0] ?? 0, this.#steps.at(-1) ?? 1];
    this.x = (step) => LEFT + ((WIDTH - LEFT - RIGHT) * (step - first)) / Math.max(1, last - first);
    const y = (value) => TOP + ((HEIGHT - TOP - BOTTOM) * (high - value)) / (high - low);
    this.y = y;
    this.cursor = svg("g", {});
    fill(
      this.drawing,
      ticks(low, high).map((value) => [
        svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
        svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, short(this.#app, value)),
      ]),
      [...new Set([first, last])].map((step, at) =>
        svg("text", { x: this.x(step), y: HEIGHT - 6, "text-anchor": at ? "end" : "start" }, number(this.#app, step)),
      ),
      this.#series.map((one, at) => svg("g", { class: one.steps.length > DENSE ? `of-${at} dense` : `of-${at}` }, this.#line(one))),
      this.cursor,
    );
  }

  #line({ steps, values }) {
    let path = "";
    let isApart = true;
    const marks = [];
    for (const [at, step] of steps.entries()) {
      const value = values[at];
      const x = this.x(step).toFixed(1);
      if (value === null) {
        marks.push(svg("path", { class: "lost", d: `M${x - 3} ${TOP}l6 6m0 -6l-6 6` }));
        isApart = true;
        continue;
      }
      const isAlone = isApart && (at + 1 === steps.length || values[at + 1] === null);
      if (isAlone || steps.length <= 12) marks.push(svg("circle", { cx: x, cy: this.y(value), r: 2.5 }));
      path += `${isApart ? "M" : "L"}${x} ${this.y(value).toFixed(1)}`;
      isApart = false;
    }
    return [svg("path", { d: path }), marks];
  }

  #point(event) {
    if (!this.#steps.length) return;
    const box = this.drawing.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * WIDTH;
    const distances = this.#steps.map((step) => Math.abs(this.x(step) - at));
    this.slider.value = distances.indexOf(Math.min(...distances));
    this.#read();
  }

  /** Says what the values at the cursor are. */
  #read() {
    const { t } = this.#app;
    const step = this.#steps[Number(this.slider.value)];
    if (step === undefined) return;
    const values = this.#series.map((one) => {
      const at = one.steps.indexOf(step);
      if (at < 0) return null;
      const label = this.#series.length > 1 ? `${one.label}: ` : "";
      return `${label}${number(this.#app, one.values[at])}`;
    });
    const text = t("curves.at", { step: number(this.#app, step), values: values.filter(Boolean).join(" · ") });
    this.reading.textContent = text;
    this.slider.setAttribute("aria-valuetext", text);
    fill(this.cursor, svg("line", { class: "cursor", x1: this.x(step), x2: this.x(step), y1: TOP, y2: HEIGHT - BOTTOM }));
  }

  /** The values as a table, of steps that are evenly spaced where there are too many. */
  #tabulate() {
    if (!this.more.open) return;
    const { t } = this.#app;
    const every = Math.ceil(this.#steps.length / ROWS) || 1;
    const shown = this.#steps.filter((_, at) => at % every === 0 || at === this.#steps.length - 1);
    fill(
      this.table,
      el(
        "table",
        { class: "data-table" },
        el("caption", {}, t(every > 1 ? "curves.everyNth" : "curves.all", { name: this.#name, n: every })),
        el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "number" }, t("curves.stepHead")),
          this.#series.map(({ label }) => el("th", { scope: "col", class: "number" }, label)))),
        el("tbody", {}, shown.map((step) =>
          el("tr", {}, el("th", { scope: "row", class: "number" }, number(this.#app, step)),
            this.#series.map(({ steps, values }) => {
              const at = steps.indexOf(step);
              return el("td", { class: "number" }, at < 0 ? "–" : number(this.#app, values[at]));
            })))),
      ),
    );
  }
}

/**
 * Returns a histogram with the same numbers as a table beneath.
 * @param {import("./main.js").App} app
 * @param {{edges: number[], rows: number[]}} lengths
 * @returns {HTMLElement}
 */
export function histogram(app, { edges, rows }) {
  const { t } = app;
  const most = Math.max(1, ...rows);
  const wide = (WIDTH - LEFT - RIGHT) / rows.length;
  const bars = rows.map((count, at) => {
    const high = ((HEIGHT - TOP - BOTTOM) * count) / most;
    return svg("rect", { x: LEFT + at * wide + 1, width: Math.max(1, wide - 2), y: HEIGHT - BOTTOM - high, height: high });
  });
  const label = (x, y, value, anchor) => svg("text", { x, y, "text-anchor": anchor }, number(app, value));
  const ground = HEIGHT - BOTTOM;
  return el(
    "section",
    { class: "histogram", "aria-label": t("data.lengths") },
    svg(
      "svg",
      { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" },
      [0, most].map((count) => label(LEFT - 6, ground - ((ground - TOP) * count) / most + 4, count, "end")),
      svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: ground, y2: ground }),
      bars,
      label(LEFT, HEIGHT - 6, edges[0], "start"),
      label(WIDTH - RIGHT, HEIGHT - 6, edges.at(-1), "end"),
    ),
    el(
      "details",
      {},
      el("summary", {}, t("data.lengthsTable")),
      el("table", { class: "data-table" },
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, t("data.tokens")), el("th", { scope: "col", class: "number" }, t("data.rows")))),
        el("tbody", {}, rows.map((count, at) => count > 0 && el("tr", {},
          el("th", { scope: "row" }, `${number(app, edges[at])} – ${number(app, edges[at + 1] - 1)}`),
          el("td", { class: "number" }, number(app, count)))))),
    ),
  );
}

/** Where an axis begins and ends: a line that is level has room above and below. */
function range(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return [0, 1];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}

/** Three to six round numbers between two. */
function ticks(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((each) => each >= rough);
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high && found.length < 9; at += 1) found.push(at * step || 0); // no -0
  return found;
}

function short(app, value) {
  const size = Math.abs(value);
  if (size && (size < 1e-3 || size >= 1e6)) return value.toExponential(1);
  return value.toLocaleString(app.language, { maximumSignificantDigits: 4 });
}
