/* Images in prompts: a projector beside the model, and prompts made with it.
 *
 * Over llama.cpp's mtmd. Same rules as paddler_engine.h. A projector may be
 * used from any thread; encoding waits for its turn. Decoded pixels come in,
 * so that no file format is parsed here.
 */
#ifndef PADDLER_IMAGES_H
#define PADDLER_IMAGES_H

#include "paddler_engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cffi:begin */

typedef struct pdl_projector pdl_projector;

typedef struct {
    const char *path; /* GGUF */
    int32_t use_gpu;
    int32_t n_threads; /* 0: one per physical core */
} pdl_projector_params;

/* PDL_UNSUPPORTED: not for images, or not for this model. */
int32_t pdl_projector_open(pdl_model *model, const pdl_projector_params *params,
                           pdl_projector **projector, pdl_error *error);

/* Prompts made with it may outlive it only until their requests have ended. */
void pdl_projector_free(pdl_projector *projector);

/* How many images it encoded so far; those it remembered are not counted. */
int64_t pdl_projector_n_encoded(pdl_projector *projector);

typedef struct {
    const uint8_t *rgb; /* [height, width, 3] */
    int32_t width;
    int32_t height;
    uint64_t content_hash; /* equal images are recognised by it */
} pdl_image;

/* A prompt of text and images. `text` holds one "<__media__>" per image, in
 * order. Tokenizes it; the images are encoded by pdl_media_prompt_encode.
 * PDL_INVALID_ARGUMENT: markers and images do not match. PDL_BAD_IMAGE: an
 * image cannot be prepared. */
int32_t pdl_media_prompt_make(pdl_projector *projector, const char *text, int32_t n_bytes,
                              int32_t add_special, const pdl_image *images, int32_t n_images,
                              pdl_media_prompt **prompt, pdl_error *error);

/* Encodes the images of a prompt (seconds each on a CPU), those aside that the
 * projector has encoded lately. Once per prompt, before a request gets it, and
 * while its projector lives. PDL_CANCELLED: *cancel became non-zero between two
 * images (cancel may be NULL). PDL_BAD_IMAGE: an image cannot be encoded. */
int32_t pdl_media_prompt_encode(pdl_projector *projector, pdl_media_prompt *prompt,
                                const int32_t *cancel, pdl_error *error);
void pdl_media_prompt_free(pdl_media_prompt *prompt);

typedef struct {
    int32_t n_tokens; /* of text and images */
    int32_t n_image_tokens;
    int32_t n_positions;            /* of the sequence; fewer than tokens with some projectors */
    int32_t largest_image_tokens;   /* has to fit n_batch */
    int32_t largest_at_once_tokens; /* of images computed at once: has to fit n_ubatch */
} pdl_media_prompt_info;

void pdl_media_prompt_get_info(const pdl_media_prompt *prompt, pdl_media_prompt_info *info);

/* cffi:end */

#ifdef __cplusplus
}
#endif

#endif
