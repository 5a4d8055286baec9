// A prompt of tokens and images, position by position.
#pragma once

#include "images/encoded_images.h"
#include "paddler_images.h"

#include "llama.h"
#include "mtmd.h"

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace paddler {

// An image's place in a prompt. Its positions hold placeholders, negative
// numbers made of the image's content, so that equal prefixes compare equal.
struct PlacedImage {
    int32_t begin = 0; // first position
    int32_t n_positions = 0;
    int32_t n_tokens = 0;
    std::shared_ptr<const mtmd_input_chunk> chunk;
    uint64_t content_hash = 0;
    int32_t part = 0;      // some projectors cut an image into several
    bool at_once = false;  // its tokens see each other both ways
    Embeddings embeddings; // null until encoded

    int32_t end() const { return begin + n_positions; }
};

struct MediaPrompt {
    std::vector<llama_token> tokens; // placeholders at images
    std::vector<PlacedImage> images; // ascending
    mtmd_context *projector = nullptr;
};

} // namespace paddler

struct pdl_media_prompt {
    std::shared_ptr<paddler::MediaPrompt> prompt; // complete once its images are encoded
};

struct pdl_projector {
    mtmd::context_ptr context;
    std::mutex encoding; // mtmd_encode_chunk has one output buffer; also guards what follows
    paddler::EncodedImages encoded;
    int64_t n_encoded = 0;
    int32_t n_embd = 0;
};
