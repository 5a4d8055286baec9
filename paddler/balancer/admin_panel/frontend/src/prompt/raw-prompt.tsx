/** A prompt that reaches the model as it is. */

import { useEffect, useRef, useState } from "preact/hooks";
import { messageOf } from "../api/http";
import type { Services } from "../api/services";
import { storedStore, useStore } from "../api/store";
import type { RawPromptRequest } from "../api/types";
import { TextField } from "../ui/field";
import { AnswerView, SnippetButtons } from "./answer-view";
import { EMPTY_ANSWER, generate, type Answer } from "./generation";
import { extrasOf, settings } from "./settings";
import { asCurl, asPython } from "./snippets";

const PATH = "continue_from_raw_prompt";

const prompt = storedStore("paddler.prompt.raw", "");

export function RawPrompt({ services }: { services: Services }) {
  const text = useStore(prompt);
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [asked, setAsked] = useState<RawPromptRequest | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const stop = useRef<AbortController | null>(null);
  const isRunning = answer?.ended === "running";

  useEffect(() => () => stop.current?.abort(), []);

  const run = () => {
    let body: RawPromptRequest;
    try {
      body = { raw_prompt: text, ...extrasOf(settings.value) };
    } catch (error) {
      setProblem(messageOf(error));
      return;
    }
    setProblem(null);
    setAsked(body);
    setAnswer(EMPTY_ANSWER);
    stop.current = new AbortController();
    void generate(services, { path: PATH, body }, stop.current.signal, setAnswer);
  };

  return (
    <form
      class="card raw"
      onSubmit={(event) => {
        event.preventDefault();
        run();
      }}
    >
      <TextField
        label="Prompt"
        rows={8}
        code
        value={text}
        onInput={(typed) => prompt.set(typed)}
        hint="No template is applied; special tokens in the text are parsed."
        error={problem}
      />
      <div class="actions">
        {isRunning ? (
          <button type="button" class="button primary" onClick={() => stop.current?.abort()}>
            Stop
          </button>
        ) : (
          <button type="submit" class="button primary" disabled={text === ""}>
            Continue it
          </button>
        )}
      </div>
      {answer !== null && (
        <AnswerView
          answer={answer}
          actions={
            asked !== null && (
              <div class="actions">
                <SnippetButtons
                  curl={asCurl(services.inference(PATH), asked)}
                  python={asPython(services.inference(PATH), asked)}
                />
              </div>
            )
          }
        />
      )}
    </form>
  );
}
