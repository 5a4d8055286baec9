/** What differs between two desired states, before the newer one is applied. */

import type { DesiredState } from "../api/messages";
import { compareLines, type LineChange, linesOf, withoutFarLines } from "./line-changes";
import { formatReference } from "./model-reference";
import { PARAMETERS } from "./parameters";

export interface Change {
  name: string;
  before: string;
  after: string;
}

export function changesBetween(before: DesiredState, after: DesiredState): Change[] {
  const changes: Change[] = [];
  const note = (name: string, from: string, to: string) => {
    if (from !== to) changes.push({ name, before: from || "none", after: to || "none" });
  };
  note("Model", formatReference(before.model), formatReference(after.model));
  note(
    "Multimodal projection",
    formatReference(before.multimodal_projection),
    formatReference(after.multimodal_projection),
  );
  note("Chat template", templateChoice(before), templateChoice(after));
  for (const parameter of PARAMETERS) {
    note(
      parameter.label,
      String(before.inference_parameters[parameter.name]),
      String(after.inference_parameters[parameter.name]),
    );
  }
  return changes;
}

/** The changed lines of the kept template, with a line of context around them. */
export function templateChanges(before: DesiredState, after: DesiredState): LineChange[] {
  const from = before.chat_template_override?.content ?? "";
  const to = after.chat_template_override?.content ?? "";
  if (from === to) return [];
  return withoutFarLines(compareLines(linesOf(from), linesOf(to)));
}

function templateChoice(state: DesiredState): string {
  return state.use_chat_template_override ? "override" : "the model's own";
}
