/** What the fleet serves: the form, what it would change, and how the change goes. */

import { useCallback, useEffect, useState } from "preact/hooks";
import { messageOf } from "../api/http";
import type { Live } from "../api/live";
import type { Services } from "../api/services";
import { useStore } from "../api/store";
import type { DesiredState } from "../api/types";
import { Rollout } from "../dashboard/rollout";
import { changesBetween, templateChanges } from "./changes";
import { ChangesView } from "./changes-view";
import { draftFrom, isComplete, stateOf, type Draft } from "./draft";
import { FleetProgress } from "./fleet-progress";
import { LoadedModel } from "./loaded-model";
import { ParametersForm } from "./parameters-form";
import { ReferenceField } from "./reference-field";
import { TemplateEditor } from "./template-editor";

export function ModelPage({ live, services }: { live: Live; services: Services }) {
  const connection = useStore(live.connection);
  const dashboard = useStore(live.dashboard);
  const [saved, setSaved] = useState<DesiredState | null>(null);
  const [draft, setDraft] = useState<Draft | null>(null);
  const [problem, setProblem] = useState<string | null>(null);

  const load = useCallback(async () => {
    try {
      const state = await services.desiredState();
      setSaved(state);
      setDraft((present) => present ?? draftFrom(state));
      setProblem(null);
    } catch (error) {
      setProblem(messageOf(error));
    }
  }, [services]);

  useEffect(() => {
    if (connection !== "down") void load();
  }, [connection, load]);

  return (
    <div class="page model-page">
      <h1>Model</h1>
      {problem !== null && (
        <p class="banner banner-bad" role="alert">
          {problem}
        </p>
      )}
      <div class="columns">
        {saved === null || draft === null ? (
          <p class="muted">Asking what the fleet should serve…</p>
        ) : (
          <StateForm
            saved={saved}
            draft={draft}
            onDraft={setDraft}
            onSave={async (state) => {
              const present = await services.desiredState();
              if (JSON.stringify(present) !== JSON.stringify(saved)) {
                setSaved(present);
                throw new Error(
                  "Somebody else changed the state meanwhile. The changes are now shown " +
                    "against theirs: look again, then apply.",
                );
              }
              await services.putDesiredState(state);
              setSaved(state);
              setDraft(draftFrom(state));
            }}
            live={live}
          />
        )}
        <aside class="model-side" aria-label="The fleet now">
          {dashboard !== null && (
            <>
              <Rollout dashboard={dashboard} />
              <FleetProgress agents={dashboard.agents} />
              <LoadedModel
                agents={dashboard.agents}
                services={services}
                onUseTemplate={(template) =>
                  setDraft((present) =>
                    present === null ? null : { ...present, template, useTemplate: true },
                  )
                }
              />
            </>
          )}
        </aside>
      </div>
    </div>
  );
}

function StateForm({
  saved,
  draft,
  onDraft,
  onSave,
  live,
}: {
  saved: DesiredState;
  draft: Draft;
  onDraft: (draft: Draft) => void;
  onSave: (state: DesiredState) => Promise<void>;
  live: Live;
}) {
  const dashboard = useStore(live.dashboard);
  const [saving, setSaving] = useState(false);
  const [result, setResult] = useState<{ good: boolean; text: string } | null>(null);
  const next = stateOf(draft, saved);
  const changes = next === null ? [] : changesBetween(saved, next);
  const lines = next === null ? [] : templateChanges(saved, next);
  const hasChanges = changes.length > 0 || lines.length > 0;

  const save = async () => {
    if (next === null) return;
    setSaving(true);
    setResult(null);
    try {
      await onSave(next);
      setResult({ good: true, text: "Applied. Agents take it over one after another." });
    } catch (error) {
      setResult({ good: false, text: messageOf(error) });
    } finally {
      setSaving(false);
    }
  };

  return (
    <form
      class="model-form"
      aria-label="What the fleet should serve"
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      <section class="card">
        <h2>Model</h2>
        <ReferenceField
          label="Model"
          value={draft.model}
          onInput={(model) => onDraft({ ...draft, model })}
        />
        <ReferenceField
          label="Multimodal projection"
          value={draft.projection}
          onInput={(projection) => onDraft({ ...draft, projection })}
          note="Only for models that take images."
        />
      </section>
      <section class="card">
        <h2>Chat template</h2>
        <TemplateEditor
          draft={draft}
          onDraft={onDraft}
          saved={saved}
          agents={dashboard?.agents ?? []}
        />
      </section>
      <section class="card">
        <h2>Inference parameters</h2>
        <ParametersForm
          draft={draft.parameters}
          onChange={(parameters) => onDraft({ ...draft, parameters })}
        />
      </section>
      <section class={hasChanges ? "card apply apply-waiting" : "card apply"} aria-label="Changes">
        <h2>Changes</h2>
        {hasChanges ? (
          <ChangesView changes={changes} lines={lines} />
        ) : (
          <p class="muted">
            {isComplete(draft) ? "Nothing is changed." : "Correct what is marked above."}
          </p>
        )}
        <div class="actions">
          <button
            type="submit"
            class="button primary"
            disabled={saving || next === null || !hasChanges}
          >
            Apply to the fleet
          </button>
          <button
            type="button"
            class="button"
            disabled={saving || (next !== null && !hasChanges)}
            onClick={() => {
              onDraft(draftFrom(saved));
              setResult(null);
            }}
          >
            Discard
          </button>
        </div>
        <p
          class={result?.good === false ? "field-error" : "muted"}
          role="status"
          data-testid="apply-result"
        >
          {result?.text ?? ""}
        </p>
      </section>
    </form>
  );
}
