/**
 * Tools in the chat: what a model calls is called for it, after a reader's yes where that is needed,
 * and the model reads what came of it. The same rules as `xtune chat --lagent` (xtune/agents).
 */

import { ask } from "./ask.js";
import { codeBlock } from "./code.js";
import { el, fill } from "./dom.js";

const MOST = 10; // answers to one question
const KEPT = "tools";
const offers = new WeakMap(); // by app: a promise of what the server offers
const waiting = new WeakMap(); // by step: what takes the reader's decision

/**
 * A call, and what came of it; a turn of a dialogue.
 * @typedef {Object} Step
 * @property {"tool"} role
 * @property {string} id of the call
 * @property {string} name
 * @property {string} arguments JSON, as the model has written it
 * @property {"asking"|"running"|"done"|"refused"|"repeat"|"stopped"} state
 * @property {string} content what the model reads of it
 * @property {boolean} ok
 * @property {number} seconds
 * @property {string[]} files paths that the server has them at
 * @property {""|"done"} end
 */

/** What the server offers; the key is asked for, as for all else. */
function offered(app) {
  if (!offers.has(app)) {
    const asked = app.api.get("/xtune/tools").then(({ data }) => data);
    offers.set(app, asked);
    asked.catch(() => offers.delete(app));
  }
  return offers.get(app);
}

const isOn = (app, model) => Boolean(app.about(model)?.tools) && app.keep.get(KEPT, false);

/**
 * Returns the switch that gives a model tools.
 * @param {import("./main.js").App} app
 * @param {string} model
 * @returns {HTMLElement}
 */
export function toolSwitch(app, model) {
  const { t, keep } = app;
  const about = app.about(model);
  const hint = el("p", { class: "hint", id: "tools-about" }, t(about?.calls ? "steps.none" : "steps.cannot"));
  const box = el("input", { type: "checkbox", id: "tools", "aria-describedby": "tools-about", disabled: !about?.tools });
  box.checked = isOn(app, model);
  box.addEventListener("change", () => keep.set(KEPT, box.checked || null));
  if (about?.tools) {
    offers.delete(app); // it may be another server by now
    const named = (tools, asks) => tools.filter((tool) => tool.needs_approval === asks).map(({ name }) => name).join(", ");
    offered(app).then(
      (tools) => (hint.textContent = t("steps.offered", { free: named(tools, false) || "–", asked: named(tools, true) || "–" })),
      (error) => (hint.textContent = error.message),
    );
  }
  return el("div", { class: "field wide" }, el("label", { for: "tools" }, box, " ", t("steps.switch")), hint);
}

/**
 * Returns the descriptions of the tools that a model is given: none unless they are switched on.
 * @param {import("./main.js").App} app
 * @param {string} model
 * @returns {Promise<Object[]>} in OpenAI's form
 */
export async function schemasFor(app, model) {
  return isOn(app, model) ? (await offered(app)).map(({ schema }) => schema) : [];
}

/**
 * Asks for an answer, with tools where they are switched on; otherwise as `ask`.
 * @param {import("./main.js").App} app
 * @param {Object} body
 * @param {{signal?: AbortSignal, onPart?: (answer: import("./ask.js").Answer) => void}} [options]
 * @returns {Promise<import("./ask.js").Answer>}
 */
export async function askWithTools(app, body, options) {
  try {
    const tools = await schemasFor(app, body.model);
    return await ask(app, tools.length ? { ...body, tools } : body, options);
  } catch (error) {
    const answer = failed(body.model, error.message, error.code);
    options?.onPart?.(answer);
    return answer;
  }
}

/**
 * Makes the calls of a dialogue's last answer, each a turn of its own.
 * @param {import("./main.js").App} app
 * @param {Object[]} turns of the dialogue; steps are added
 * @param {{signal: AbortSignal, changed: () => void}} around changed: turns came, or one has ended
 * @returns {Promise<boolean>} whether the model is to be asked again
 */
export async function makeCalls(app, turns, { signal, changed }) {
  const answer = turns.at(-1);
  if (answer.end !== "tool_calls" || !answer.calls.length || !isOn(app, answer.model)) return false;
  const begin = turns.findLastIndex((turn) => turn.role === "user");
  let why = "";
  let code = "";
  for (const call of answer.calls) {
    const before = turns.slice(begin).filter((turn) => turn.role === "tool");
    const step = { role: "tool", ...call, state: "running", content: "", ok: true, seconds: 0, files: [], end: "" };
    turns.push(step);
    changed();
    try {
      if (await make(app, step, before, { signal, changed })) why = app.t("steps.stuck", { name: step.name });
    } catch (error) {
      Object.assign(step, { ok: false, content: error.message });
      why = error.message || app.t("steps.gone");
      code = "tool";
    }
    if (signal.aborted) Object.assign(step, { state: "stopped", ok: false, content: "The user stopped this call." });
    else if (step.state === "running") step.state = "done";
    step.end = "done";
    if (signal.aborted) return false;
    changed();
    if (code) break;
  }
  const count = turns.slice(begin).filter((turn) => turn.role === "assistant").length;
  if (!why && count >= MOST) why = app.t("steps.limit", { n: MOST });
  if (!why) return true;
  turns.push({ role: "assistant", ...failed(answer.model, why, code || "steps") });
  return false;
}

/** Makes a call or says why not; true where the model has asked for it a third time. */
async function make(app, step, before, { signal, changed }) {
  const key = keyOf(step);
  const same = before.filter((each) => keyOf(each) === key);
  const known = same.find((each) => each.state === "done" && each.ok);
  if (known || same.length >= 2) {
    const result = known ? ` Its result was: ${known.content}` : "";
    const content = `You have made this very call before.${result}\nUse that, or do something else.`;
    Object.assign(step, { state: "repeat", ok: false, content });
    return same.length >= 2;
  }
  const tools = await offered(app);
  const tool = tools.find(({ name }) => name === step.name);
  if (!tool) {
    const names = tools.map(({ name }) => name).join(", ");
    Object.assign(step, { ok: false, content: `there is no tool '${step.name}'; there are: ${names}` });
    return false;
  }
  if (tool.needs_approval) {
    step.state = "asking";
    const deciding = decision(step, signal);
    changed();
    app.say(app.t("steps.asks", { name: step.name }));
    const { allowed, reason } = await deciding;
    if (!allowed) {
      const content = `The user refused this call${reason ? `: ${reason}` : ""}. Do not ask for it again.`;
      Object.assign(step, { state: "refused", ok: false, content });
      return false;
    }
    step.state = "running";
    changed();
  }
  const body = { arguments: step.arguments, ...(tool.needs_approval ? { approved: true } : {}) };
  const path = `/xtune/tools/${encodeURIComponent(step.name)}`;
  Object.assign(step, await app.api.post(path, body, { signal, again: false }));
  return false;
}

/** What a reader says to a call; a refusal where the answer is stopped before. */
function decision(step, signal) {
  return new Promise((resolve) => {
    const decide = (allowed, reason = "") => {
      waiting.delete(step);
      resolve({ allowed, reason });
    };
    waiting.set(step, decide);
    signal.addEventListener("abort", () => decide(false), { once: true });
  });
}

const failed = (model, why, code) => ({
  model, content: "", thinking: "", calls: [], end: "failed", why, code, tokens: 0, seconds: 0,
});

/** The same for calls that mean the same: blanks around texts, and the order of names, do not count. */
function keyOf({ name, arguments: text }) {
  try {
    const given = Object.entries(JSON.parse(text || "{}"));
    const plain = given.map(([each, value]) => [each, typeof value === "string" ? value.trim() : value]);
    return JSON.stringify([name, plain.sort()]);
  } catch {
    return JSON.stringify([name, text]);
  }
}

/**
 * Returns the node of a step, folded unless it waits for the reader.
 * @param {import("./main.js").App} app
 * @param {Step} step
 * @returns {{node: HTMLElement, show: (step: Step) => void, view: null}}
 */
export function stepNode(app, step) {
  const { t } = app;
  const words = { copy: t("answer.copy"), copied: t("answer.copied") };
  const state = el("span", { class: "step-state" });
  const result = el("div", {});
  const details = el(
    "details",
    { class: "step" },
    el("summary", {}, t("steps.call", { name: step.name }), " ", state),
    codeBlock(pretty(step.arguments), t("steps.arguments"), words),
    result,
  );
  const approval = el("div", { class: "approval" });
  const label = t("steps.call", { name: step.name });
  const node = el("article", { class: "turn tool", "aria-label": label, tabindex: "-1" }, details, approval);
  let shown = "";
  const show = (now) => {
    const isAsking = now.state === "asking" && waiting.has(now);
    state.textContent = stateOf(app, now);
    node.classList.toggle("bad", !now.ok);
    const key = `${now.state} ${isAsking} ${now.end}`;
    if (key === shown) return;
    if (isAsking) details.open = true; // what one is asked about is to be seen
    else if (shown.startsWith("asking")) details.open = false;
    shown = key;
    fill(approval, isAsking && asks(app, now, () => details.querySelector("summary").focus()));
    fill(
      result,
      now.content && codeBlock(now.content, t(now.ok ? "steps.result" : "steps.error"), words),
      now.files.map((path) => fileButton(app, path)),
    );
  };
  show(step);
  return { node, show, view: null };
}

function asks(app, step, after) {
  const { t } = app;
  const reason = el("input", { type: "text", id: `reason-${step.id}`, autocomplete: "off" });
  const decide = (allowed) => {
    const decides = waiting.get(step);
    after();
    decides?.(allowed, reason.value.trim());
  };
  reason.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) decide(false);
  });
  return el(
    "div",
    { role: "group", "aria-label": t("steps.asks", { name: step.name }) },
    el("p", {}, t("steps.asks", { name: step.name })),
    el(
      "div",
      { class: "row" },
      el("button", { type: "button", class: "main", onclick: () => decide(true) }, t("steps.allow")),
      el("button", { type: "button", onclick: () => decide(false) }, t("steps.refuse")),
      el("label", { for: reason.id }, t("steps.reason")),
      reason,
    ),
  );
}

function stateOf({ t }, { state, ok, seconds }) {
  if (state !== "done") return t(`steps.${state}`);
  return t(ok ? "steps.done" : "steps.failed", { n: seconds.toFixed(seconds < 0.1 ? 3 : 1) });
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text || "{}"), null, 1);
  } catch {
    return text;
  }
}

/** Saves a file that a tool has made; it is not shown, whatever it is. */
function fileButton(app, path) {
  const name = decodeURIComponent(path.split("/").at(-1));
  const save = async () => {
    const key = app.api.key();
    const response = await fetch(path, { headers: key ? { Authorization: `Bearer ${key}` } : {} });
    const address = URL.createObjectURL(await response.blob());
    el("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  };
  return el("button", { type: "button", class: "quiet", onclick: save }, app.t("steps.save", { name }));
}
