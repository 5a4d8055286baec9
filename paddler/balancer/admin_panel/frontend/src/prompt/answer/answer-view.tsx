/** An answer: reasoning apart, tool calls, what it cost, and what to do with it. */

import type { ComponentChildren } from "preact";
import { Actions } from "../../ui/actions";
import { CopyButton } from "../../ui/copy";
import { Pulse } from "../../ui/pulse";
import { ScrollRegion } from "../../ui/scroll-region";
import { AsWritten, Muted, Problem } from "../../ui/text";
import type { Answer } from "./answer";
import * as styles from "./answer-view.module.css";
import { factsOf } from "./facts";
import { asCurl, asPython } from "./snippets";

export function AnswerView({ answer, actions }: { answer: Answer; actions?: ComponentChildren }) {
  const isRunning = answer.ended === "running";
  const isThinking = isRunning && answer.text === "" && answer.reasoning !== "";
  const isWaiting = isRunning && !answer.text && !answer.reasoning && !answer.toolText;
  return (
    <div class={styles.answer} data-testid="answer" data-ended={answer.ended}>
      {answer.reasoning !== "" && (
        <details class={styles.reasoning} open={isThinking}>
          <summary>{isThinking ? "Thinking…" : "Thinking"}</summary>
          <AsWritten>{answer.reasoning}</AsWritten>
        </details>
      )}
      {isWaiting && <Muted>Waiting for the first token…</Muted>}
      {answer.text !== "" && (
        <AsWritten data-testid="answer-text">
          {answer.text}
          {isRunning && <Pulse class={styles.caret} />}
        </AsWritten>
      )}
      {answer.toolText !== "" && (
        <ScrollRegion tag="pre" label="Tool call" class={styles.toolCall}>
          {answer.toolResult ?? answer.toolText}
        </ScrollRegion>
      )}
      {answer.toolText === "" && answer.toolResult !== null && (
        <Problem>{answer.toolResult}</Problem>
      )}
      {answer.problem !== null && <Problem role="alert">{answer.problem}</Problem>}
      <div class={styles.foot}>
        {isRunning ? (
          <p class={styles.stats}>&nbsp;</p>
        ) : (
          <>
            <p class={styles.stats} data-testid="stats">
              {factsOf(answer).join(" · ")}
            </p>
            <Actions>{actions}</Actions>
          </>
        )}
      </div>
    </div>
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
