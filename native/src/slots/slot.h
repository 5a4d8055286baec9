// A slot: one sequence of the context, and the generation that runs on it.
#pragma once

#include "platform/errors.h"
#include "slots/kv_store.h"
#include "slots/request.h"
#include "sampling/text_pipeline.h"

#include <cstdint>
#include <memory>
#include <string>

namespace paddler {

// Free slots in a row that are computed along with their neighbours: two rows
// cost about what reading the weights once more does where computing is dear,
// and less elsewhere.
constexpr int32_t most_bridged = 2;

// A request on its slot. Decode thread only.
struct Generation {
    Generation(std::unique_ptr<Request> accepted, int32_t n_cached, Clock::time_point now)
        : request(std::move(accepted)), text(request->stops, request->markers, request->initial_class),
          n_to_prefill(static_cast<int32_t>(request->prompt.size()) - n_cached), started(now), prefilled(now) {}

    std::unique_ptr<Request> request;
    TextPipeline text;
    int32_t n_to_prefill; // when it started
    Clock::time_point started;
    Clock::time_point prefilled; // when the prompt was done
    bool decoding = false;       // the prompt is done; `next` waits to be decoded
    llama_token next = LLAMA_TOKEN_NULL;
    int32_t n_generated = 0;
    int32_t n_by_class[n_classes] = {};
    int32_t n_undecided = 0; // generated tokens that are in no class yet
    std::unique_ptr<Failure> replay_failure; // ends it once the prompt is done
    bool cancelled = false;

    void count_undecided(int32_t token_class) {
        n_by_class[token_class] += n_undecided;
        n_undecided = 0;
    }
};

struct Slot {
    llama_seq_id seq = 0;
    SequenceState state;
    std::unique_ptr<Generation> generation; // null: free
    uint64_t last_used = 0;                 // grows with every request that ends

    bool is_free() const { return generation == nullptr; }

    bool is_prefilling() const { return generation != nullptr && !generation->decoding; }

    int32_t n_held() const { return static_cast<int32_t>(state.tokens.size()); }

    // The image that comes next in the prompt; null: text, or nothing.
    const PlacedImage *image_to_decode() const {
        const PlacedImage *image = is_prefilling() ? generation->request->next_image(n_held()) : nullptr;
        return image != nullptr && image->begin == n_held() ? image : nullptr;
    }

    // Prompt tokens that can be decoded next, up to an image.
    int32_t n_text_left() const {
        if (!is_prefilling()) {
            return 0;
        }
        const PlacedImage *image = generation->request->next_image(n_held());
        return (image != nullptr ? image->begin : static_cast<int32_t>(generation->request->prompt.size())) - n_held();
    }
};

} // namespace paddler
