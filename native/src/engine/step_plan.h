// What the next step computes: shares of prompts, one token of every decoding
// slot, and what keeps those together.
//
// Decode thread only. Owns the planner and the batches; looks at slots and
// changes nothing of them.
#pragma once

#include "engine/decode_batch.h"
#include "engine/prefill_planner.h"
#include "slots/kv_store.h"
#include "slots/slot.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace paddler {

class StepPlan {
public:
    // n_ctx_slot: tokens that fit a slot. n_batch: tokens per llama_decode.
    StepPlan(const KvStore &store, int32_t n_ctx_slot, int32_t n_batch, int32_t prefill_budget_ms);

    // The slot whose prompt goes on with an image; of several the one that
    // started first. Null: there is none. Embeddings cannot share a batch with
    // tokens: an image is decoded by itself, one per step, so that running
    // generations wait for no more than one.
    static Slot *next_image(std::vector<Slot> &slots);

    void form(std::vector<Slot> &slots);

    bool empty() const { return prompts_.empty() && outputs_.empty(); }

    // To be computed one after the other. outputs: one token of every decoding
    // slot, and the last token of every prompt that ends.
    DecodeBatch &prompts() { return prompts_; }
    DecodeBatch &outputs() { return outputs_; }

    // The request whose prompt is all that the step computes.
    std::optional<uint64_t> lone_request() const { return lone_request_; }

    // What both batches took.
    void observe(double elapsed_ms);

    // Moving average; 0 before the first prefill.
    double prefill_tokens_per_s() const { return planner_.prefill_tokens_per_s(); }

private:
    BatchPart prompt_part(Slot &slot, int32_t n_tokens) const;
    void add_prompt_part(Slot &slot, int32_t n_tokens, bool alone);
    void bridge_gaps(std::vector<Slot> &slots);
    bool can_bridge(const Slot &slot, int32_t most_held) const;
    void bridge(Slot &slot);
    void count();

    const KvStore &store_;
    int32_t n_ctx_slot_;
    PrefillPlanner planner_;
    DecodeBatch prompts_;
    DecodeBatch outputs_;
    std::optional<uint64_t> lone_request_;
    int32_t n_decoding_ = 0; // tokens of the step, by what they are for
    int32_t n_prefill_ = 0;
};

} // namespace paddler
