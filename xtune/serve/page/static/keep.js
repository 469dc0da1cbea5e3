/** What lasts: settings for next time, and what belongs to this tab alone. */

const PREFIX = "xtune.";

/**
 * Returns what was kept, or `otherwise`.
 * @param {string} name
 * @param {*} [otherwise]
 * @returns {*}
 */
export const get = (name, otherwise = null) => read(() => localStorage, name, otherwise);

/**
 * Keeps a value for all tabs, also when the browser is started anew.
 * @param {string} name
 * @param {*} value what JSON can hold; `null` forgets it
 */
export const set = (name, value) => write(() => localStorage, name, value);

/** As `get`, of what this tab alone has kept. */
export const getHere = (name, otherwise = null) => read(() => sessionStorage, name, otherwise);

/** As `set`, for this tab alone, until it is closed: a key, a dialogue. */
export const setHere = (name, value) => write(() => sessionStorage, name, value);

// A browser may refuse storage, or have no room for more: then the page forgets, and goes on.
function read(storage, name, otherwise) {
  try {
    const text = storage().getItem(PREFIX + name);
    return text === null ? otherwise : JSON.parse(text);
  } catch {
    return otherwise;
  }
}

function write(storage, name, value) {
  try {
    if (value === null || value === undefined) storage().removeItem(PREFIX + name);
    else storage().setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    /* see above */
  }
}
