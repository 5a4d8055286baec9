// What happened to a generation, as events, and how often it did.
//
// Decode thread only. Knows the shape of events; decides nothing.
#pragma once

#include "engine/event_ring.h"
#include "paddler_engine.h"
#include "slots/generation.h"
#include "slots/placement.h"
#include "slots/slot.h"

#include "llama.h"

#include <cstdint>
#include <string>
#include <vector>

namespace paddler {

// Why and how a generation ends.
struct Ending {
    pdl_end_reason reason;
    pdl_status status = PDL_OK; // of an error
    std::string message = {};   // of an error
};

// Since the engine opened.
struct EventCounts {
    int64_t n_prompt_tokens = 0;
    int64_t n_cached_tokens = 0;
    int64_t n_generated_tokens = 0;
    int64_t n_hits[4] = {}; // starts by pdl_cache_kind
};

class EventWriter {
public:
    explicit EventWriter(EventRing &ring) : ring_(ring) {}

    void started(const Slot &slot, const Placement &placement);
    // A generated token and the text that became certain with it.
    void token(const Slot &slot, llama_token token, const Output &output,
               const std::vector<pdl_logprob> &logprobs);
    // Text without a token of its own; nothing if there is none.
    void text(const Slot &slot, const Output &output);
    // kept: the slot keeps the state of the whole prompt at least.
    void ended(const Slot &slot, const Ending &ending, bool kept);
    // A request that never got a slot was cancelled.
    void cancelled(const Request &waiting);
    // The states that these requests left behind are gone.
    void dropped(const std::vector<uint64_t> &owners);

    const EventCounts &counts() const { return counts_; }

private:
    void segments(const Slot &slot, llama_token token, const Output &output,
                  const std::vector<pdl_logprob> &logprobs);

    EventRing &ring_;
    EventCounts counts_;
};

} // namespace paddler
