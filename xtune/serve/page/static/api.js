/**
 * Asks the server: with the key, again where it is busy, loading or away, and in one kind of error.
 *
 *     const { data } = await app.api.get("/v1/models");
 *     for await (const chunk of app.api.stream("/v1/chat/completions", body, { signal })) …
 */

/** The server has refused, or is gone. */
export class ApiFailure extends Error {
  /**
   * @param {string} message what the server says
   * @param {{status?: number, code?: string, param?: string}} [about] status 0: no answer at all
   */
  constructor(message, { status = 0, code = "", param = "" } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
  }
}

const LONGEST = 10; // seconds between two tries

/** What views ask the server with. */
export class Api {
  /**
   * @param {Object} around
   * @param {() => string} around.key the key to send; "" for none
   * @param {(wrong: boolean) => Promise<boolean>} around.askKey has a key been given? `wrong`: the
   *     one that was sent is
   * @param {(state: "well"|"gone"|"loading"|"busy", seconds: number) => void} around.onState how the
   *     server does, with each answer and each try
   */
  constructor({ key, askKey, onState }) {
    this.key = key;
    this.askKey = askKey;
    this.onState = onState;
  }

  /**
   * Returns the JSON at a path.
   * @param {string} path
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<*>}
   * @throws {ApiFailure}
   */
  async get(path, { signal } = {}) {
    return json(await this.#ask(path, { method: "GET", signal }, true));
  }

  /**
   * Returns the text at a path, such as a whole HTML page.
   * @param {string} path
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<string>}
   * @throws {ApiFailure}
   */
  async text(path, { signal } = {}) {
    return (await this.#ask(path, { method: "GET", signal }, true)).text();
  }

  /**
   * Sends an object and returns the answer's JSON.
   * @param {string} path
   * @param {Object} body
   * @param {{signal?: AbortSignal, again?: boolean}} [options] again: false where asking twice does
   *     harm, such as running a tool; then a server that goes away is a failure
   * @returns {Promise<*>}
   * @throws {ApiFailure}
   */
  async post(path, body, { signal, again = true } = {}) {
    return json(await this.#ask(path, posted(body, signal), again));
  }

  /**
   * Sends an object and gives the events of the answer as they come.
   * @param {string} path
   * @param {Object} body `stream: true` is added
   * @param {{signal?: AbortSignal}} [options] aborted: the server frees the row within a step
   * @returns {AsyncGenerator<Object>}
   * @throws {ApiFailure} also where the stream ends before it says that it is done
   */
  async *stream(path, body, { signal } = {}) {
    const response = await this.#ask(path, posted({ ...body, stream: true }, signal), true);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let held = "";
    let isDone = false; // what follows is read all the same: to leave early is to break off
    try {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        held += value;
        const lines = held.split("\n");
        held = lines.pop();
        for (const line of lines) {
          if (!line.startsWith("data: ")) continue; // a comment: it still waits
          const data = line.slice(6);
          if (data === "[DONE]") {
            isDone = true;
            continue;
          }
          const event = JSON.parse(data);
          if (event.error) throw failure(response.status, event);
          yield event;
        }
      }
    } catch (error) {
      if (error instanceof ApiFailure || signal?.aborted) throw error;
    } finally {
      reader.cancel().catch(() => {});
    }
    if (isDone) return;
    // it has ended before it was done: say so, and say when there is somebody again
    this.onState("gone", 0);
    this.get("/health").catch(() => {});
    throw new ApiFailure("", { code: "gone" });
  }

  /** Asks until there is an answer that is the caller's business. */
  async #ask(path, request, again) {
    for (let tries = 1; ; tries += 1) {
      const key = this.key();
      const headers = { ...request.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
      let response;
      try {
        response = await fetch(path, { ...request, headers });
      } catch (error) {
        if (request.signal?.aborted) throw error;
        const seconds = Math.min(2 ** (tries - 1), LONGEST);
        this.onState("gone", seconds);
        if (!again) throw new ApiFailure("", { code: "gone" });
        await pause(seconds, request.signal);
        continue;
      }
      if (response.ok) {
        this.onState("well", 0);
        return response;
      }
      const refused = failure(response.status, await response.json().catch(() => null));
      if (refused.status === 429 || refused.code === "not_ready") {
        const seconds = Number(response.headers.get("Retry-After")) || 2;
        this.onState(refused.status === 429 ? "busy" : "loading", seconds);
        await pause(seconds, request.signal);
        continue;
      }
      this.onState("well", 0);
      if (refused.status === 401 && (key !== this.key() || (await this.askKey(key !== "")))) continue;
      throw refused;
    }
  }
}

function posted(body, signal) {
  const headers = { "Content-Type": "application/json" };
  return { method: "POST", headers, body: JSON.stringify(body), signal };
}

async function json(response) {
  try {
    return await response.json();
  } catch {
    throw new ApiFailure("", { status: response.status, code: "no_json" });
  }
}

function failure(status, body) {
  const { message, code, param } = body?.error ?? {};
  return new ApiFailure(message ?? `HTTP ${status}`, { status, code: code ?? "", param: param ?? "" });
}

/** Waits; ends at once where the caller has lost interest. */
function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const leave = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", leave);
      resolve();
    }, seconds * 1000);
    if (signal?.aborted) leave();
    else signal?.addEventListener("abort", leave, { once: true });
  });
}
