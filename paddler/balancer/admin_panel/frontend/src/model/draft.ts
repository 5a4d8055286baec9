/** The form's content: texts as typed, which need not make sense yet. */

import type { DesiredState, Model } from "../api/messages";
import { BadReference, formatReference, parseReference } from "./model-reference";
import { draftOf, PARAMETERS, type ParameterDraft, parametersOf, problemOf } from "./parameters";

export interface Draft {
  model: string;
  projection: string;
  template: string;
  useTemplate: boolean;
  parameters: ParameterDraft;
}

export function draftFrom(state: DesiredState): Draft {
  return {
    model: formatReference(state.model),
    projection: formatReference(state.multimodal_projection),
    template: state.chat_template_override?.content ?? "",
    useTemplate: state.use_chat_template_override,
    parameters: draftOf(state.inference_parameters),
  };
}

/** The desired state that the draft stands for, or null while something is wrong with it. */
export function stateOf(draft: Draft, before: DesiredState): DesiredState | null {
  const model = understood(draft.model);
  const projection = understood(draft.projection);
  const parameters = parametersOf(draft.parameters, before.inference_parameters);
  if (model === null || projection === null || parameters === null) return null;
  if (draft.useTemplate && draft.template === "") return null;
  return {
    ...before,
    chat_template_override: draft.template === "" ? null : { content: draft.template },
    inference_parameters: parameters,
    model,
    multimodal_projection: projection,
    use_chat_template_override: draft.useTemplate,
  };
}

export function isComplete(draft: Draft): boolean {
  return (
    understood(draft.model) !== null &&
    understood(draft.projection) !== null &&
    !(draft.useTemplate && draft.template === "") &&
    PARAMETERS.every((parameter) => problemOf(parameter, draft.parameters[parameter.name]) === null)
  );
}

function understood(text: string): Model | null {
  try {
    return parseReference(text);
  } catch (error) {
    if (error instanceof BadReference) return null;
    throw error;
  }
}
