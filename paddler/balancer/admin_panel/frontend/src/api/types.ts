/** The wire shapes the panel reads and writes: docs/admin-panel.md and the contract. */

export type AgentStatus =
  | "Fresh"
  | "Applied"
  | "AttemptedAndRetrying"
  | "Stuck"
  | "AttemptedAndNotAppliable";

export type RolloutStage = "applied" | "applying" | "failed" | "kept_back" | "waiting";

export interface Slot {
  state: "free" | "prefill" | "decode";
  cached_tokens: number;
}

export interface AgentModel {
  path: string;
  name: string;
  context_tokens: number;
  n_parameters: number;
  size_bytes: number;
  can_generate: boolean;
  can_embed: boolean;
  supports_images: boolean;
  has_chat_template: boolean;
  uses_chat_template_override: boolean;
}

export interface Download {
  filename: string;
  current_bytes: number;
  total_bytes: number;
  indeterminate: boolean;
}

export interface Issue {
  kind: string;
  summary: string;
  advice: string;
  subject: string;
  error: string | null;
  template_content: string | null;
}

export interface Agent {
  id: string;
  name: string | null;
  paddler_version: string;
  llama_cpp_version: string;
  status: AgentStatus;
  stage: RolloutStage;
  slots_desired: number;
  slots_processing: number;
  slots: Slot[];
  tokens_per_s: number;
  prefill_tokens_per_s: number | null;
  prompt_cache_bytes: number;
  model: AgentModel | null;
  download: Download | null;
  issues: Issue[];
}

export interface Sample {
  sequence: number;
  at_ms: number;
  processing: number;
  buffered: number;
  requests_ended: number;
  requests_failed: number;
  ttft_ms: number | null;
  tokens_per_s: number;
  cached_share: number | null;
}

export interface History {
  instance: string;
  interval_ms: number;
  capacity: number;
  samples: Sample[];
}

export interface Dashboard {
  instance: string;
  version: string;
  model_path: string;
  state_revision: number;
  buffer: { waiting: number; capacity: number; timeout_ms: number };
  slots_total: number;
  slots_processing: number;
  tokens_per_s: number;
  rollout: Record<RolloutStage, number>;
  agents: Agent[];
  sample: Sample | null;
}

export interface AgentModelDetails {
  path: string;
  name: string;
  metadata: Record<string, string>;
  chat_template: string | null;
  uses_chat_template_override: boolean;
}

export type ModelReference =
  | "None"
  | { HuggingFace: { repo_id: string; filename: string; revision: string } }
  | { Url: { url: string } }
  | { LocalToAgent: string };

export interface InferenceParameters {
  [name: string]: number | boolean | string;
}

export interface DesiredState {
  chat_template_override: { content: string } | null;
  inference_parameters: InferenceParameters;
  model: ModelReference;
  multimodal_projection: ModelReference;
  use_chat_template_override: boolean;
}

export interface TemplateCheck {
  error: string | null;
  warning: string | null;
  preview: string | null;
}

export interface Usage {
  prompt_tokens: number;
  cached_prompt_tokens: number;
  input_image_tokens: number;
  input_audio_tokens: number;
  content_tokens: number;
  reasoning_tokens: number;
  tool_call_tokens: number;
  undeterminable_tokens: number;
}

export interface Timings {
  buffered_ms: number;
  prefill_ms: number;
  ttft_ms: number;
  decode_ms: number;
  tokens_per_second: number;
  cached_prompt_tokens: number;
  slot: number;
}

export type Grammar =
  | { type: "gbnf"; grammar: string; root: string }
  | { type: "json_schema"; schema: string };

export type ContentPart =
  | { type: "text"; text: string }
  | { type: "image_url"; image_url: { url: string } };

export interface WireMessage {
  role: string;
  content: string | ContentPart[];
}

export interface GenerationExtras {
  max_tokens: number;
  grammar?: Grammar;
  sampling?: Record<string, number>;
  stop?: string[];
  conversation_id?: string;
  include_timings?: boolean;
}

export interface ConversationRequest extends GenerationExtras {
  conversation_history: WireMessage[];
  add_generation_prompt: boolean;
  enable_thinking: boolean;
  tools?: unknown[];
  parse_tool_calls?: boolean;
}

export interface RawPromptRequest extends GenerationExtras {
  raw_prompt: string;
}

export interface EmbeddingRequest {
  input_batch: { id: string; content: string }[];
  normalization_method: "L2" | "None" | { RmsNorm: { epsilon: number } };
}

export interface Envelope {
  Response?: {
    generated_by: string | null;
    request_id: string;
    response: { GeneratedToken?: Record<string, unknown>; Embedding?: unknown };
  };
  Error?: { request_id: string; error: { code: number; description: string } };
}
