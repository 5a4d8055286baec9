/** What the fleet serves: the form, what it would change, and how the change goes. */

import { useEffect, useState } from "preact/hooks";
import { messageOf } from "../api/http";
import type { Live } from "../api/live";
import type { Services } from "../api/services";
import { Rollout } from "../fleet/rollout";
import { useStore } from "../store/use-store";
import { changesBetween, templateChanges } from "./changes";
import { ChangesView } from "./changes-view";
import type { DesiredStateForm, Editing } from "./desired-state-form";
import { isComplete, stateOf } from "./draft";
import { FleetProgress } from "./fleet-progress";
import { LoadedModel } from "./loaded-model";
import { ParametersForm } from "./parameters-form";
import { ReferenceField } from "./reference-field";
import { useTemplateCheck } from "./template-check";
import { TemplateEditor } from "./template-editor";

export function ModelPage({
  live,
  services,
  form,
}: {
  live: Live;
  services: Services;
  form: DesiredStateForm;
}) {
  const dashboard = useStore(live.dashboard);
  const now = useStore(form.editing);
  const failure = useStore(form.problem);
  const revision = dashboard === null ? null : `${dashboard.instance} ${dashboard.state_revision}`;

  // biome-ignore lint/correctness/useExhaustiveDependencies(revision): somebody put another state
  useEffect(() => {
    void form.refresh();
  }, [revision, form]);

  return (
    <div class="page model-page">
      <h1>Model</h1>
      {failure !== null && (
        <p class="banner banner-bad" role="alert">
          {failure}
        </p>
      )}
      <div class="columns">
        {now === null ? (
          <p class="muted">Asking what the fleet should serve…</p>
        ) : (
          <StateForm form={form} now={now} live={live} services={services} />
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
                  now !== null && form.change({ ...now.draft, template, useTemplate: true })
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
          onInput={(model) => form.change({ ...draft, model })}
        />
        <ReferenceField
          label="Multimodal projection"
          value={draft.projection}
          onInput={(projection) => form.change({ ...draft, projection })}
          note="Only for models that take images."
        />
      </section>
      <section class="card">
        <h2>Chat template</h2>
        <TemplateEditor
          onChange={(changed) => form.change(changed)}
          draft={draft}
          saved={saved}
          agents={agents}
          check={check}
        />
      </section>
      <section class="card">
        <h2>Inference parameters</h2>
        <ParametersForm
          draft={draft.parameters}
          onChange={(parameters) => form.change({ ...draft, parameters })}
        />
      </section>
      <section class={hasChanges ? "card apply apply-waiting" : "card apply"} aria-label="Changes">
        <h2>Changes</h2>
        {isOvertaken && (
          <p class="banner banner-warning" role="status">
            Somebody else changed the state meanwhile. What you see here is against theirs.
          </p>
        )}
        {hasChanges ? (
          <ChangesView changes={changes} lines={lines} />
        ) : (
          <p class="muted">
            {isComplete(draft) ? "Nothing is changed." : "Correct what is marked above."}
          </p>
        )}
        {check.error !== null && (
          <p class="field-error">The chat template cannot be used: {firstLine(check.error)}</p>
        )}
        <div class="actions">
          <button
            type="submit"
            class="button primary"
            disabled={saving || next === null || !hasChanges || check.error !== null}
          >
            Apply to the fleet
          </button>
          <button
            type="button"
            class="button"
            disabled={saving || (next !== null && !hasChanges)}
            onClick={() => {
              form.discard();
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

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
