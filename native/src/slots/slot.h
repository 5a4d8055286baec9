// A slot: one sequence of the context, and the generation that runs on it.
//
// Decode thread only.
#pragma once

#include "slots/generation.h"
#include "slots/kv_store.h"
#include "slots/request.h"

#include <cstdint>
#include <memory>

namespace paddler {

// Free slots in a row that are computed along with their neighbours: two rows
// cost about what reading the weights once more does where computing is dear,
// and less elsewhere.
constexpr int32_t most_bridged = 2;

struct Slot {
    llama_seq_id seq = 0;
    SequenceState state;
    std::unique_ptr<Generation> generation; // null: free
    uint64_t last_used = 0;                 // grows with every request that ends

    bool is_free() const { return generation == nullptr; }

    bool is_prefilling() const { return generation != nullptr && !generation->decoding; }

    bool is_decoding() const { return generation != nullptr && generation->decoding; }

    int32_t n_held() const { return static_cast<int32_t>(state.tokens.size()); }

    // The image that comes next in the prompt; null: text, or nothing.
    const PlacedImage *image_to_decode() const {
        const PlacedImage *image =
            is_prefilling() ? generation->request->next_image(n_held()) : nullptr;
        return image != nullptr && image->begin == n_held() ? image : nullptr;
    }

    // Prompt tokens that can be decoded next, up to an image.
    int32_t n_text_left() const {
        if (!is_prefilling()) {
            return 0;
        }
        const PlacedImage *image = generation->request->next_image(n_held());
        return (image != nullptr ? image->begin
                                 : static_cast<int32_t>(generation->request->prompt.size())) -
               n_held();
    }
};

} // namespace paddler
