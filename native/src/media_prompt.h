// A prompt of tokens and images, position by position.
#pragma once

#include "llama.h"
#include "mtmd.h"
#include "paddler_images.h"

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace paddler {

// An image's place in a prompt. Its positions hold placeholders, negative
// numbers made of the image's content, so that equal prefixes compare equal.
struct PlacedImage {
    int32_t begin;        // first position
    int32_t n_positions;
    int32_t n_tokens;
    std::shared_ptr<const mtmd_input_chunk> chunk;
    std::vector<float> embeddings; // [n_tokens, n_embd]

    int32_t end() const { return begin + n_positions; }
};

struct MediaPrompt {
    std::vector<llama_token> tokens; // placeholders at images
    std::vector<PlacedImage> images; // ascending
    mtmd_context *projector = nullptr;
};

} // namespace paddler

struct pdl_media_prompt {
    std::shared_ptr<const paddler::MediaPrompt> prompt;
};

struct pdl_projector {
    mtmd::context_ptr context;
    std::mutex encoding; // mtmd_encode_chunk has one output buffer
    int32_t n_embd = 0;
};
