// What becomes of slots once a batch was computed, or could not be: what they
// hold, the next token, the end of a generation.
//
// Decode thread only.
#pragma once

#include "engine/admission_queue.h"
#include "engine/decode_batch.h"
#include "engine/event_writer.h"
#include "engine/model_runner.h"
#include "sampling/sampler.h"
#include "slots/kv_store.h"
#include "slots/slot.h"

#include <cstdint>
#include <exception>
#include <vector>

namespace paddler {

class Postprocessor {
public:
    Postprocessor(const ModelRunner &runner, const llama_vocab *vocab, KvStore &store,
                  EventWriter &events)
        : runner_(runner), vocab_(vocab), store_(store), events_(events) {}

    // A request got its slot; what it was given to replay is text again.
    void started(const Admission &admission);

    // The runner computed the batch: its tokens are held, and whoever has
    // logits gets its next token.
    void computed(const DecodeBatch &batch);

    // The batch failed with the runner's code. Brings every slot of it back to
    // a state that is known to be right: a prompt goes on from there; a
    // generation that was decoding has lost its logits and ends.
    void failed(const DecodeBatch &batch, int32_t code);

    // An image, which no batch holds, was computed, or failed with the code.
    void image(Slot &slot, const PlacedImage &image, int32_t code);

    void end(Slot &slot, const Ending &ending);

    // After an exception in the middle of a step all is in doubt: no slot keeps
    // anything.
    void abandon(std::vector<Slot> &slots, const std::exception &exception);

private:
    void computed(const BatchPart &part);
    void sample(Slot &slot, float *logits);
    void take(Slot &slot, const Choice &choice);
    void drop(Slot &slot);

    const ModelRunner &runner_;
    const llama_vocab *vocab_;
    KvStore &store_;
    EventWriter &events_;
    uint64_t n_ended_ = 0;
};

} // namespace paddler
