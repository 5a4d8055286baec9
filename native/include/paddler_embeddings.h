/* Embeddings: a second context on the same model, with a thread of its own.
 *
 * Generation and embeddings coexist: the engine's thread never touches this
 * context. Same rules as paddler_engine.h.
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
    int32_t n_batch;        /* longest document in tokens, and tokens per batch */
    int32_t pooling_type;   /* enum llama_pooling_type */
    int32_t n_threads;      /* 0: one per physical core */
    int32_t max_sequences;  /* documents per batch at most */
} pdl_embedder_params;

int32_t pdl_embedder_open(pdl_model *model, const pdl_embedder_params *params,
                          pdl_embedder **embedder, pdl_error *error);
void pdl_embedder_close(pdl_embedder *embedder);

/* Readable while results wait. */
int32_t pdl_embedder_event_fd(const pdl_embedder *embedder);

/* Floats of one result: n_embd, or the number of classes with rank pooling. */
int32_t pdl_embedder_dimensions(const pdl_embedder *embedder);

/* What pooling_type came to, after the model's own default. */
int32_t pdl_embedder_pooling_type(const pdl_embedder *embedder);

/* Queues one document. id: chosen by the caller, unique among those queued.
 * PDL_PROMPT_TOO_LONG: more tokens than n_batch. */
int32_t pdl_embedder_submit(pdl_embedder *embedder, uint64_t id, const int32_t *tokens,
                            int32_t n_tokens, pdl_error *error);

/* Drops a document that is still queued; its result, if any, is not delivered. */
void pdl_embedder_cancel(pdl_embedder *embedder, uint64_t id);

typedef struct {
    uint64_t id;
    int32_t status;         /* pdl_status */
    int32_t n_rows;         /* 1, or the document's tokens without pooling */
    int32_t floats_offset;  /* into the taken floats: [n_rows, dimensions] */
    int32_t n_floats;
} pdl_embedding;

/* Takes finished documents as far as they fit; returns how many. *n_floats_next
 * is what the next waiting result needs (0: none waits). error_text describes
 * the last failure among those taken. */
int32_t pdl_embedder_take(pdl_embedder *embedder, pdl_embedding *results, int32_t capacity,
                          float *floats, int32_t floats_capacity, int32_t *n_floats_next,
                          char *error_text, int32_t error_capacity);

/* cffi:end */

#ifdef __cplusplus
}
#endif

#endif
