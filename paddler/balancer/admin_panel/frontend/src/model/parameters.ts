/** The inference parameters: meaning, limits and defaults. */

import type { InferenceParameters } from "../api/types";

interface NumberParameter {
  kind: "integer" | "number";
  name: string;
  group: Group;
  label: string;
  meaning: string;
  min: number;
  max: number;
  fallback: number;
}

interface SwitchParameter {
  kind: "switch";
  name: string;
  group: Group;
  label: string;
  meaning: string;
  fallback: boolean;
}

interface ChoiceParameter {
  kind: "choice";
  name: string;
  group: Group;
  label: string;
  meaning: string;
  choices: readonly string[];
  fallback: string;
}

export type Group = "Memory and batches" | "Sampling" | "Embeddings and images";
export type Parameter = NumberParameter | SwitchParameter | ChoiceParameter;

export const GROUPS: readonly Group[] = ["Memory and batches", "Sampling", "Embeddings and images"];

const LARGE = 2 ** 31 - 1;
const CACHE_TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "IQ4_NL", "Q5_0", "Q5_1"];

export const PARAMETERS: readonly Parameter[] = [
  integer(
    "context_size",
    "Memory and batches",
    "Context per slot",
    1,
    LARGE,
    8192,
    "Tokens that a prompt and its answer may have together. Each slot owns this much memory.",
  ),
  integer(
    "n_gpu_layers",
    "Memory and batches",
    "GPU layers",
    -1,
    2 ** 20,
    0,
    "Layers of the model that run on the GPU. 0: CPU only; -1: all.",
  ),
  integer(
    "n_batch",
    "Memory and batches",
    "Batch",
    1,
    2 ** 20,
    2048,
    "Most tokens in one decode step, over all slots.",
  ),
  choice(
    "k_cache_dtype",
    "Memory and batches",
    "Key cache type",
    CACHE_TYPES,
    "Q8_0",
    "Smaller types need less memory per token, at some cost in quality.",
  ),
  choice(
    "v_cache_dtype",
    "Memory and batches",
    "Value cache type",
    CACHE_TYPES,
    "Q8_0",
    "As for keys.",
  ),
  number(
    "temperature",
    "Sampling",
    "Temperature",
    0,
    100,
    0.8,
    "0 always takes the likeliest token; higher is more varied.",
  ),
  integer("top_k", "Sampling", "Top k", 0, LARGE, 80, "Only the k likeliest tokens. 0: off."),
  number(
    "top_p",
    "Sampling",
    "Top p",
    0,
    1,
    0.8,
    "Only the likeliest tokens that together have this probability. 1: off.",
  ),
  number(
    "min_p",
    "Sampling",
    "Min p",
    0,
    1,
    0.05,
    "Only tokens with this part of the likeliest one's probability. 0: off.",
  ),
  number(
    "penalty_repeat",
    "Sampling",
    "Repeat penalty",
    0.001,
    100,
    1.1,
    "Divides the score of tokens seen before. 1: off.",
  ),
  number(
    "penalty_presence",
    "Sampling",
    "Presence penalty",
    -100,
    100,
    0.8,
    "Taken off a token seen before, once. 0: off.",
  ),
  number(
    "penalty_frequency",
    "Sampling",
    "Frequency penalty",
    -100,
    100,
    0,
    "Taken off a token for each time it was seen. 0: off.",
  ),
  integer(
    "penalty_last_n",
    "Sampling",
    "Penalties look back",
    -1,
    LARGE,
    -1,
    "Tokens that the penalties consider. -1: the whole context; 0: none.",
  ),
  toggle(
    "enable_embeddings",
    "Embeddings and images",
    "Embeddings",
    false,
    "Serve embeddings beside generation.",
  ),
  integer(
    "embedding_batch_size",
    "Embeddings and images",
    "Embedding batch",
    1,
    2 ** 20,
    256,
    "How many documents one agent is given at once.",
  ),
  choice(
    "pooling_type",
    "Embeddings and images",
    "Pooling",
    ["Unspecified", "None", "Mean", "Cls", "Last", "Rank"],
    "Last",
    "How the tokens' vectors become one. Unspecified: as the model says.",
  ),
  integer(
    "image_resize_to_fit",
    "Embeddings and images",
    "Image size",
    1,
    2 ** 16,
    1024,
    "Longer side in pixels that images are scaled down to.",
  ),
];

function integer(
  name: string,
  group: Group,
  label: string,
  min: number,
  max: number,
  fallback: number,
  meaning: string,
): Parameter {
  return { kind: "integer", name, group, label, min, max, fallback, meaning };
}

function number(
  name: string,
  group: Group,
  label: string,
  min: number,
  max: number,
  fallback: number,
  meaning: string,
): Parameter {
  return { kind: "number", name, group, label, min, max, fallback, meaning };
}

function choice(
  name: string,
  group: Group,
  label: string,
  choices: readonly string[],
  fallback: string,
  meaning: string,
): Parameter {
  return { kind: "choice", name, group, label, choices, fallback, meaning };
}

function toggle(
  name: string,
  group: Group,
  label: string,
  fallback: boolean,
  meaning: string,
): Parameter {
  return { kind: "switch", name, group, label, fallback, meaning };
}

/** The form's values: numbers as typed. */
export type ParameterDraft = Record<string, string | boolean>;

export function draftOf(parameters: InferenceParameters): ParameterDraft {
  return Object.fromEntries(
    PARAMETERS.map((parameter) => {
      const value = parameters[parameter.name] ?? parameter.fallback;
      return [parameter.name, typeof value === "boolean" ? value : String(value)];
    }),
  );
}

export function problemOf(
  parameter: Parameter,
  typed: string | boolean | undefined,
): string | null {
  if (parameter.kind === "switch" || parameter.kind === "choice") return null;
  const value = numberOf(typed);
  if (value === null) return "Write a number.";
  if (parameter.kind === "integer" && !Number.isInteger(value)) return "Write a whole number.";
  if (value < parameter.min || value > parameter.max) {
    return `From ${parameter.min} to ${parameter.max}.`;
  }
  return null;
}

/** The wire's values, or null while something is wrong. */
export function parametersOf(
  draft: ParameterDraft,
  before: InferenceParameters,
): InferenceParameters | null {
  const parameters: InferenceParameters = { ...before };
  for (const parameter of PARAMETERS) {
    const typed = draft[parameter.name];
    if (problemOf(parameter, typed) !== null) return null;
    if (parameter.kind === "switch") parameters[parameter.name] = typed === true;
    else if (parameter.kind === "choice") parameters[parameter.name] = String(typed);
    else parameters[parameter.name] = numberOf(typed) ?? parameter.fallback;
  }
  return parameters;
}

function numberOf(typed: string | boolean | undefined): number | null {
  if (typeof typed !== "string" || typed.trim() === "") return null;
  const value = Number(typed.trim().replace(",", "."));
  return Number.isFinite(value) ? value : null;
}
