// A request as the engine keeps it: a checked, deep copy of pdl_request.
#pragma once

#include "llama.h"
#include "paddler_engine.h"
#include "sampler.h"
#include "text_pipeline.h"

#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace paddler {

using Clock = std::chrono::steady_clock;

constexpr int32_t n_classes = 4;

struct Request {
    uint64_t id = 0;
    std::vector<llama_token> prompt; // followed by the replayed tokens
    int32_t n_replay = 0;
    int32_t n_replay_sent_bytes = 0;
    int32_t max_tokens = 0;
    bool cut_to_context = false; // max_tokens asked for more
    std::vector<std::string> stops;
    std::vector<ClassMarker> markers;
    int32_t initial_class = 0;
    std::set<llama_token> preserved_tokens;
    std::vector<int32_t> checkpoints; // ascending
    bool keep_raw_text = false;
    std::unique_ptr<Sampler> sampler;
    Clock::time_point submitted;

    int32_t n_prompt() const { return static_cast<int32_t>(prompt.size()) - n_replay; }
};

// Throws Failure: PDL_INVALID_ARGUMENT, PDL_PROMPT_TOO_LONG, PDL_BAD_GRAMMAR.
std::unique_ptr<Request> copy_request(const pdl_request &source, const llama_vocab *vocab, int32_t n_ctx_slot);

} // namespace paddler
