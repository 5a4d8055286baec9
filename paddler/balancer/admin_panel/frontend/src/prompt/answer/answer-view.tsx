/** An answer: reasoning apart, tool calls, what it cost, and what to do with it. */

import type { ComponentChildren } from "preact";
import { CopyButton } from "../../ui/copy";
import { count, milliseconds, rate } from "../../ui/format";
import type { Answer } from "./answer";
import { asCurl, asPython } from "./snippets";

export function AnswerView({ answer, actions }: { answer: Answer; actions?: ComponentChildren }) {
  const isThinking = answer.ended === "running" && answer.text === "" && answer.reasoning !== "";
  const isWaiting =
    answer.ended === "running" && !answer.text && !answer.reasoning && !answer.toolText;
  return (
    <div class="answer" data-testid="answer" data-ended={answer.ended}>
      {answer.reasoning !== "" && (
        <details class="reasoning" open={isThinking}>
          <summary>{isThinking ? "Thinking…" : "Thinking"}</summary>
          <p class="text">{answer.reasoning}</p>
        </details>
      )}
      {isWaiting && <p class="muted">Waiting for the first token…</p>}
      {answer.text !== "" && (
        <p class="text" data-testid="answer-text">
          {answer.text}
          {answer.ended === "running" && <span class="caret" aria-hidden="true" />}
        </p>
      )}
      {answer.toolText !== "" && (
        <pre class="tool-call" tabIndex={0} aria-label="Tool call">
          {answer.toolResult ?? answer.toolText}
        </pre>
      )}
      {answer.toolText === "" && answer.toolResult !== null && (
        <p class="field-error">{answer.toolResult}</p>
      )}
      {answer.problem !== null && (
        <p class="field-error" role="alert">
          {answer.problem}
        </p>
      )}
      <div class="answer-foot">
        <Stats answer={answer} />
        {answer.ended !== "running" && <div class="actions">{actions}</div>}
      </div>
    </div>
  );
}

function Stats({ answer }: { answer: Answer }) {
  const { usage, timings } = answer;
  if (answer.ended === "running") return <p class="stats">&nbsp;</p>;
  const facts: string[] = [];
  if (answer.ended === "stopped") facts.push("stopped");
  if (usage !== null) {
    const generated =
      usage.content_tokens +
      usage.reasoning_tokens +
      usage.tool_call_tokens +
      usage.undeterminable_tokens;
    facts.push(`${count(generated)} tokens`);
    if (timings !== null) {
      facts.push(`${rate(timings.tokens_per_second)} tokens/s`);
      if (timings.ttft_ms !== null) facts.push(`first after ${milliseconds(timings.ttft_ms)}`);
    }
    facts.push(
      `prompt ${count(usage.prompt_tokens)}, ${count(usage.cached_prompt_tokens)} from cache`,
    );
    if (usage.input_image_tokens > 0) facts.push(`images ${count(usage.input_image_tokens)}`);
  }
  if (answer.agent !== null) {
    facts.push(timings === null ? answer.agent : `${answer.agent}, slot ${timings.slot}`);
  }
  return (
    <p class="stats" data-testid="stats">
      {facts.join(" · ")}
    </p>
  );
}

/** `request` is made when it is copied: with images it is large. */
export function SnippetButtons({ url, request }: { url: string; request: () => unknown }) {
  return (
    <>
      <CopyButton text={() => asCurl(url, request())} label="curl" name="Copy as curl" />
      <CopyButton text={() => asPython(url, request())} label="Python" name="Copy as Python" />
    </>
  );
}
