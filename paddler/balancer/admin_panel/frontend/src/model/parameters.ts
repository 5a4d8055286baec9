/** The inference parameters as a form shows them; their limits and defaults are the balancer's. */

import { INFERENCE_PARAMETERS, type InferenceParameters } from "../api/messages";

export type ParameterName = keyof InferenceParameters;

export const GROUPS = ["Memory and batches", "Sampling", "Embeddings and images"] as const;

interface Description {
  group: (typeof GROUPS)[number];
  label: string;
  meaning: string;
}

interface NumberLimits {
  kind: "integer" | "number";
  min?: number;
  /** Like `min`, but itself out of bounds. */
  above?: number;
  max: number;
  fallback: number;
}

interface ChoiceLimits {
  kind: "choice";
  choices: readonly string[];
  fallback: string;
}

interface SwitchLimits {
  kind: "switch";
  fallback: boolean;
}

export type Parameter = { name: ParameterName } & Description &
  (NumberLimits | ChoiceLimits | SwitchLimits);

/** In the order of the form. */
const DESCRIPTIONS: Record<ParameterName, Description> = {
  context_size: {
    group: "Memory and batches",
    label: "Context per slot",
    meaning:
      "Tokens that a prompt and its answer may have together. Each slot owns this much memory.",
  },
  n_gpu_layers: {
    group: "Memory and batches",
    label: "GPU layers",
    meaning: "Layers of the model that run on the GPU. 0: CPU only; -1: all.",
  },
  n_batch: {
    group: "Memory and batches",
    label: "Batch",
    meaning: "Most tokens in one decode step, over all slots.",
  },
  k_cache_dtype: {
    group: "Memory and batches",
    label: "Key cache type",
    meaning: "Smaller types need less memory per token, at some cost in quality.",
  },
  v_cache_dtype: {
    group: "Memory and batches",
    label: "Value cache type",
    meaning: "As for keys.",
  },
  temperature: {
    group: "Sampling",
    label: "Temperature",
    meaning: "0 always takes the likeliest token; higher is more varied.",
  },
  top_k: {
    group: "Sampling",
    label: "Top k",
    meaning: "Only the k likeliest tokens. 0: off.",
  },
  top_p: {
    group: "Sampling",
    label: "Top p",
    meaning: "Only the likeliest tokens that together have this probability. 1: off.",
  },
  min_p: {
    group: "Sampling",
    label: "Min p",
    meaning: "Only tokens with this part of the likeliest one's probability. 0: off.",
  },
  penalty_repeat: {
    group: "Sampling",
    label: "Repeat penalty",
    meaning: "Divides the score of tokens seen before. 1: off.",
  },
  penalty_presence: {
    group: "Sampling",
    label: "Presence penalty",
    meaning: "Taken off a token seen before, once. 0: off.",
  },
  penalty_frequency: {
    group: "Sampling",
    label: "Frequency penalty",
    meaning: "Taken off a token for each time it was seen. 0: off.",
  },
  penalty_last_n: {
    group: "Sampling",
    label: "Penalties look back",
    meaning: "Tokens that the penalties consider. -1: the whole context; 0: none.",
  },
  enable_embeddings: {
    group: "Embeddings and images",
    label: "Embeddings",
    meaning: "Serve embeddings beside generation.",
  },
  embedding_batch_size: {
    group: "Embeddings and images",
    label: "Embedding batch",
    meaning: "How many documents one agent is given at once.",
  },
  pooling_type: {
    group: "Embeddings and images",
    label: "Pooling",
    meaning: "How the tokens' vectors become one. Unspecified: as the model says.",
  },
  image_resize_to_fit: {
    group: "Embeddings and images",
    label: "Image size",
    meaning: "Longer side in pixels that images are scaled down to.",
  },
};

export const PARAMETERS: readonly Parameter[] = (Object.keys(DESCRIPTIONS) as ParameterName[]).map(
  (name) => ({ name, ...DESCRIPTIONS[name], ...INFERENCE_PARAMETERS[name] }),
);

/** The form's values: numbers as typed. */
export type ParameterDraft = Record<ParameterName, string | boolean>;

export function draftOf(parameters: InferenceParameters): ParameterDraft {
  const values = PARAMETERS.map(({ name, fallback }) => {
    // An older balancer may not know the parameter yet.
    const value = parameters[name] ?? fallback;
    return [name, typeof value === "boolean" ? value : String(value)];
  });
  return Object.fromEntries(values) as ParameterDraft;
}

/** What is wrong with a value as typed, or null. */
export function problemOf(parameter: Parameter, typed: string | boolean): string | null {
  if (parameter.kind === "switch" || parameter.kind === "choice") return null;
  const value = numberOf(typed);
  if (value === null) return "Write a number.";
  if (parameter.kind === "integer" && !Number.isInteger(value)) return "Write a whole number.";
  const { min = Number.NEGATIVE_INFINITY, above = Number.NEGATIVE_INFINITY, max } = parameter;
  if (value >= min && value > above && value <= max) return null;
  return parameter.above === undefined ? `From ${min} to ${max}.` : `Above ${above}, up to ${max}.`;
}

/** The wire's values, or null while something is wrong. */
export function parametersOf(
  draft: ParameterDraft,
  before: InferenceParameters,
): InferenceParameters | null {
  if (PARAMETERS.some((parameter) => problemOf(parameter, draft[parameter.name]) !== null)) {
    return null;
  }
  const values = PARAMETERS.map((parameter) => [parameter.name, chosenValue(parameter, draft)]);
  return { ...before, ...(Object.fromEntries(values) as InferenceParameters) };
}

function chosenValue(parameter: Parameter, draft: ParameterDraft): string | number | boolean {
  const typed = draft[parameter.name];
  if (parameter.kind === "switch" || parameter.kind === "choice") return typed;
  return numberOf(typed) ?? parameter.fallback;
}

function numberOf(typed: string | boolean): number | null {
  if (typeof typed !== "string" || typed.trim() === "") return null;
  const value = Number(typed.trim().replace(",", "."));
  return Number.isFinite(value) ? value : null;
}
