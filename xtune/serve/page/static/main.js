/** The page's frame: which view is open, in which language, and how the server does. */

import { Api } from "./api.js";
import { open } from "./dialogs.js";
import { el, fill } from "./dom.js";
import * as keep from "./keep.js";
import { LANGUAGES, firstLanguage, texts } from "./words.js";

/** The views in the order in which they are listed; each is views/NAME.js. */
const VIEWS = ["chat", "compare", "prompt", "runs"];
/** Views that are reached from another one, which is then the current one. */
const WITHIN = { curves: "runs", data: "runs", evaluations: "runs" };

/**
 * What a view is given.
 * @typedef {Object} App
 * @property {Api} api asks the server
 * @property {(key: string, values?: Object) => string} t a text in the reader's language
 * @property {"en"|"zh"} language for dates and numbers
 * @property {() => string[]} models the ids of what is served, the base first
 * @property {(id: string) => {id: string, adapter: boolean, system: string, room: number?,
 *     calls: boolean, tools: boolean}?} about what is known of a model; see page/models.py
 * @property {() => Promise<void>} refresh learns anew what is served
 * @property {(listener: () => void) => (() => void)} onModels calls when they have changed; returns
 *     what ends that
 * @property {typeof keep} keep settings, and what belongs to this tab
 * @property {(text: string) => void} say tells those who listen, once they have heard the rest
 */

class Page {
  #models = [];
  #listeners = new Set();
  #takeDown = () => {};
  #opened = 0;
  #asking = null;
  #state = "well";
  #fading = 0;

  constructor() {
    this.language = firstLanguage(keep.get("language"));
    this.t = texts(this.language);
    this.keep = keep;
    this.api = new Api({
      key: () => keep.getHere("key", ""),
      askKey: (wrong) => (this.#asking ??= this.#askKey(wrong).finally(() => (this.#asking = null))),
      onState: (state, seconds) => this.#show(state, seconds),
    });
    this.place = el("main", { id: "view", tabindex: "-1" });
    this.state = el("p", { id: "state", role: "status" });
    this.heard = el("div", { class: "unseen", role: "log", "aria-live": "polite" });
    this.header = el("header", {});
    document.body.replaceChildren(this.header, this.state, this.place, this.heard);
    this.models = () => this.#models.map(({ id }) => id);
    this.about = (id) => this.#models.find((model) => model.id === id);
    this.onModels = (listener) => {
      this.#listeners.add(listener);
      return () => this.#listeners.delete(listener);
    };
    this.say = (text) => {
      this.heard.append(el("p", {}, text));
      while (this.heard.childElementCount > 5) this.heard.firstElementChild.remove();
    };
    addEventListener("hashchange", () => this.#open(true));
    this.#speak(this.language);
    this.refresh();
  }

  #speak(language) {
    this.language = language;
    this.t = texts(language);
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    const links = VIEWS.map((id) => el("a", { href: `#${id}` }, this.t(`${id}.title`)));
    const others = Object.entries(LANGUAGES).filter(([each]) => each !== language);
    const buttons = others.map(([each, name]) =>
      el("button", { type: "button", class: "quiet", lang: each, onclick: () => this.#choose(each) }, name),
    );
    fill(
      this.header,
      el("a", { href: "#view", class: "skip", onclick: (event) => this.#skip(event) }, this.t("page.skip")),
      el("strong", {}, "xtune"),
      el("nav", { "aria-label": this.t("page.views") }, links),
      el("div", { class: "languages", role: "group", "aria-label": this.t("page.language") }, buttons),
    );
    this.#open(false);
  }

  #choose(language) {
    keep.set("language", language);
    this.#speak(language);
    this.header.querySelector(".languages button").focus();
  }

  #skip(event) {
    event.preventDefault(); // the address names the view
    this.place.focus();
  }

  async #open(moved) {
    const asked = location.hash.slice(1).split(/[/?]/)[0];
    const id = VIEWS.includes(asked) || Object.hasOwn(WITHIN, asked) ? asked : VIEWS[0];
    const mine = (this.#opened += 1);
    for (const link of this.header.querySelectorAll("nav a")) {
      if (link.hash === `#${WITHIN[id] ?? id}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = `${this.t(`${id}.title`)} · xtune`;
    this.#takeDown();
    this.#takeDown = () => {};
    fill(this.place);
    this.place.className = `view-${id}`;
    try {
      const view = await import(`./views/${id}.js`);
      if (mine !== this.#opened) return;
      this.#takeDown = view.mount(this.place, this);
      if (moved) this.place.focus();
    } catch (error) {
      fill(this.place, el("p", { class: "failure" }, this.t("page.failed", { why: error.message })));
      throw error;
    }
  }

  async refresh() {
    let models;
    try {
      ({ models } = await this.api.get("/xtune/models"));
    } catch (error) {
      this.state.textContent = this.t("state.refused", { why: error.message });
      this.state.className = "gone";
      return;
    }
    if (JSON.stringify(models) === JSON.stringify(this.#models)) return;
    this.#models = models;
    for (const listener of [...this.#listeners]) listener();
  }

  #show(state, seconds) {
    const before = this.#state;
    this.#state = state;
    if (state === "well" && before === "well") return;
    const text = state === "well" && before !== "gone" ? "" : this.t(`state.${state}`, { n: seconds });
    // the same text again would be said again
    if (this.state.textContent !== text) this.state.textContent = text;
    this.state.className = state;
    clearTimeout(this.#fading);
    if (state !== "well") return;
    this.#fading = setTimeout(() => (this.state.textContent = ""), 5000);
    if (before !== "busy") this.refresh(); // it may serve others now
  }

  /** Asks for the key; false where the window is closed without one. */
  #askKey(wrong) {
    return new Promise((resolve) => {
      const { t } = this;
      const input = el("input", { type: "password", id: "key", autocomplete: "off", required: true });
      const cancel = el("button", { type: "button", onclick: () => dialog.close() }, t("page.cancel"));
      const form = el(
        "form",
        { method: "dialog" },
        el("div", { class: "field wide" },
          el("label", { for: "key" }, t("page.keyLabel")),
          input,
          el("p", { class: "hint" }, t(wrong ? "page.keyWrong" : "page.keyKept"))),
        el("div", { class: "row" }, el("button", { class: "main", value: "given" }, t("page.enter")), cancel),
      );
      const dialog = open(t("page.key"), [form]);
      dialog.addEventListener("close", () => {
        const isGiven = dialog.returnValue === "given";
        if (isGiven) keep.setHere("key", input.value.trim());
        resolve(isGiven);
      });
    });
  }
}

new Page();
