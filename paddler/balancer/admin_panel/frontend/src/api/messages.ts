/**
 * Made from the structs in paddler/messages by `make frontend-types`: change those.
 *
 * @module
 */

/** The model an agent serves, with its GGUF metadata and the template in use. */
export interface AgentModelDetails {
  path: string;
  name: string;
  metadata: Record<string, string>;
  chat_template: string | null;
  uses_chat_template_override: boolean;
}

/** One agent. */
export interface AgentView {
  id: string;
  name: string | null;
  paddler_version: string;
  llama_cpp_version: string;
  status: ApplicationStatus;
  stage: RolloutStage;
  slots_desired: number;
  slots_processing: number;
  slots: SlotView[];
  tokens_per_s: number;
  prefill_tokens_per_s: number | null;
  prompt_cache_bytes: number;
  model: ModelView | null;
  download: Download | null;
  issues: IssueView[];
}

/** How far an agent got with the state it was told to apply. */
export type ApplicationStatus =
  | "Fresh"
  | "Applied"
  | "AttemptedAndRetrying"
  | "Stuck"
  | "AttemptedAndNotAppliable";

/** The buffer now; `capacity` 0 means that nothing may wait. */
export interface BufferView {
  waiting: number;
  capacity: number;
  timeout_ms: number;
}

/** A chat template: Jinja source. */
export interface ChatTemplate {
  content: string;
}

export type ContentPart = TextPart | ImagePart;

/** Generate the next message of a conversation, rendered by the chat template. */
export interface ContinueFromConversationHistory {
  conversation_history: ConversationMessage[];
  add_generation_prompt: boolean;
  enable_thinking: boolean;
  max_tokens: number;
  grammar?: Grammar | null;
  tools?: Tool[] | null;
  parse_tool_calls?: boolean | null;
  sampling?: Sampling | null;
  stop?: string[] | null;
  conversation_id?: string | null;
  include_timings?: boolean | null;
}

/** Generate what follows `raw_prompt`, which reaches the model as it is. */
export interface ContinueFromRawPrompt {
  raw_prompt: string;
  max_tokens: number;
  grammar?: Grammar | null;
  sampling?: Sampling | null;
  stop?: string[] | null;
  conversation_id?: string | null;
  include_timings?: boolean | null;
}

/** One turn of a conversation as the inference service takes it. */
export interface ConversationMessage {
  role: string;
  content: string | ContentPart[];
}

/**
 * Everything at one moment.
 *
 * `instance` names this run of the balancer. `model_path` is what is asked
 * for, "None" if nothing is; `state_revision` grows with every desired state
 * that is put. `sample` is the newest of the history.
 */
export interface DashboardSnapshot {
  instance: string;
  version: string;
  model_path: string;
  state_revision: number;
  buffer: BufferView;
  slots_total: number;
  slots_processing: number;
  tokens_per_s: number;
  rollout: RolloutView;
  agents: AgentView[];
  sample: Sample | null;
}

/** What the operator asked for. */
export interface DesiredState {
  chat_template_override: ChatTemplate | null;
  inference_parameters: InferenceParameters;
  model: Model;
  multimodal_projection: Model;
  use_chat_template_override: boolean;
}

/** A document that does not fit the embedding batch. */
export interface DocumentSize {
  document_tokens: number;
  n_batch: number;
  source_document_id: string;
}

/** A download or load in progress; `total_bytes` 0 with `indeterminate`. */
export interface Download {
  filename: string;
  current_bytes: number;
  total_bytes: number;
  indeterminate: boolean;
}

/** What became of a document, or of some of them. */
export type EmbeddedItem =
  | { Embedding: EmbeddedVector }
  | { DocumentExceedsBatchSize: DocumentSize }
  | { Error: string };

/** The [n_embd] embedding of one document, normalized and pooled as it says. */
export interface EmbeddedVector {
  embedding: number[];
  normalization_method: Normalization;
  pooling_type: PoolingType;
  source_document_id: string;
}

/** A text to embed; `id` comes back with its embedding. */
export interface EmbeddingDocument {
  id: string;
  content: string;
}

/** What went wrong, with a status of HTTP. */
export interface ErrorDescription {
  code: number;
  description: string;
}

/** A grammar in llama.cpp's GBNF notation, starting at the rule `root`. */
export interface GbnfGrammar {
  type: "gbnf";
  grammar: string;
  root: string;
}

/** Embed every document of `input_batch`; results come in any order. */
export interface GenerateEmbeddingBatch {
  input_batch: EmbeddingDocument[];
  normalization_method: Normalization;
}

/**
 * An item of a generation: text of one class, tool calls, its end, or why it failed.
 *
 * Text is of one token or of several that waited together. Of the failures,
 * the names are those of `GenerationFailure`; `ToolCall…Failed` and
 * `UnrecognizedToolCallFormat` are none: `Done` follows.
 */
export type GeneratedItem =
  | { ContentToken: string }
  | { ReasoningToken: string }
  | { ToolCallToken: string }
  | { UndeterminableToken: string }
  | { ToolCallParsed: ParsedToolCall[] }
  | { ToolCallParseFailed: string }
  | { ToolCallValidationFailed: string[] }
  | { UnrecognizedToolCallFormat: UnparsedText }
  | { Done: GenerationSummary }
  | { ImageExceedsBatchSize: ImageSize }
  | { ToolSchemaInvalid: string }
  | { ChatTemplateError: string }
  | { DetokenizationFailed: string }
  | { SamplerError: string }
  | { GrammarSyntaxError: string }
  | { GrammarInitializationFailed: string }
  | { GrammarIncompatibleWithThinking: string }
  | { GrammarRejectedModelOutput: string }
  | { ImageDecodingFailed: string }
  | { MultimodalNotSupported: string }
  | { TokenGenerationDisabled: string };

/** The end of a generation; `timings` are there if they were asked for. */
export interface GenerationSummary {
  usage: Usage;
  timings?: Timings;
}

export type Grammar = GbnfGrammar | JsonSchemaGrammar;

/** The last minutes, oldest sample first. */
export interface HistorySnapshot {
  instance: string;
  interval_ms: number;
  capacity: number;
  samples: Sample[];
}

/** A file of a Hugging Face repository at a revision. */
export interface HuggingFaceModel {
  repo_id: string;
  filename: string;
  revision: string;
}

/** An image within a message. */
export interface ImagePart {
  type: "image_url";
  image_url: ImageUrl;
}

/** An image that needs more tokens than a batch holds. */
export interface ImageSize {
  image_tokens: number;
  n_batch: number;
}

/** `url` is a base64 data URI; anything else is refused when decoded. */
export interface ImageUrl {
  url: string;
}

/** One line. */
export type InferenceAnswer = { Response: InferenceResponse } | { Error: RequestError };

/**
 * How the model is run; `context_size` is per slot, in tokens.
 *
 * All fields are required on the wire. The defaults here are those of a
 * fresh state.
 */
export interface InferenceParameters {
  n_batch: number;
  context_size: number;
  embedding_batch_size: number;
  enable_embeddings: boolean;
  image_resize_to_fit: number;
  k_cache_dtype: KvCacheDtype;
  v_cache_dtype: KvCacheDtype;
  min_p: number;
  n_gpu_layers: number;
  penalty_frequency: number;
  penalty_last_n: number;
  penalty_presence: number;
  penalty_repeat: number;
  pooling_type: PoolingType;
  temperature: number;
  top_k: number;
  top_p: number;
}

/** An item, the request it belongs to, and the name of the agent that made it. */
export interface InferenceResponse {
  generated_by: string | null;
  request_id: string;
  response: InferenceResult;
}

/** An item of a generation or of an embedding batch, whose last is "Done". */
export type InferenceResult =
  | { GeneratedToken: GeneratedItem }
  | { Embedding: "Done" | EmbeddedItem };

export type IssueKind =
  | "CacheCannotAcquireLock"
  | "CacheDirectoryIsNotWritable"
  | "CacheStorageIsFull"
  | "DownloadInterrupted"
  | "DownloadServerDeniedAccess"
  | "DownloadServerErrored"
  | "DownloadServerIsUnreachable"
  | "DownloadServerRejectedRequest"
  | "DownloadUrlIsMalformed"
  | "HuggingFaceModelDoesNotExist"
  | "HuggingFacePermissions"
  | "ModelCacheIsCorrupted"
  | "ModelCannotBeLoaded"
  | "ModelDoesNotExistAtUrl"
  | "ModelFileDoesNotExist"
  | "MultimodalProjectionCannotBeLoaded"
  | "UnableToFindChatTemplate"
  | "ChatTemplateDoesNotCompile"
  | "HuggingFaceCannotAcquireLock"
  | "SlotCannotStart";

/**
 * An issue with what it means and what to do about it.
 *
 * `kind` is the contract's name. `error` is what the program said,
 * `template_content` the chat template that does not compile.
 */
export interface IssueView {
  kind: IssueKind;
  summary: string;
  advice: string;
  subject: string;
  error: string | null;
  template_content: string | null;
}

/** A JSON Schema, itself given as a string of JSON. */
export interface JsonSchemaGrammar {
  type: "json_schema";
  schema: string;
}

export type KvCacheDtype =
  | "F32"
  | "F16"
  | "BF16"
  | "Q8_0"
  | "Q4_0"
  | "Q4_1"
  | "IQ4_NL"
  | "Q5_0"
  | "Q5_1";

export type Model = "None" | ModelReference;

/** Where a model comes from. */
export type ModelReference =
  | { HuggingFace: HuggingFaceModel }
  | { Url: UrlModel }
  | { LocalToAgent: string };

/** The model an agent serves, in brief. */
export interface ModelView {
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

export type Normalization = "L2" | "None" | RmsNorm;

/** The panel's `config.json`; `version` is Paddler's. */
export interface PanelConfig {
  version: string;
  management: ServiceLocation;
  inference: ServiceLocation;
}

/** The JSON Schema of a tool's parameters, limited to what the contract lists. */
export interface ParametersSchema {
  type: string;
  properties?: Record<string, unknown> | null;
  required?: string[] | null;
  additionalProperties?: unknown;
}

/** A tool call the model made. */
export interface ParsedToolCall {
  id: string;
  name: string;
  arguments: ToolCallArguments;
}

export type PoolingType = "Unspecified" | "None" | "Mean" | "Cls" | "Last" | "Rank";

/** A request that failed; nothing follows. */
export interface RequestError {
  request_id: string;
  error: ErrorDescription;
}

/** Divide by the root of the mean square. */
export interface RmsNorm {
  RmsNorm: RmsNormSettings;
}

/** `epsilon` is added to the mean square before its root is taken. */
export interface RmsNormSettings {
  epsilon: number;
}

export type RolloutStage = "applied" | "applying" | "failed" | "kept_back" | "waiting";

/** How far the newest state got: agents by stage. */
export interface RolloutView {
  applied: number;
  applying: number;
  failed: number;
  kept_back: number;
  waiting: number;
}

/**
 * One interval of the history.
 *
 * `sequence` counts samples since the balancer started. `buffered` is the most
 * that waited, `processing` and `tokens_per_s` are means; `ttft_ms` is the
 * median of the generations that began to answer, `cached_share` the part of
 * prompt tokens whose KV cache was reused, over the requests that ended.
 */
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

/**
 * Overrides of the fleet's sampling parameters for one request.
 *
 * `temperature` 0 is greedy; `top_k` 0 is off; `penalty_last_n` -1 is the
 * whole context, 0 is off; `logit_bias` maps token ids to what is added to
 * their logits (-100 and below forbid a token in practice).
 */
export interface Sampling {
  temperature?: number | null;
  top_k?: number | null;
  top_p?: number | null;
  min_p?: number | null;
  seed?: number | null;
  penalty_last_n?: number | null;
  penalty_repeat?: number | null;
  penalty_frequency?: number | null;
  penalty_presence?: number | null;
  logit_bias?: Record<string, number> | null;
}

/**
 * Where a browser finds a service.
 *
 * `url` is what the operator said (absolute, or a path on the panel's own
 * host); without it, the service is at `port` of the host that the browser
 * used for the panel.
 */
export interface ServiceLocation {
  port: number;
  url: string | null;
}

export type SlotState = "free" | "prefill" | "decode";

/** One slot; `cached_tokens` are in its KV cache, also while it is free. */
export interface SlotView {
  state: SlotState;
  cached_tokens: number;
}

/**
 * What trying a chat template told.
 *
 * `error` is why it cannot be used: it does not compile, or takes too much
 * time or memory. `warning` is why it refuses the simplest conversation, one
 * question of a user; `preview` is that conversation as it writes it, cut
 * where it is long.
 */
export interface TemplateCheck {
  error: string | null;
  warning: string | null;
  preview: string | null;
}

/** A chat template that somebody wants tried. */
export interface TemplateSource {
  content: string;
}

/** A piece of text within a message. */
export interface TextPart {
  type: "text";
  text: string;
}

/**
 * Where a generation's time went.
 *
 * `buffered_ms` is the wait for a slot; `ttft_ms`, from the request to its
 * first token, is null if there was none. `tokens_per_second` is of decoding.
 */
export interface Timings {
  buffered_ms: number;
  prefill_ms: number;
  ttft_ms: number | null;
  decode_ms: number;
  tokens_per_second: number;
  cached_prompt_tokens: number;
  slot: number;
}

/** A tool as the inference service takes it. */
export interface Tool {
  type: "function";
  function: ToolFunction;
}

/** Arguments as the model wrote them, as JSON if they are. */
export type ToolCallArguments = { ValidJson: unknown } | { InvalidJson: string };

/** A function that the model may ask the application to call. */
export interface ToolFunction {
  name: string;
  description: string;
  parameters?: ParametersSchema | null;
}

/** Text in a format of tool calls that the engine does not know. */
export interface UnparsedText {
  text: string;
  ffi_error_message: string;
}

/** A file behind an http or https URL. */
export interface UrlModel {
  url: string;
}

/** Tokens counted by kind; the public JSON has exactly these fields. */
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

/** Limits and defaults of InferenceParameters. */
export const INFERENCE_PARAMETERS = {
  n_batch: { kind: "integer", min: 1, max: 1048576, fallback: 2048 },
  context_size: { kind: "integer", min: 1, max: 2147483647, fallback: 8192 },
  embedding_batch_size: { kind: "integer", min: 1, max: 1048576, fallback: 256 },
  enable_embeddings: { kind: "switch", fallback: false },
  image_resize_to_fit: { kind: "integer", min: 1, max: 65536, fallback: 1024 },
  k_cache_dtype: {
    kind: "choice",
    choices: ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "IQ4_NL", "Q5_0", "Q5_1"],
    fallback: "Q8_0",
  },
  v_cache_dtype: {
    kind: "choice",
    choices: ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "IQ4_NL", "Q5_0", "Q5_1"],
    fallback: "Q8_0",
  },
  min_p: { kind: "number", min: 0, max: 1, fallback: 0.05 },
  n_gpu_layers: { kind: "integer", min: -1, max: 1048576, fallback: 0 },
  penalty_frequency: { kind: "number", min: -100, max: 100, fallback: 0 },
  penalty_last_n: { kind: "integer", min: -1, max: 2147483647, fallback: -1 },
  penalty_presence: { kind: "number", min: -100, max: 100, fallback: 0.8 },
  penalty_repeat: { kind: "number", above: 0, max: 100, fallback: 1.1 },
  pooling_type: {
    kind: "choice",
    choices: ["Unspecified", "None", "Mean", "Cls", "Last", "Rank"],
    fallback: "Last",
  },
  temperature: { kind: "number", min: 0, max: 100, fallback: 0.8 },
  top_k: { kind: "integer", min: 0, max: 2147483647, fallback: 80 },
  top_p: { kind: "number", min: 0, max: 1, fallback: 0.8 },
} as const;
