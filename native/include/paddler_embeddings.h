/* Embeddings: a second context on the same model, with a thread of its own.
 *
 * Generation and embeddings coexist: the engine's thread never touches this
 * context. Same rules as paddler_engine.h; any thread may call these
 * functions.
 */
#ifndef PADDLER_EMBEDDINGS_H
#define PADDLER_EMBEDDINGS_H

#include "paddler_engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cffi:begin */

typedef struct pdl_embedder pdl_embedder;

typedef struct {
    int32_t n_batch;       /* longest document in tokens, and tokens per batch */
    int32_t pooling_type;  /* enum llama_pooling_type; -1: what the file names, else none */
    int32_t n_threads;     /* 0: one per physical core */
    int32_t max_sequences; /* documents per batch at most */
    int32_t max_documents; /* queued, computed or waiting to be taken, at most */
} pdl_embedder_params;

/* Makes the context and starts the thread. PDL_UNSUPPORTED: the model cannot
 * embed, or has no classifier for rank pooling. */
int32_t pdl_embedder_open(pdl_model *model, const pdl_embedder_params *params,
                          pdl_embedder **embedder, pdl_error *error);

/* Aborts what is computed, joins the thread, frees the context. Results not
 * taken are gone. */
void pdl_embedder_close(pdl_embedder *embedder);

/* Readable while results wait; owned by the embedder. */
int32_t pdl_embedder_event_fd(const pdl_embedder *embedder);

/* Floats of one row: n_embd, or the number of classes with rank pooling. */
int32_t pdl_embedder_dimensions(const pdl_embedder *embedder);

/* What pooling_type came to. */
int32_t pdl_embedder_pooling_type(const pdl_embedder *embedder);

/* Tokens of the longest document: n_batch, or less if the model takes no more. */
int32_t pdl_embedder_max_tokens(const pdl_embedder *embedder);

/* Queues one document; first in, first out. id: chosen by the caller, unique
 * among those not taken yet. PDL_PROMPT_TOO_LONG: more than max_tokens.
 * PDL_INVALID_ARGUMENT: no tokens, unknown tokens, or max_documents reached. */
int32_t pdl_embedder_submit(pdl_embedder *embedder, uint64_t id, const int32_t *tokens,
                            int32_t n_tokens, pdl_error *error);

/* Forgets a document: it is not computed if it still waits, and no result of
 * it is delivered any more. Unknown ids are ignored. */
void pdl_embedder_cancel(pdl_embedder *embedder, uint64_t id);

typedef struct {
    uint64_t id;
    int32_t n_rows;  /* 1, or the document's tokens without pooling */
    float *values;   /* [n_rows, dimensions]; NULL on failure */
    pdl_error error; /* status PDL_OK on success */
} pdl_embedding;

/* Takes the oldest finished document: 1, or 0 if none waits (the descriptor is
 * clear then). pdl_embedding_free releases what it holds. */
int32_t pdl_embedder_take(pdl_embedder *embedder, pdl_embedding *embedding);
void pdl_embedding_free(pdl_embedding *embedding);

/* cffi:end */

#ifdef __cplusplus
}
#endif

#endif
