/** The model's own chat template or one written here; its errors beneath it. */

import type { AgentView, DesiredState } from "../api/messages";
import { Callout, Note, Verbatim } from "../ui/callout";
import { TextField } from "../ui/field";
import { RadioGroup } from "../ui/radio-group";
import type { Draft } from "./draft";
import type { TemplateTrial } from "./template-check";
import { Viewer } from "./viewer";

const CHOICES = [
  ["model", "The model's own"],
  ["written", "Written here"],
] as const;

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
      <RadioGroup
        legend="Which chat template is used"
        name="template-choice"
        options={CHOICES}
        chosen={draft.useTemplate ? "written" : "model"}
        onChoose={(choice) => onChange({ ...draft, useTemplate: choice === "written" })}
      />
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
        <Callout summary="This template cannot be used." role="alert" data-testid="template-check">
          <Verbatim>{check.error}</Verbatim>
        </Callout>
      )}
      {check.warning !== null && (
        <Note data-testid="template-warning">
          <p>An agent that tried it on one question of a user says:</p>
          <Verbatim>{check.warning}</Verbatim>
        </Note>
      )}
      {check.preview !== null && (
        <details>
          <summary>What it makes of one question</summary>
          <Viewer tag="pre" label="A question as the template writes it" wrapped>
            {check.preview}
          </Viewer>
        </details>
      )}
      {failure !== null && (
        <Callout
          summary={
            isEdited
              ? "The template applied last does not compile."
              : "This template does not compile."
          }
          role="alert"
          data-testid="template-error"
        >
          <Verbatim>{failure}</Verbatim>
        </Callout>
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
