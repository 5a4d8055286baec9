/** The model's own chat template or one written here; its errors beneath it. */

import type { Agent, DesiredState } from "../api/types";
import { TextField } from "../ui/field";
import type { Draft } from "./draft";

export function TemplateEditor({
  draft,
  onDraft,
  saved,
  agents,
}: {
  draft: Draft;
  onDraft: (draft: Draft) => void;
  saved: DesiredState;
  agents: readonly Agent[];
}) {
  const failure = compileError(agents, saved);
  const isEdited = draft.template !== (saved.chat_template_override?.content ?? "");
  return (
    <>
      <fieldset class="choice">
        <legend class="visually-hidden">Which chat template is used</legend>
        <label>
          <input
            type="radio"
            name="template-choice"
            checked={!draft.useTemplate}
            onChange={() => onDraft({ ...draft, useTemplate: false })}
          />
          The model's own
        </label>
        <label>
          <input
            type="radio"
            name="template-choice"
            checked={draft.useTemplate}
            onChange={() => onDraft({ ...draft, useTemplate: true })}
          />
          Written here
        </label>
      </fieldset>
      <TextField
        label="Template (Jinja)"
        value={draft.template}
        rows={draft.useTemplate ? 14 : 4}
        code
        onInput={(template) => onDraft({ ...draft, template })}
        hint={
          draft.useTemplate
            ? "Agents compile it when it is applied; the first one to fail stops the rollout."
            : "Kept, but not used."
        }
        error={draft.useTemplate && draft.template === "" ? "Write a template, or use the model's own." : null}
      />
      {failure !== null && (
        <div class="issue" role="alert" data-testid="template-error">
          <p class="issue-summary">
            {isEdited ? "The template applied last does not compile." : "This template does not compile."}
          </p>
          <pre class="issue-error">{failure}</pre>
        </div>
      )}
    </>
  );
}

/** What an agent said about the saved template. */
function compileError(agents: readonly Agent[], saved: DesiredState): string | null {
  for (const agent of agents) {
    for (const issue of agent.issues) {
      if (
        issue.kind === "ChatTemplateDoesNotCompile" &&
        (!saved.use_chat_template_override ||
          issue.template_content === (saved.chat_template_override?.content ?? null))
      ) {
        return issue.error;
      }
    }
  }
  return null;
}
