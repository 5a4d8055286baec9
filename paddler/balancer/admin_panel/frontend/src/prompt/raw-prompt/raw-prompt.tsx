import { useState } from "preact/hooks";
import { messageOf } from "../../api/http";
import type { Services } from "../../api/services";
import { useStore } from "../../store/use-store";
import { Actions } from "../../ui/actions";
import { Button } from "../../ui/button";
import { Card } from "../../ui/card";
import { TextField } from "../../ui/field";
import { AnswerView, SnippetButtons } from "../answer/answer-view";
import { RAW_PROMPT_PATH, type RawPromptSession } from "./raw-prompt-session";

/** A prompt that reaches the model as it is. */
export function RawPrompt({
  services,
  session,
}: {
  services: Services;
  session: RawPromptSession;
}) {
  const typed = useStore(session.prompt);
  const shown = useStore(session.continuation);
  const [problem, setProblem] = useState<string | null>(null);
  const isRunning = shown?.answer.ended === "running";

  const run = () => {
    try {
      session.run();
      setProblem(null);
    } catch (error) {
      setProblem(messageOf(error));
    }
  };

  return (
    <Card
      tag="form"
      stacked
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
        onInput={(changed) => session.prompt.set(changed)}
        hint="No template is applied; special tokens in the text are parsed."
        error={problem}
      />
      <Actions>
        {isRunning ? (
          <Button look="primary" onClick={() => shown.stop.abort()}>
            Stop
          </Button>
        ) : (
          <Button type="submit" look="primary" disabled={typed === ""}>
            Continue it
          </Button>
        )}
      </Actions>
      {shown !== null && (
        <AnswerView
          answer={shown.answer}
          actions={
            <SnippetButtons url={services.inference(RAW_PROMPT_PATH)} request={() => shown.asked} />
          }
        />
      )}
    </Card>
  );
}
