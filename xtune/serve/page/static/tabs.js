/** Panels next to each other, or, where there is no room for that, one at a time behind tabs. */

import { el, fill } from "./dom.js";

const NARROW = "(max-width: 699px)";
const KEYS = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
let count = 0; // for ids

/**
 * Returns panels that become tabs below 700 pixels.
 * @param {{name: string, node: HTMLElement}[]} panels
 * @param {string} label of all of them
 * @returns {{node: HTMLElement, show: (at: number) => void, takeDown: () => void}}
 */
export function columnsOrTabs(panels, label) {
  const set = (count += 1);
  const narrow = matchMedia(NARROW);
  let chosen = 0;
  const tabs = panels.map(({ name }, at) =>
    el(
      "button",
      { type: "button", role: "tab", id: `tab-${set}-${at}`, "aria-controls": `panel-${set}-${at}`, onclick: () => show(at) },
      name,
    ),
  );
  const list = el("div", { role: "tablist", class: "tabs", "aria-label": label }, tabs);
  const node = el("div", { class: "columns-or-tabs" });
  const columns = el("div", { class: "columns" }, panels.map((panel) => panel.node));

  list.addEventListener("keydown", (event) => {
    if (!(event.key in KEYS)) return;
    event.preventDefault();
    const far = chosen + KEYS[event.key];
    show(Number.isFinite(far) ? (far + tabs.length) % tabs.length : far > 0 ? tabs.length - 1 : 0);
    tabs[chosen].focus();
  });

  function show(at) {
    chosen = at;
    arrange();
  }

  function arrange() {
    for (const [at, { name, node: panel }] of panels.entries()) {
      panel.id = `panel-${set}-${at}`;
      panel.hidden = narrow.matches && at !== chosen;
      panel.setAttribute("role", narrow.matches ? "tabpanel" : "region");
      if (narrow.matches) panel.tabIndex = 0;
      else panel.removeAttribute("tabindex");
      panel.setAttribute("aria-label", name);
      tabs[at].setAttribute("aria-selected", String(at === chosen));
      tabs[at].tabIndex = at === chosen ? 0 : -1;
    }
    fill(node, narrow.matches && list, columns);
  }

  narrow.addEventListener("change", arrange);
  arrange();
  return { node, show, takeDown: () => narrow.removeEventListener("change", arrange) };
}
