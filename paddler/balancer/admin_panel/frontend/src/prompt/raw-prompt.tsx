/** A prompt that reaches the model as it is. */

import { useState } from "preact/hooks";
import { messageOf } from "../api/http";
import type { Services } from "../api/services";
import { Store, storedStore, text, useStore } from "../api/store";
import type { RawPromptRequest } from "../api/types";
import { TextField } from "../ui/field";
import { AnswerView, SnippetButtons } from "./answer-view";
import { type Answer, EMPTY_ANSWER, generate } from "./generation";
import { extrasOf, settings } from "./settings";

const PATH = "continue_from_raw_prompt";

const prompt = storedStore("paddler.prompt.raw", "", text);

interface Continuation {
  asked: RawPromptRequest;
  answer: Answer;
  stop: AbortController;
}

/** Goes on while another page is looked at. */
const continuation = new Store<Continuation | null>(null);

export function RawPrompt({ services }: { services: Services }) {
  const typed = useStore(prompt);
  const shown = useStore(continuation);
  const [problem, setProblem] = useState<string | null>(null);
  const isRunning = shown?.answer.ended === "running";

  const run = () => {
    let body: RawPromptRequest;
    try {
      body = { raw_prompt: typed, ...extrasOf(settings.value) };
    } catch (error) {
      setProblem(messageOf(error));
      return;
    }
    setProblem(null);
    const stop = new AbortController();
    const show = (answer: Answer) => continuation.set({ asked: body, answer, stop });
    show(EMPTY_ANSWER);
    void generate(services, { path: PATH, body }, stop.signal, show);
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
        value={typed}
        onInput={(changed) => prompt.set(changed)}
        hint="No template is applied; special tokens in the text are parsed."
        error={problem}
      />
      <div class="actions">
        {isRunning ? (
          <button type="button" class="button primary" onClick={() => shown?.stop.abort()}>
            Stop
          </button>
        ) : (
          <button type="submit" class="button primary" disabled={typed === ""}>
            Continue it
          </button>
        )}
      </div>
      {shown !== null && (
        <AnswerView
          answer={shown.answer}
          actions={<SnippetButtons url={services.inference(PATH)} request={() => shown.asked} />}
        />
      )}
    </form>
  );
}
