import { useState } from "preact/hooks";
import { messageOf } from "../api/http";
import type { Live } from "../api/live";
import type { Services } from "../api/services";
import { useStore } from "../store/use-store";
import { Actions } from "../ui/actions";
import { Banner } from "../ui/banner";
import { Button } from "../ui/button";
import { Card } from "../ui/card";
import { Muted, Outcome, Problem } from "../ui/text";
import { changesBetween, templateChanges } from "./changes";
import { ChangesView } from "./changes-view";
import type { DesiredStateForm, Editing } from "./desired-state-form";
import { isComplete, stateOf } from "./draft";
import { ParametersForm } from "./parameters-form";
import { ReferenceField } from "./reference-field";
import * as styles from "./state-form.module.css";
import { useTemplateCheck } from "./template-check";
import { TemplateEditor } from "./template-editor";

/** What the fleet should serve, as it is being changed. */
export function StateForm({
  form,
  now: { saved, draft, isOvertaken },
  live,
  services,
}: {
  form: DesiredStateForm;
  now: Editing;
  live: Live;
  services: Services;
}) {
  const dashboard = useStore(live.dashboard);
  const agents = dashboard?.agents ?? [];
  const [saving, setSaving] = useState(false);
  const [result, setResult] = useState<{ good: boolean; text: string } | null>(null);
  const next = stateOf(draft, saved);
  const changes = next === null ? [] : changesBetween(saved, next);
  const lines = next === null ? [] : templateChanges(saved, next);
  const hasChanges = changes.length > 0 || lines.length > 0;
  const check = useTemplateCheck(services, draft, saved, agents.length > 0);

  const save = async () => {
    if (next === null) return;
    setSaving(true);
    setResult(null);
    try {
      await form.apply(next);
      setResult({ good: true, text: "Applied. Agents take it over one after another." });
    } catch (error) {
      setResult({ good: false, text: messageOf(error) });
    } finally {
      setSaving(false);
    }
  };

  return (
    <form
      class={styles.form}
      aria-label="What the fleet should serve"
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      <Card stacked>
        <h2>Model</h2>
        <ReferenceField
          label="Model"
          value={draft.model}
          onInput={(model) => form.change({ ...draft, model })}
        />
        <ReferenceField
          label="Multimodal projection"
          value={draft.projection}
          onInput={(projection) => form.change({ ...draft, projection })}
          note="Only for models that take images."
        />
      </Card>
      <Card stacked>
        <h2>Chat template</h2>
        <TemplateEditor
          onChange={(changed) => form.change(changed)}
          draft={draft}
          saved={saved}
          agents={agents}
          check={check}
        />
      </Card>
      <Card stacked>
        <h2>Inference parameters</h2>
        <ParametersForm
          draft={draft.parameters}
          onChange={(parameters) => form.change({ ...draft, parameters })}
        />
      </Card>
      <Card stacked class={hasChanges ? styles.waiting : undefined} aria-label="Changes">
        <h2>Changes</h2>
        {isOvertaken && (
          <Banner tone="warning" role="status">
            Somebody else changed the state meanwhile. What you see here is against theirs.
          </Banner>
        )}
        {hasChanges ? (
          <ChangesView changes={changes} lines={lines} />
        ) : (
          <Muted>
            {isComplete(draft) ? "Nothing is changed." : "Correct what is marked above."}
          </Muted>
        )}
        {check.error !== null && (
          <Problem>The chat template cannot be used: {firstLine(check.error)}</Problem>
        )}
        <Actions>
          <Button
            type="submit"
            look="primary"
            disabled={saving || next === null || !hasChanges || check.error !== null}
          >
            Apply to the fleet
          </Button>
          <Button
            disabled={saving || (next !== null && !hasChanges)}
            onClick={() => {
              form.discard();
              setResult(null);
            }}
          >
            Discard
          </Button>
        </Actions>
        <Outcome isGood={result?.good ?? true} data-testid="apply-result">
          {result?.text ?? ""}
        </Outcome>
      </Card>
    </form>
  );
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
