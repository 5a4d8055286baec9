// The context that generates, and how a batch or an image goes through it.
//
// Decode thread only, once it is made. Knows batches and logits, not what they
// are for.
#pragma once

#include "engine/decode_batch.h"
#include "model/compute.h"
#include "model/context.h"
#include "paddler_engine.h"
#include "slots/request.h"
#include "slots/slot.h"

#include <atomic>
#include <cstdint>
#include <memory>

namespace paddler {

// As llama_decode returns them; less than 0: it failed.
constexpr int32_t decode_done = 0;
constexpr int32_t decode_aborted = 2;

class ModelRunner {
public:
    // A computation ends soon once `abort` is true. Throws Failure. The model
    // and `abort` must outlive it.
    ModelRunner(const pdl_model &model, const pdl_engine_params &params,
                const std::atomic<bool> &abort);

    llama_context *context() const { return context_.get(); }
    int32_t n_ctx_slot() const { return n_ctx_slot_; } // tokens that fit a slot
    const BatchLimits &limits() const { return limits_; }

    // Held for a whole step, so that nobody else computes between its batches.
    Compute::Turn turn() const { return Compute::Turn(compute_); }

    // Lays the batch out and computes it; the code of llama_decode.
    int32_t decode(const Compute::Turn &turn, DecodeBatch &batch);

    // The image that comes next in the slot's prompt.
    int32_t decode_image(const Compute::Turn &turn, const Slot &slot, const PlacedImage &image);

    // [n_vocab], of the batch computed last; null: llama.cpp has none.
    float *logits(const BatchPart &part) const;

private:
    Compute &compute_;
    const std::atomic<bool> &abort_;
    std::shared_ptr<ThreadPool> threads_;
    ContextPointer context_;
    int32_t n_ctx_slot_;
    BatchLimits limits_;
};

} // namespace paddler
