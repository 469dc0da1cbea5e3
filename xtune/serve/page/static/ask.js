/** Has a model answer, and gathers what comes of it. */

/**
 * What has come of an answer.
 * @typedef {Object} Answer
 * @property {string} content
 * @property {string} thinking what was thought before; "" for nothing
 * @property {{id: string, name: string, arguments: string}[]} calls of tools; arguments are JSON
 * @property {""|"stop"|"length"|"tool_calls"|"stopped"|"failed"} end "" while it is written;
 *     "stopped" by the reader
 * @property {string} why it has failed; "" otherwise
 * @property {string} code of the failure, as the API has it; "gone" where the server went away
 * @property {number} tokens
 * @property {number} seconds from the first of them to the last
 */

/**
 * Asks for an answer; never throws: a failure is the answer's end.
 *
 *     const answer = await ask(app, { model, messages, ...samplingValues }, { signal, onPart });
 *
 * @param {import("./main.js").App} app
 * @param {Object} body of POST /v1/chat/completions
 * @param {{signal?: AbortSignal, onPart?: (answer: Answer) => void,
 *     onChoice?: (choice: Object) => void}} [options] onPart is called with what there is, as often
 *     as there is more; onChoice with what the API sends: `logprobs`
 * @returns {Promise<Answer>}
 */
export async function ask(app, body, { signal, onPart = () => {}, onChoice = () => {} } = {}) {
  const answer = { content: "", thinking: "", calls: [], end: "", why: "", code: "", tokens: 0, seconds: 0 };
  let first = 0;
  try {
    const asked = { ...body, stream_options: { include_usage: true } };
    for await (const chunk of app.api.stream("/v1/chat/completions", asked, { signal })) {
      if (chunk.usage) answer.tokens = chunk.usage.completion_tokens;
      const [choice] = chunk.choices;
      if (!choice) continue;
      onChoice(choice);
      const { content, reasoning_content: thought, tool_calls: calls } = choice.delta;
      if ((content || thought || calls) && !first) first = performance.now();
      if (thought) answer.thinking += thought;
      if (content) answer.content += content;
      for (const call of calls ?? []) gather(answer.calls, call);
      if (choice.finish_reason) answer.end = choice.finish_reason;
      if (first) answer.seconds = (performance.now() - first) / 1000;
      onPart(answer);
    }
  } catch (error) {
    answer.end = signal?.aborted ? "stopped" : "failed";
    if (answer.end === "failed") {
      answer.why = error.message;
      answer.code = error.code ?? "";
    }
  }
  onPart(answer);
  return answer;
}

/** A call comes as its name, and then its arguments in pieces. */
function gather(calls, { index, id, function: { name, arguments: text } = {} }) {
  calls[index] ??= { id: id ?? "", name: "", arguments: "" };
  if (name) calls[index].name = name;
  if (text) calls[index].arguments += text;
}
