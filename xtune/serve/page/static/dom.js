/** Builds nodes. Whatever text comes in, of a user or a model, it stays text. */

const SVG = "http://www.w3.org/2000/svg";
const SAFE = new Set(["http:", "https:", "mailto:", "blob:"]);

/**
 * Whether a link may lead there: no `javascript:`, no `data:`.
 * @param {string} address absolute or relative
 * @returns {boolean}
 */
export function isSafe(address) {
  try {
    return SAFE.has(new URL(address, location.href).protocol);
  } catch {
    return false;
  }
}

/**
 * Returns an element.
 *
 *     el("button", { type: "button", class: "quiet", onclick: stop }, t("chat.stop"))
 *
 * @param {string} tag
 * @param {Object} [attributes] by name; a function is a listener (`onclick`), `true` an attribute
 *     without a value, and `null`, `undefined` and `false` are left out. Style belongs in page.css.
 * @param {...(Node|string|number|null|undefined|false|Array)} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/**
 * Returns an element of a drawing; otherwise as `el`.
 * @param {string} tag
 * @param {Object} [attributes]
 * @param {...(Node|string|number|null|undefined|false|Array)} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * Puts other children into a node.
 * @param {Element} node
 * @param {...(Node|string|number|null|undefined|false|Array)} children
 */
export function fill(node, ...children) {
  node.replaceChildren(...nodes(children));
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") {
      node.addEventListener(name.replace(/^on/, ""), value);
    } else if (name.startsWith("on")) {
      throw new TypeError(`${name} takes a function`);
    } else if (["href", "src"].includes(name) && !isSafe(String(value))) {
      continue;
    } else {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  node.append(...nodes(children));
  return node;
}

function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}
