/** The model's own chat template or one written here; its errors beneath it. */

import type { AgentView, DesiredState } from "../api/messages";
import { TextField } from "../ui/field";
import type { Draft } from "./draft";
import type { TemplateTrial } from "./template-check";

export function TemplateEditor({
  draft,
  saved,
  agents,
  check,
  onChange,
}: {
  draft: Draft;
  saved: DesiredState;
  agents: readonly AgentView[];
  check: TemplateTrial;
  onChange: (draft: Draft) => void;
}) {
  const failure = compileError(agents, saved);
  const isEdited = draft.template !== (saved.chat_template_override?.content ?? "");
  const isMissing = draft.useTemplate && draft.template === "";
  return (
    <>
      <fieldset class="choice">
        <legend class="visually-hidden">Which chat template is used</legend>
        <label>
          <input
            type="radio"
            name="template-choice"
            checked={!draft.useTemplate}
            onChange={() => onChange({ ...draft, useTemplate: false })}
          />
          The model's own
        </label>
        <label>
          <input
            type="radio"
            name="template-choice"
            checked={draft.useTemplate}
            onChange={() => onChange({ ...draft, useTemplate: true })}
          />
          Written here
        </label>
      </fieldset>
      <TextField
        label="Template (Jinja)"
        value={draft.template}
        rows={draft.useTemplate ? 14 : 4}
        code
        onInput={(template) => onChange({ ...draft, template })}
        hint={draft.useTemplate ? hintOf(check, agents.length > 0) : "Kept, but not used."}
        error={isMissing ? "Write a template, or use the model's own." : undefined}
      />
      {check.error !== null && (
        <div class="issue" role="alert" data-testid="template-check">
          <p class="issue-summary">This template cannot be used.</p>
          <pre class="issue-error">{check.error}</pre>
        </div>
      )}
      {check.warning !== null && (
        <div class="notice" role="status" data-testid="template-warning">
          <p>An agent that tried it on one question of a user says:</p>
          <pre class="issue-error">{check.warning}</pre>
        </div>
      )}
      {check.preview !== null && (
        <details class="template-preview">
          <summary>What it makes of one question</summary>
          <pre class="viewer" tabIndex={0} aria-label="A question as the template writes it">
            {check.preview}
          </pre>
        </details>
      )}
      {failure !== null && (
        <div class="issue" role="alert" data-testid="template-error">
          <p class="issue-summary">
            {isEdited
              ? "The template applied last does not compile."
              : "This template does not compile."}
          </p>
          <pre class="issue-error">{failure}</pre>
        </div>
      )}
    </>
  );
}

function hintOf(check: TemplateTrial, hasAgents: boolean): string {
  if (!hasAgents) return "No agent is connected that could try it: the first to join will.";
  if (check.isRunning) return "An agent tries it…";
  if (check.error !== null) return "Correct it before it can be applied.";
  if (check.preview !== null) return "An agent tried it: it compiles.";
  return "An agent tries it while you write.";
}

/** What an agent said about the saved template. */
function compileError(agents: readonly AgentView[], saved: DesiredState): string | null {
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
