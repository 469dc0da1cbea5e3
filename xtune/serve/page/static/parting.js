/** Where two answers part, and how likely each was to go on as it did. */

const BYTES = new TextEncoder();

/**
 * What a model has written, with what the API's `logprobs` say of its tokens.
 * @typedef {{text: string, tokens: {token: string, logprob: number, bytes: number[],
 *     top_logprobs: {token: string, logprob: number}[]}[]}} Written
 */

/**
 * Returns where two texts part; -1 where they are the same.
 * @param {string} one
 * @param {string} other
 * @returns {number} of UTF-16 units, never within a character
 */
export function partingPlace(one, other) {
  if (one === other) return -1;
  let at = 0;
  while (at < one.length && one[at] === other[at]) at += 1;
  return at && /[\uD800-\uDBFF]/.test(one[at - 1]) ? at - 1 : at;
}

/**
 * Returns what stands at a place: the token, or the word where the tokens are not known.
 * @param {Written} written
 * @param {number} place
 * @returns {{from: number, to: number, token: Object|null}} from = to where the text has ended
 */
export function standsAt({ text, tokens }, place) {
  const bytes = BYTES.encode(text);
  const at = BYTES.encode(text.slice(0, place)).length;
  let end = 0;
  for (const token of tokens) {
    const begin = end;
    end += token.bytes.length;
    if (begin < bytes.length && token.bytes.some((byte, n) => bytes[begin + n] !== byte)) break; // not of this text
    if (end <= at) continue;
    return { from: characters(bytes, begin), to: characters(bytes, Math.min(end, bytes.length), 1), token };
  }
  const word = [...new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)].find(
    ({ index, segment }) => index + segment.length > place,
  );
  return { from: word?.index ?? place, to: word ? word.index + word.segment.length : place, token: null };
}

/**
 * Returns the likeliest tokens of two answers at one place, with how likely each answer's model
 * found them; null: less likely than what the server lists.
 * @param {Object} here a token, as `standsAt` gives it
 * @param {Object|null} there
 * @returns {{token: string, here: number|null, there: number|null}[]} probabilities, 0 to 1
 */
export function odds(here, there) {
  const [own, other] = [here, there].map(likely);
  const names = [...new Set([...own.keys(), ...other.keys()])];
  return names
    .map((token) => ({ token, here: own.get(token) ?? null, there: other.get(token) ?? null }))
    .sort((one, two) => Math.max(two.here, two.there) - Math.max(one.here, one.there));
}

const likely = (token) =>
  new Map((token ? [...token.top_logprobs, token] : []).map((each) => [each.token, Math.exp(each.logprob)]));

/** How many UTF-16 units there are before a byte; of a character in two tokens, none or all of it. */
function characters(bytes, at, step = -1) {
  let cut = at;
  while (cut > 0 && cut < bytes.length && (bytes[cut] & 0xc0) === 0x80) cut += step;
  return new TextDecoder().decode(bytes.subarray(0, cut)).length;
}

/**
 * Returns two dialogues as a row of preference data; see docs/en/preference.md.
 * @param {Object[]} better messages, with the answer that is chosen at their end
 * @param {Object[]} worse
 * @returns {{prompt: Object[], chosen: Object[], rejected: Object[]}|null} null: they say the same
 */
export function preferenceRow(better, worse) {
  let alike = better.findIndex((message, at) => JSON.stringify(message) !== JSON.stringify(worse[at]));
  if (alike < 0) return null;
  while (alike && better[alike - 1].role === "assistant") alike -= 1;
  return { prompt: better.slice(0, alike), chosen: better.slice(alike), rejected: worse.slice(alike) };
}
