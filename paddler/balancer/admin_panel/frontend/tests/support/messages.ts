/** Messages as the balancer sends them, each with what a test has to say of it. */

import {
  type AgentView,
  type DashboardSnapshot,
  type DesiredState,
  INFERENCE_PARAMETERS,
  type InferenceParameters,
  type IssueView,
  type ModelView,
  type Sample,
  type Usage,
} from "../../src/api/messages";

export function model(changes: Partial<ModelView> = {}): ModelView {
  return {
    path: "/models/m.gguf",
    name: "M",
    context_tokens: 8192,
    n_parameters: 268e6,
    size_bytes: 252e6,
    can_generate: true,
    can_embed: false,
    supports_images: false,
    has_chat_template: true,
    uses_chat_template_override: false,
    ...changes,
  };
}

export function agent(changes: Partial<AgentView> = {}): AgentView {
  return {
    id: "a1",
    name: "alpha",
    paddler_version: "0.1.0",
    llama_cpp_version: "b1",
    status: "Applied",
    stage: "applied",
    slots_desired: 2,
    slots_processing: 0,
    slots: [],
    tokens_per_s: 0,
    prefill_tokens_per_s: null,
    prompt_cache_bytes: 0,
    model: model(),
    download: null,
    issues: [],
    ...changes,
  };
}

export function issue(changes: Partial<IssueView> = {}): IssueView {
  return {
    kind: "ModelFileDoesNotExist",
    summary: "The model file does not exist.",
    advice: "Copy the file there.",
    subject: "/m.gguf",
    error: null,
    template_content: null,
    ...changes,
  };
}

export function sample(sequence: number): Sample {
  return {
    sequence,
    at_ms: 2000 * sequence,
    processing: 0,
    buffered: 0,
    requests_ended: 0,
    requests_failed: 0,
    ttft_ms: null,
    tokens_per_s: 0,
    cached_share: null,
  };
}

export function dashboard(changes: Partial<DashboardSnapshot> = {}): DashboardSnapshot {
  return {
    instance: "one",
    version: "0.1.0",
    model_path: "None",
    state_revision: 1,
    buffer: { waiting: 0, capacity: 30, timeout_ms: 10_000 },
    slots_total: 0,
    slots_processing: 0,
    tokens_per_s: 0,
    rollout: { applied: 0, applying: 0, failed: 0, kept_back: 0, waiting: 0 },
    agents: [],
    sample: null,
    ...changes,
  };
}

export const PARAMETERS = Object.fromEntries(
  Object.entries(INFERENCE_PARAMETERS).map(([name, { fallback }]) => [name, fallback]),
) as unknown as InferenceParameters;

export function desiredState(changes: Partial<DesiredState> = {}): DesiredState {
  return {
    chat_template_override: null,
    inference_parameters: PARAMETERS,
    model: "None",
    multimodal_projection: "None",
    use_chat_template_override: false,
    ...changes,
  };
}

export const USAGE: Usage = {
  prompt_tokens: 12,
  cached_prompt_tokens: 8,
  input_image_tokens: 0,
  input_audio_tokens: 0,
  content_tokens: 5,
  reasoning_tokens: 1,
  tool_call_tokens: 0,
  undeterminable_tokens: 0,
};
