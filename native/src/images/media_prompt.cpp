#include "images/media_prompt.h"

#include "model/compute.h"
#include "model/gguf_check.h"
#include "model/model.h"
#include "platform/assertions.h"
#include "platform/errors.h"
#include "platform/log_ring.h"

#include "mtmd-helper.h"

#include <algorithm>

using paddler::Failure;
using paddler::guarded;
using paddler::MediaPrompt;
using paddler::PlacedImage;

namespace {

constexpr int64_t max_pixels = int64_t{64} * 1024 * 1024;

// Negative, and another one at each position: that two images share them all is
// as unlikely as that they share their 64 bits of hash.
llama_token placeholder(uint64_t content_hash, int32_t position) {
    uint64_t mixed = content_hash + 0x9E3779B97F4A7C15ULL * (static_cast<uint64_t>(position) + 1);
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ULL;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL;
    return -2 - static_cast<llama_token>((mixed ^ (mixed >> 31)) & 0x3FFFFFFF);
}

mtmd::input_chunks_ptr tokenized(const pdl_projector &projector, const char *text, int32_t n_bytes,
                                 bool add_special, const pdl_image *images, int32_t n_images) {
    mtmd::bitmaps bitmaps;
    for (int32_t i = 0; i < n_images; i++) {
        const pdl_image &image = images[i];
        if (image.width < 1 || image.height < 1 ||
            static_cast<int64_t>(image.width) * image.height > max_pixels) {
            throw Failure(PDL_BAD_IMAGE, "an image of " + std::to_string(image.width) + " x " +
                                             std::to_string(image.height) +
                                             " pixels cannot be encoded");
        }
        mtmd::bitmap bitmap(static_cast<uint32_t>(image.width), static_cast<uint32_t>(image.height),
                            image.rgb);
        bitmap.set_id(std::to_string(image.content_hash).c_str());
        bitmaps.entries.push_back(std::move(bitmap));
    }
    const mtmd_input_text input = {text, static_cast<size_t>(n_bytes), add_special, true};
    mtmd::input_chunks_ptr chunks(mtmd_input_chunks_init());
    auto pointers = bitmaps.c_ptr();
    const int32_t code = mtmd_tokenize(projector.context.get(), chunks.get(), &input,
                                       pointers.data(), pointers.size());
    if (code == 1) {
        throw Failure(PDL_INVALID_ARGUMENT, "the prompt does not have one media marker per image");
    }
    if (code != 0) {
        throw Failure(PDL_BAD_IMAGE, "an image cannot be prepared for the projector");
    }
    return chunks;
}

void append_text(MediaPrompt &prompt, const mtmd_input_chunk *chunk) {
    size_t n_tokens = 0;
    const llama_token *tokens = mtmd_input_chunk_get_tokens_text(chunk, &n_tokens);
    prompt.tokens.insert(prompt.tokens.end(), tokens, tokens + n_tokens);
}

void append_image(MediaPrompt &prompt, const mtmd_input_chunk *chunk, uint64_t content_hash) {
    PlacedImage image;
    image.begin = static_cast<int32_t>(prompt.tokens.size());
    image.n_positions = mtmd_input_chunk_get_n_pos(chunk);
    image.n_tokens = static_cast<int32_t>(mtmd_input_chunk_get_n_tokens(chunk));
    image.content_hash = content_hash;
    image.part = static_cast<int32_t>(
        std::count_if(prompt.images.begin(), prompt.images.end(), [&](const PlacedImage &other) {
            return other.content_hash == content_hash;
        }));
    image.at_once = mtmd_decode_use_non_causal(prompt.projector, chunk);
    image.chunk.reset(mtmd_input_chunk_copy(chunk), [](const mtmd_input_chunk *copy) {
        mtmd_input_chunk_free(const_cast<mtmd_input_chunk *>(copy));
    });
    for (int32_t i = 0; i < image.n_positions; i++) {
        prompt.tokens.push_back(placeholder(content_hash, i));
    }
    prompt.images.push_back(std::move(image));
}

void encode(pdl_projector &projector, PlacedImage &image) {
    const std::lock_guard<std::mutex> lock(projector.encoding);
    image.embeddings = projector.encoded.find(image.content_hash, image.part);
    if (image.embeddings != nullptr) {
        return;
    }
    if (mtmd_encode_chunk(projector.context.get(), image.chunk.get()) != 0) {
        throw Failure(PDL_BAD_IMAGE, "an image cannot be encoded");
    }
    const float *embeddings = mtmd_get_output_embd(projector.context.get());
    const size_t n_floats =
        static_cast<size_t>(image.n_tokens) * static_cast<size_t>(projector.n_embd);
    image.embeddings =
        std::make_shared<const std::vector<float>>(embeddings, embeddings + n_floats);
    projector.n_encoded++;
    projector.encoded.keep(image.content_hash, image.part, image.embeddings);
}

} // namespace

extern "C" {

int32_t pdl_projector_open(pdl_model *model, const pdl_projector_params *params,
                           pdl_projector **projector, pdl_error *error) {
    return guarded(error, PDL_BAD_MODEL_FILE, [&] {
        paddler::check_gguf(params->path);
        // Both would print a line per image; failures come back as codes.
        mtmd_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
        mtmd_helper_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
        const mtmd_caps caps = mtmd_get_cap_from_file(params->path);
        if (!caps.inp_vision) {
            throw Failure(PDL_UNSUPPORTED,
                          std::string(params->path) + " is no projector for images");
        }
        mtmd_context_params native = mtmd_context_params_default();
        native.use_gpu = params->use_gpu != 0;
        native.n_threads = paddler::resolve_threads(params->n_threads);
        native.print_timings = false;
        native.warmup = false;
        auto opened = std::make_unique<pdl_projector>();
        const paddler::LogCapture reasons;
        const paddler::AssertionsThrow assertions;
        opened->context.reset(mtmd_init_from_file(params->path, model->model, native));
        if (!opened->context) {
            const std::string reason = reasons.text();
            throw Failure(PDL_UNSUPPORTED, std::string(params->path) +
                                               " does not work with this model" +
                                               (reason.empty() ? "" : ": " + reason));
        }
        opened->n_embd = llama_model_n_embd_inp(model->model);
        *projector = opened.release();
    });
}

void pdl_projector_free(pdl_projector *projector) {
    delete projector;
}

int64_t pdl_projector_n_encoded(pdl_projector *projector) {
    const std::lock_guard<std::mutex> lock(projector->encoding);
    return projector->n_encoded;
}

int32_t pdl_media_prompt_make(pdl_projector *projector, const char *text, int32_t n_bytes,
                              int32_t add_special, const pdl_image *images, int32_t n_images,
                              pdl_media_prompt **prompt, pdl_error *error) {
    return guarded(error, PDL_BAD_IMAGE, [&] {
        const mtmd::input_chunks_ptr chunks =
            tokenized(*projector, text, n_bytes, add_special != 0, images, n_images);
        auto made = std::make_shared<MediaPrompt>();
        made->projector = projector->context.get();
        for (size_t i = 0; i < mtmd_input_chunks_size(chunks.get()); i++) {
            const mtmd_input_chunk *chunk = mtmd_input_chunks_get(chunks.get(), i);
            switch (mtmd_input_chunk_get_type(chunk)) {
            case MTMD_INPUT_CHUNK_TYPE_TEXT:
                append_text(*made, chunk);
                break;
            case MTMD_INPUT_CHUNK_TYPE_IMAGE:
                append_image(*made, chunk, std::stoull(mtmd_input_chunk_get_id(chunk)));
                break;
            default:
                throw Failure(PDL_UNSUPPORTED, "only text and images can be part of a prompt");
            }
        }
        *prompt = new pdl_media_prompt{std::move(made)};
    });
}

int32_t pdl_media_prompt_encode(pdl_projector *projector, pdl_media_prompt *prompt,
                                const int32_t *cancel, pdl_error *error) {
    return guarded(error, PDL_BAD_IMAGE, [&] {
        for (auto &image : prompt->prompt->images) {
            if (cancel != nullptr && *static_cast<const volatile int32_t *>(cancel) != 0) {
                throw Failure(PDL_CANCELLED, "encoding was cancelled");
            }
            encode(*projector, image);
        }
    });
}

void pdl_media_prompt_free(pdl_media_prompt *prompt) {
    delete prompt;
}

void pdl_media_prompt_get_info(const pdl_media_prompt *prompt, pdl_media_prompt_info *info) {
    *info = {};
    info->n_positions = static_cast<int32_t>(prompt->prompt->tokens.size());
    info->n_tokens = info->n_positions;
    for (const auto &image : prompt->prompt->images) {
        info->n_image_tokens += image.n_tokens;
        info->n_tokens += image.n_tokens - image.n_positions;
        info->largest_image_tokens = std::max(info->largest_image_tokens, image.n_tokens);
        if (image.at_once) {
            info->largest_at_once_tokens = std::max(info->largest_at_once_tokens, image.n_tokens);
        }
    }
}

} // extern "C"
