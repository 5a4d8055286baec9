// What one llama_decode computes, and for which slots.
#pragma once

#include "model/context.h"
#include "slots/slot.h"

#include <cstdint>
#include <vector>

namespace paddler {

struct BatchPart {
    Slot *slot;
    // From the end of what the slot holds when the batch is computed.
    std::vector<llama_token> tokens;
    bool output = false; // the logits after the last token are wanted
    bool checkpoint_after = false;
    bool padding = false;      // computed for nobody, and taken back
    int32_t output_index = -1; // of the logits, in the laid out batch
};

// At most one part per slot. Decode thread only.
class DecodeBatch {
public:
    explicit DecodeBatch(int32_t capacity) : tokens_(capacity) {}

    void clear();
    void add(BatchPart part) { parts_.push_back(std::move(part)); }
    // Takes the last token of a slot's part out, with what is to happen after
    // it; a part of no tokens if there is none.
    BatchPart take_last(const Slot &slot);

    // Puts the parts in the order of their slots. llama.cpp computes in one go
    // only sequences that follow one another in the batch, number by number
    // (llama_batch_allocr::split_equal).
    void sort();
    // Fills the native batch.
    void lay_out();

    bool empty() const { return parts_.empty(); }
    int32_t n_tokens() const;
    const std::vector<BatchPart> &parts() const { return parts_; }
    const llama_batch &native() const { return tokens_.native(); }

private:
    Batch tokens_;
    std::vector<BatchPart> parts_;
};

} // namespace paddler
