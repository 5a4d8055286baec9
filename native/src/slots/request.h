// A request as the engine keeps it: a checked, deep copy of pdl_request.
#pragma once

#include "images/media_prompt.h"
#include "paddler_engine.h"
#include "platform/clock.h"
#include "sampling/sampler.h"
#include "sampling/text_pipeline.h"

#include "llama.h"

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace paddler {

// A prompt being prefilled that begins like another, which waits for it.
struct PrefixAhead {
    uint64_t id; // of the request that is ahead
    int32_t n_tokens;
    Clock::time_point until; // it is waited for no longer
};

struct Request {
    uint64_t id = 0;
    std::vector<llama_token> prompt;          // followed by the replayed tokens; negative at images
    std::shared_ptr<const MediaPrompt> media; // null: text only
    int32_t n_replay = 0;
    int32_t n_replay_sent_bytes = 0;
    int32_t max_tokens = 0;
    bool cut_to_context = false; // max_tokens asked for more
    std::vector<std::string> stops;
    std::vector<ClassMarker> markers;
    int32_t initial_class = 0;
    std::set<llama_token> preserved_tokens;
    std::vector<int32_t> checkpoints; // ascending
    bool with_raw_text = false;
    std::unique_ptr<Sampler> sampler;
    Clock::time_point submitted;
    std::optional<PrefixAhead> ahead; // decode thread only

    int32_t n_prompt() const { return static_cast<int32_t>(prompt.size()) - n_replay; }

    // The image that begins at or after a position; null: none.
    const PlacedImage *next_image(int32_t position) const;
    // The greatest length <= n_tokens at which the prompt can be cut: images are whole.
    int32_t cut_before_image(int32_t n_tokens) const;
    void add_checkpoint(int32_t position);
};

struct BatchLimits {
    int32_t n_batch;
    int32_t n_ubatch;
};

// Throws Failure: PDL_INVALID_ARGUMENT, PDL_PROMPT_TOO_LONG, PDL_BAD_GRAMMAR.
// PDL_BAD_IMAGE: an image has more tokens than a batch.
std::unique_ptr<Request> copy_request(const pdl_request &source, const pdl_model &model,
                                      int32_t n_ctx_slot, const BatchLimits &limits);

} // namespace paddler
