/* Paddler's native engine: one model, many slots, one decode thread.
 *
 * C API over llama.cpp, read by a C++ compiler and, between the cffi markers,
 * by cffi. No exception crosses it: whatever can fail returns a pdl_status and
 * fills a pdl_error (which may be NULL).
 *
 * Threads: a model and its tokenizer may be used from any thread. An engine's
 * functions may be called from any thread; its llama_context is touched only
 * by the engine's own thread, which never calls back into Python. Events are
 * appended to a ring and announced through a file descriptor.
 */
#ifndef PADDLER_ENGINE_H
#define PADDLER_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* cffi:begin */

typedef enum {
    PDL_OK = 0,
    PDL_INVALID_ARGUMENT = 1, /* the caller's parameters cannot work */
    PDL_NOT_FOUND = 2,        /* no such file */
    PDL_IO_ERROR = 3,         /* a file cannot be read */
    PDL_BAD_MODEL_FILE = 4,   /* not a GGUF, truncated, or of an unknown architecture */
    PDL_UNSUPPORTED = 5,      /* this model or this processor cannot do that */
    PDL_OUT_OF_MEMORY = 6,
    PDL_CANCELLED = 7,
    PDL_PROMPT_TOO_LONG = 8,   /* does not fit a slot's context */
    PDL_BAD_GRAMMAR = 9,       /* GBNF does not parse, or its root is unknown */
    PDL_GRAMMAR_DEAD_END = 10, /* no token fits the grammar any more */
    PDL_CLOSED = 11,           /* the engine is closing */
    PDL_DECODE_FAILED = 12,
    PDL_BAD_TEMPLATE = 13, /* the chat template does not compile or render */
    PDL_BAD_SCHEMA = 14,   /* a JSON Schema that no grammar can be made of */
    PDL_UNPARSABLE = 15,   /* output that does not parse as the template's format */
    PDL_BAD_IMAGE = 16,
    PDL_INTERNAL = 17
} pdl_status;

typedef struct {
    int32_t status;     /* pdl_status */
    char message[1024]; /* UTF-8, NUL-terminated */
} pdl_error;

/* ---- process ---- */

/* Version of llama.cpp as it was pinned when this was built. */
const char *pdl_llama_cpp_version(void);

/* Takes the oldest log line: its length is returned (-1: none), its ggml level
 * stored in *level. Longer lines are cut. Lines lost to a full ring are
 * counted in *n_lost. */
int32_t pdl_log_take(char *text, int32_t capacity, int32_t *level, int64_t *n_lost);

/* Frees a string that one of these functions returned through char **. */
void pdl_string_free(char *text);

/* ---- model ---- */

typedef struct pdl_model pdl_model;
typedef struct pdl_load pdl_load;

typedef struct {
    const char *path;     /* GGUF; the first file of a split model */
    int32_t n_gpu_layers; /* -1: all, 0: CPU only */
    int32_t use_mmap;
    int32_t check_tensors; /* validate the tensors' data while loading */
} pdl_model_params;

/* A load in progress: watched and cancelled from other threads. */
pdl_load *pdl_load_new(pdl_error *error);
int32_t pdl_load_fd(const pdl_load *load); /* readable when the progress moved */
float pdl_load_progress(pdl_load *load);   /* 0..1; also clears the descriptor */
void pdl_load_cancel(pdl_load *load);
void pdl_load_free(pdl_load *load);

/* Blocks until the model is loaded. The file is checked first (magic, tensor
 * table against the file's size), as llama.cpp aborts on some broken files. */
int32_t pdl_model_load(const pdl_model_params *params, pdl_load *load, pdl_model **model,
                       pdl_error *error);

/* Every engine, embedder, template set and prompt of the model must be gone. */
void pdl_model_free(pdl_model *model);

typedef struct {
    int32_t n_vocab;
    int32_t n_embd;
    int32_t n_ctx_train;
    int32_t n_layer;
    int32_t n_swa; /* sliding window in tokens, 0: none */
    int32_t has_encoder;
    int32_t has_decoder;
    int32_t is_recurrent;
    int32_t is_hybrid;
    int32_t can_generate; /* decoder, vocabulary and causal attention */
    int32_t can_embed;
    int32_t pooling_type; /* enum llama_pooling_type of the file, -1: none named */
    uint64_t n_parameters;
    uint64_t size_bytes;
} pdl_model_info;

void pdl_model_get_info(const pdl_model *model, pdl_model_info *info);

/* GGUF metadata with scalar values, as one JSON object of strings. */
int32_t pdl_model_metadata(const pdl_model *model, char **json, pdl_error *error);

/* The chat template inside the file; *text stays NULL if there is none. */
int32_t pdl_model_chat_template(const pdl_model *model, char **text, pdl_error *error);

/* Tokenizes text; returns the number of tokens, which may be more than
 * capacity (then nothing is written), or -1 on failure. */
int32_t pdl_tokenize(const pdl_model *model, const char *text, int32_t n_bytes, int32_t add_special,
                     int32_t parse_special, int32_t *tokens, int32_t capacity, pdl_error *error);

/* Text of one token as bytes (possibly part of a code point); returns the
 * length, or -1 for an unknown token. */
int32_t pdl_token_text(const pdl_model *model, int32_t token, int32_t special, char *text,
                       int32_t capacity);

/* ---- engine ---- */

typedef struct pdl_engine pdl_engine;

typedef struct {
    int32_t n_slots;    /* sequences, each with a KV cache of its own */
    int32_t n_ctx_slot; /* tokens per slot */
    int32_t n_batch;    /* tokens per llama_decode at most */
    int32_t n_ubatch;   /* tokens computed at once; 0: default */
    int32_t n_threads;  /* 0: one per physical core */
    int32_t type_k;     /* enum ggml_type */
    int32_t type_v;
    int32_t prefill_budget_ms;  /* prompt part of a step that also decodes */
    int32_t reuse_cache;        /* 0: every prompt starts from an empty slot */
    int32_t prefix_wait_ms;     /* at most, for a beginning that another prompt is about to have */
    int32_t n_checkpoints;      /* per slot, for models that cannot roll back */
    int64_t prompt_cache_bytes; /* host memory for slots pushed out; 0: off */
} pdl_engine_params;

/* Makes the context and starts the decode thread. */
int32_t pdl_engine_open(pdl_model *model, const pdl_engine_params *params, pdl_engine **engine,
                        pdl_error *error);

/* Readable while events wait; owned by the engine. */
int32_t pdl_engine_event_fd(const pdl_engine *engine);

/* Tokens that fit one slot. */
int32_t pdl_engine_context_tokens(const pdl_engine *engine);

/* Cancels what runs, joins the thread, frees the context. Undrained events are gone. */
void pdl_engine_close(pdl_engine *engine);

/* A prompt with images: see paddler_images.h. */
typedef struct pdl_media_prompt pdl_media_prompt;

/* Text in the output that changes the class of what follows. */
typedef struct {
    const char *text;
    int32_t when_class; /* applies while this class is current; -1: any */
    int32_t next_class;
    int32_t emit; /* 0: the marker is no part of the text; 1: it is, in next_class */
} pdl_class_marker;

typedef struct {
    int32_t token;
    float bias;
} pdl_logit_bias;

typedef struct {
    float temperature; /* 0: greedy */
    int32_t top_k;     /* 0: off */
    float top_p;       /* 1: off */
    float min_p;       /* 0: off */
    uint32_t seed;
    int32_t penalty_last_n;  /* -1: the whole context, 0: off */
    float penalty_repeat;    /* 1: off */
    float penalty_frequency; /* 0: off */
    float penalty_presence;  /* 0: off */
    const pdl_logit_bias *logit_biases;
    int32_t n_logit_biases;
    int32_t n_logprobs; /* -1: off, else alternatives per token (at most 64) */
} pdl_sampling;

typedef struct {
    uint64_t id;           /* chosen by the caller, unique within the engine */
    const int32_t *tokens; /* the prompt */
    int32_t n_tokens;
    const pdl_media_prompt *media; /* the prompt instead of tokens, or NULL */
    const int32_t *replay;         /* tokens generated before, elsewhere: prefilled and accepted */
    int32_t n_replay;
    int32_t n_replay_sent_bytes; /* text of the replayed tokens that the client has */
    int32_t max_tokens;          /* of generation, replayed ones included; cut to the context */
    int32_t ignore_end;          /* 1: end-of-generation tokens are not sampled */
    pdl_sampling sampling;
    const char *const *stops; /* UTF-8 */
    int32_t n_stops;
    const char *grammar; /* GBNF, or NULL */
    const char *grammar_root;
    int32_t grammar_lazy; /* constrain only after a trigger */
    const char *const
        *grammar_trigger_patterns; /* regexes, as llama_sampler_init_grammar_lazy_patterns */
    int32_t n_grammar_trigger_patterns;
    const int32_t *grammar_trigger_tokens;
    int32_t n_grammar_trigger_tokens;
    const char *grammar_prefix;      /* accepted by the grammar before generation starts, or NULL */
    const int32_t *preserved_tokens; /* special tokens whose text is part of the output */
    int32_t n_preserved_tokens;
    int32_t initial_class; /* class of the first token */
    const pdl_class_marker *markers;
    int32_t n_markers;
    const int32_t *checkpoints; /* prompt positions worth a checkpoint, ascending */
    int32_t n_checkpoints;
    int32_t with_raw_text; /* 1: events carry the output as the model writes it, too */
} pdl_request;

/* Copies the request and queues it; first in, first out among slots, unless
 * it waits for a beginning that another prompt is about to have. */
int32_t pdl_engine_submit(pdl_engine *engine, const pdl_request *request, pdl_error *error);

/* The request ends with PDL_END_CANCELLED, unless it ended already. */
void pdl_engine_cancel(pdl_engine *engine, uint64_t id);

typedef enum {
    PDL_EVENT_STARTED = 0,      /* a slot took it: slot, n_prompt, n_cached, cache_kind */
    PDL_EVENT_TOKEN = 1,        /* token, token_class, text, raw text; logprobs */
    PDL_EVENT_END = 2,          /* end_reason, status, counts, times; text: the error */
    PDL_EVENT_CACHE_DROPPED = 3 /* the state that request `id` left behind is gone */
} pdl_event_kind;

typedef enum {
    PDL_END_GENERATION = 0, /* end-of-generation token */
    PDL_END_STOP = 1,       /* stop string */
    PDL_END_MAX_TOKENS = 2,
    PDL_END_CONTEXT_FULL = 3,
    PDL_END_CANCELLED = 4,
    PDL_END_ERROR = 5
} pdl_end_reason;

typedef enum {
    PDL_CACHE_NONE = 0,
    PDL_CACHE_SLOT = 1,  /* the slot held the prefix */
    PDL_CACHE_RAM = 2,   /* restored from host memory */
    PDL_CACHE_SHARED = 3 /* copied from another slot */
} pdl_cache_kind;

typedef struct {
    uint64_t id;
    int32_t kind;  /* pdl_event_kind */
    int32_t slot;  /* -1: none */
    int32_t token; /* -1: text only (held back before) */
    int32_t token_class;
    int32_t text_offset; /* into the drained text */
    int32_t text_bytes;
    int32_t raw_bytes;       /* after the text: what the model wrote, markers included, any bytes */
    int32_t logprobs_offset; /* into the drained logprobs; the first is the chosen token */
    int32_t n_logprobs;
    int32_t end_reason;
    int32_t status; /* pdl_status of an error end */
    int32_t n_prompt;
    int32_t n_cached;
    int32_t cache_kind;
    int32_t n_generated[4]; /* tokens by class */
    int32_t kept; /* 1: the slot keeps the state of this request, the whole prompt at least */
    float queued_ms;
    float prefill_ms;
    float decode_ms;
} pdl_event;

typedef struct {
    int32_t token;
    float logprob;
} pdl_logprob;

typedef struct {
    int32_t n_events;
    int32_t n_text_bytes;
    int32_t n_logprobs;
    int32_t n_left; /* events that did not fit; drain again */
} pdl_drained;

/* Takes what has happened, oldest first, as far as it fits; clears the
 * eventfd when nothing is left. An event larger than the text capacity is
 * never delivered: the text must hold at least pdl_engine_max_text bytes. */
void pdl_engine_drain(pdl_engine *engine, pdl_event *events, int32_t events_capacity, char *text,
                      int32_t text_capacity, pdl_logprob *logprobs, int32_t logprobs_capacity,
                      pdl_drained *drained);

/* Text capacity that the next drain needs at least. */
int32_t pdl_engine_max_text(pdl_engine *engine);

typedef enum { PDL_SLOT_FREE = 0, PDL_SLOT_PREFILL = 1, PDL_SLOT_DECODE = 2 } pdl_slot_state;

typedef struct {
    int32_t state;       /* pdl_slot_state */
    int32_t n_cached;    /* tokens in the slot's KV cache */
    uint64_t request_id; /* of the running request, or that the state is from; 0: none */
} pdl_slot_info;

typedef struct {
    int32_t n_queued;
    int32_t n_running;
    int64_t n_prompt_tokens; /* since the engine opened */
    int64_t n_cached_tokens;
    int64_t n_generated_tokens;
    int64_t n_steps;
    int64_t n_hits[4];          /* starts by pdl_cache_kind */
    int64_t n_evictions;        /* conversations dropped from host memory */
    int64_t prompt_cache_bytes; /* held in host memory now */
    float prefill_tokens_per_s; /* moving average, 0: not measured yet */
} pdl_engine_stats;

/* Written after every step; slots may be NULL, else [n_slots]. */
void pdl_engine_get_stats(pdl_engine *engine, pdl_engine_stats *stats, pdl_slot_info *slots);

/* Checks that GBNF parses and has the root. */
int32_t pdl_grammar_check(const pdl_model *model, const char *grammar, const char *root,
                          pdl_error *error);

/* cffi:end */

#ifdef __cplusplus
}
#endif

#endif
