/** The page's texts, in the reader's language. */

import en from "./words/en.js";
import zh from "./words/zh.js";

const DICTIONARIES = { en, zh };

/** The languages that there are, by their own names. */
export const LANGUAGES = { en: "English", zh: "中文" };

/**
 * Returns the language to begin with.
 * @param {string|null} kept what the reader has chosen before
 * @returns {"en"|"zh"}
 */
export function firstLanguage(kept) {
  if (kept in DICTIONARIES) return kept;
  return (navigator.languages ?? []).some((each) => /^zh\b/i.test(each)) ? "zh" : "en";
}

/**
 * Returns the function that gives texts: t("chat.tokens", { n: 3 }).
 * @param {"en"|"zh"} language
 * @returns {(key: string, values?: Object) => string} key: section.name; {name} in the text is the
 *     value of that name
 */
export function texts(language) {
  return (key, values = {}) => {
    const text = key.split(".").reduce((at, name) => at?.[name], DICTIONARIES[language]);
    if (typeof text !== "string") throw new Error(`there is no text ${key} in ${language}`);
    return text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
  };
}
