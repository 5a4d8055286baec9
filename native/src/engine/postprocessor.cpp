#include "engine/postprocessor.h"

#include "platform/clock.h"
#include "platform/errors.h"

#include <new>
#include <optional>
#include <string>

namespace paddler {

namespace {

Ending failure_of(const std::exception &exception) {
    if (const auto *failure = dynamic_cast<const Failure *>(&exception)) {
        return {PDL_END_ERROR, failure->status(), failure->what()};
    }
    const bool no_memory = dynamic_cast<const std::bad_alloc *>(&exception) != nullptr;
    return {PDL_END_ERROR, no_memory ? PDL_OUT_OF_MEMORY : PDL_INTERNAL, exception.what()};
}

Ending failure_of(int32_t code, const char *what) {
    if (code == decode_aborted) {
        return {PDL_END_ERROR, PDL_CLOSED, "the engine is closing"};
    }
    return {PDL_END_ERROR, PDL_DECODE_FAILED,
            std::string("llama.cpp could not compute ") + what + " (code " + std::to_string(code) +
                ")"};
}

} // namespace

void Postprocessor::started(const Admission &admission) {
    Slot &slot = *admission.placement.slot;
    events_.dropped(admission.dropped);
    events_.started(slot, admission.placement);
    // A copy may be pending: the slot's memory must not be touched now, also
    // where replaying failed.
    events_.text(slot, slot.generation->replay(vocab_));
}

void Postprocessor::computed(const DecodeBatch &batch) {
    for (const auto &part : batch.parts()) {
        computed(part);
    }
}

void Postprocessor::computed(const BatchPart &part) {
    Slot &slot = *part.slot;
    if (part.padding) {
        if (!store_.take_back_padding(slot.seq, slot.state)) {
            drop(slot);
        }
        return;
    }
    slot.state.tokens.insert(slot.state.tokens.end(), part.tokens.begin(), part.tokens.end());
    if (part.checkpoint_after) {
        store_.add_checkpoint(slot.seq, slot.state);
    }
    if (part.output) {
        sample(slot, runner_.logits(part));
    }
}

void Postprocessor::failed(const DecodeBatch &batch, int32_t code) {
    for (const auto &part : batch.parts()) {
        Slot &slot = *part.slot;
        if (part.padding) {
            drop(slot);
            continue;
        }
        store_.recover(slot.seq, slot.state);
        if (slot.is_free()) {
            continue;
        }
        if (code == decode_aborted && slot.is_prefilling()) {
            continue;
        }
        if (code != decode_aborted) {
            store_.clear(slot.seq, slot.state);
        }
        end(slot, failure_of(code, "a batch"));
    }
}

void Postprocessor::image(Slot &slot, const PlacedImage &image, int32_t code) {
    if (code != decode_done) {
        store_.clear(slot.seq, slot.state);
        end(slot, failure_of(code, "an image"));
        return;
    }
    const auto begin = slot.generation->request->prompt.begin() + image.begin;
    slot.state.tokens.insert(slot.state.tokens.end(), begin, begin + image.n_positions);
    slot.state.has_images = true;
}

// What a free slot holds is in doubt.
void Postprocessor::drop(Slot &slot) {
    if (slot.state.owner != 0) {
        events_.dropped({slot.state.owner});
    }
    store_.clear(slot.seq, slot.state);
}

void Postprocessor::sample(Slot &slot, float *logits) {
    Generation &generation = *slot.generation;
    if (!generation.decoding) {
        generation.decoding = true;
        generation.prefilled = Clock::now();
    }
    try {
        if (logits == nullptr) {
            throw Failure(PDL_DECODE_FAILED, "llama.cpp gave no logits");
        }
        if (generation.replay_failure != nullptr) {
            throw Failure(*generation.replay_failure);
        }
        take(slot, generation.request->sampler->sample(logits));
    } catch (const std::exception &exception) {
        end(slot, failure_of(exception));
    }
}

void Postprocessor::take(Slot &slot, const Choice &choice) {
    Generation &generation = *slot.generation;
    generation.next = choice.token;
    if (llama_vocab_is_eog(vocab_, choice.token)) {
        end(slot, {PDL_END_GENERATION});
        return;
    }
    Output output;
    generation.take(choice.token, vocab_, output);
    events_.token(slot, choice.token, output, choice.logprobs);
    if (const std::optional<pdl_end_reason> reason = generation.end_reason()) {
        end(slot, {*reason});
    }
}

void Postprocessor::end(Slot &slot, const Ending &ending) {
    Generation &generation = *slot.generation;
    if (ending.reason != PDL_END_CANCELLED && ending.reason != PDL_END_ERROR) {
        events_.text(slot, generation.finish());
    }
    generation.count_undecided(generation.text.current_class());
    if (!slot.state.tokens.empty() && !store_.is_consistent(slot.seq, slot.state)) {
        store_.clear(slot.seq, slot.state);
    }
    // What was prefilled in part is not what the request's owner would say it
    // holds: it is found by its tokens, but not announced.
    const bool is_whole = slot.n_held() >= generation.request->n_prompt();
    if (!is_whole) {
        slot.state.owner = 0;
    }
    events_.ended(slot, ending, is_whole);
    slot.generation.reset();
    slot.last_used = ++n_ended_;
}

void Postprocessor::abandon(std::vector<Slot> &slots, const std::exception &exception) {
    for (auto &slot : slots) {
        if (slot.is_free()) {
            drop(slot);
        } else {
            store_.clear(slot.seq, slot.state);
            end(slot, failure_of(exception));
        }
    }
}

} // namespace paddler
