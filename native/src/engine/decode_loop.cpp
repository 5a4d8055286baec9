// The engine's thread: takes requests, computes steps, samples, reports.
#include "engine/engine.h"
#include "platform/errors.h"
#include "platform/log_ring.h"
#include "mtmd-helper.h"

#include <algorithm>

namespace paddler {

void Engine::run() noexcept {
    while (wait_for_work()) {
        try {
            take_commands();
            end_cancelled();
            start_waiting();
            decode_next_image();
            fill_batches();
            if (!prompts_.empty() || !outputs_.empty()) {
                step();
            }
            publish_stats();
        } catch (const std::exception &exception) {
            end_all(exception);
        }
        events_.publish();
        events_.wait_for_room();
    }
}

// What is left after an exception in the middle of a step is in doubt: no
// slot keeps anything.
void Engine::end_all(const std::exception &exception) {
    for (auto &slot : slots_) {
        if (slot.is_free()) {
            drop(slot);
        } else {
            store_.clear(slot.seq, slot.state);
            const bool no_memory = dynamic_cast<const std::bad_alloc *>(&exception) != nullptr;
            end(slot, PDL_END_ERROR, no_memory ? PDL_OUT_OF_MEMORY : PDL_INTERNAL, exception.what());
        }
    }
}

bool Engine::wait_for_work() {
    const bool is_busy = !waiting_.empty() ||
                         std::any_of(slots_.begin(), slots_.end(), [](const Slot &slot) { return !slot.is_free(); });
    std::unique_lock<std::mutex> lock(mutex_);
    if (!is_busy) {
        commands_.wait(lock, [this] { return closing_ || !submitted_.empty() || !cancelled_.empty(); });
    }
    return !closing_;
}

void Engine::take_commands() {
    std::vector<uint64_t> cancelled;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        std::move(submitted_.begin(), submitted_.end(), std::back_inserter(waiting_));
        submitted_.clear();
        cancelled.swap(cancelled_);
        prefilling_alone_ = 0;
        abort_ = closing_;
    }
    for (const uint64_t id : cancelled) {
        for (auto &slot : slots_) {
            if (!slot.is_free() && slot.generation->request->id == id) {
                slot.generation->cancelled = true;
            }
        }
        const auto is_it = [id](const auto &request) { return request->id == id; };
        const auto found = std::find_if(waiting_.begin(), waiting_.end(), is_it);
        if (found != waiting_.end()) {
            end_waiting(**found);
            waiting_.erase(found);
        }
    }
}

void Engine::end_cancelled() {
    for (auto &slot : slots_) {
        if (!slot.is_free() && slot.generation->cancelled) {
            end(slot, PDL_END_CANCELLED);
        }
    }
}

void Engine::start_waiting() {
    std::fill(behind_.begin(), behind_.end(), Behind());
    const auto now = Clock::now();
    auto n_free = std::count_if(slots_.begin(), slots_.end(), [](const Slot &slot) { return slot.is_free(); });
    // Every request that waits for a beginning keeps a slot.
    for (auto next = waiting_.begin(); next != waiting_.end() && n_free > 0; n_free--) {
        if (const Slot *ahead = placer_.awaited_slot(slots_, **next, now); ahead != nullptr) {
            Behind &behind = behind_[static_cast<size_t>(ahead->seq)];
            behind.n_requests++;
            behind.n_tokens = std::min(behind.n_tokens, (*next)->ahead->n_tokens - ahead->n_held());
            ++next;
            continue;
        }
        std::vector<uint64_t> dropped;
        const Placement placement = placer_.place(slots_, **next, dropped);
        report_dropped(dropped);
        Slot &slot = *placement.slot;
        slot.generation = std::make_unique<Generation>(std::move(*next), placement.n_cached, Clock::now());
        next = waiting_.erase(next);
        slot.state.owner = slot.generation->request->id;
        arrivals_[static_cast<size_t>(slot.seq)] = n_started_++;
        emit_started(slot, placement);
        try {
            replay(slot);
        } catch (const Failure &failure) {
            // A copy may be pending: the slot's memory must not be touched now.
            slot.generation->replay_failure = std::make_unique<Failure>(failure);
        }
        // The copied keys and values move with the next llama_decode; nothing
        // else may touch either slot's memory before.
        if (placement.copy_pending) {
            break;
        }
    }
}

// Embeddings cannot share a batch with tokens: an image is decoded by itself,
// one per step, so that running generations wait for no more than one.
void Engine::decode_next_image() {
    Slot *next = nullptr;
    for (auto &slot : slots_) {
        if (slot.image_to_decode() != nullptr &&
            (next == nullptr || arrivals_[static_cast<size_t>(slot.seq)] < arrivals_[static_cast<size_t>(next->seq)])) {
            next = &slot;
        }
    }
    if (next == nullptr) {
        return;
    }
    const PlacedImage &image = *next->image_to_decode();
    const auto begin = next->generation->request->prompt.begin() + image.begin;
    const QuietWhenExpected quiet(abort_);
    llama_pos next_position = 0;
    const int32_t code = mtmd_helper_decode_image_chunk(
        next->generation->request->media->projector, context_.get(), image.chunk.get(),
        const_cast<float *>(image.embeddings->data()), image.begin, next->seq, limits_.n_batch, &next_position, nullptr,
        nullptr);
    if (code == 0) {
        next->state.tokens.insert(next->state.tokens.end(), begin, begin + image.n_positions);
        next->state.has_images = true;
        stats_.n_steps++;
        return;
    }
    store_.clear(next->seq, next->state);
    end(*next, PDL_END_ERROR, code == 2 ? PDL_CLOSED : PDL_DECODE_FAILED,
        code == 2 ? "the engine is closing" : "llama.cpp could not compute an image (code " + std::to_string(code) + ")");
}

void Engine::step() {
    const Compute::Turn turn(model_.compute);
    const auto started = Clock::now();
    const QuietWhenExpected quiet(abort_);
    int32_t n_decoding = 0;
    int32_t n_prefill = prompts_.n_tokens();
    for (const auto &part : outputs_.parts()) {
        const bool decoding = !part.slot->is_free() && part.slot->generation->decoding;
        n_decoding += decoding ? 1 : 0;
        n_prefill += decoding || part.padding ? 0 : 1;
    }
    if (!decode(prompts_)) {
        return; // the outputs are formed anew: nothing of them is lost
    }
    for (const auto &part : prompts_.parts()) {
        after_decode(part);
    }
    if (!decode(outputs_)) {
        return;
    }
    planner_.observe(n_decoding, n_prefill, milliseconds(Clock::now() - started));
    stats_.n_steps++;
    for (const auto &part : outputs_.parts()) {
        after_decode(part);
    }
}

bool Engine::decode(DecodeBatch &batch) {
    if (batch.empty()) {
        return true;
    }
    batch.lay_out();
    int32_t code = 0;
    try {
        code = llama_decode(context_.get(), batch.native());
        llama_synchronize(context_.get());
    } catch (const std::exception &) {
        code = -2;
    }
    if (code != 0) {
        after_failed_decode(batch, code);
    }
    return code == 0;
}

void Engine::after_decode(const BatchPart &part) {
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
    if (part.output_index >= 0) {
        sample(slot, part.output_index);
    }
}

// Brings every slot of the batch back to a state that is known to be right. A
// prompt goes on from there; a generation that was decoding has lost its logits and ends.
void Engine::after_failed_decode(const DecodeBatch &batch, int32_t code) {
    const bool aborted = code == 2;
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
        if (!aborted) {
            store_.clear(slot.seq, slot.state);
            end(slot, PDL_END_ERROR, PDL_DECODE_FAILED,
                "llama.cpp could not compute a batch (code " + std::to_string(code) + ")");
        } else if (slot.generation->decoding) {
            end(slot, PDL_END_ERROR, PDL_CLOSED, "the engine is closing");
        }
    }
}

// What a free slot holds is in doubt.
void Engine::drop(Slot &slot) {
    if (slot.state.owner != 0) {
        report_dropped({slot.state.owner});
    }
    store_.clear(slot.seq, slot.state);
}

void Engine::sample(Slot &slot, int32_t output_index) {
    Generation &generation = *slot.generation;
    if (!generation.decoding) {
        generation.decoding = true;
        generation.prefilled = Clock::now();
    }
    try {
        float *logits = llama_get_logits_ith(context_.get(), output_index);
        if (logits == nullptr) {
            throw Failure(PDL_DECODE_FAILED, "llama.cpp gave no logits");
        }
        if (generation.replay_failure != nullptr) {
            throw *generation.replay_failure;
        }
        const Choice choice = generation.request->sampler->sample(logits);
        generation.next = choice.token;
        take_token(slot, choice);
    } catch (const Failure &failure) {
        end(slot, PDL_END_ERROR, failure.status(), failure.what());
    } catch (const std::exception &exception) {
        end(slot, PDL_END_ERROR, PDL_INTERNAL, exception.what());
    }
}

void Engine::publish_stats() {
    const std::lock_guard<std::mutex> lock(mutex_);
    stats_.n_queued = static_cast<int32_t>(waiting_.size());
    stats_.n_running = 0;
    stats_.prompt_cache_bytes = prompt_cache_.n_bytes();
    stats_.n_evictions = prompt_cache_.n_evictions();
    stats_.prefill_tokens_per_s = static_cast<float>(planner_.prefill_tokens_per_s());
    for (size_t i = 0; i < slots_.size(); i++) {
        const Slot &slot = slots_[i];
        stats_.n_running += slot.is_free() ? 0 : 1;
        slot_infos_[i].state = slot.is_free() ? PDL_SLOT_FREE : slot.generation->decoding ? PDL_SLOT_DECODE : PDL_SLOT_PREFILL;
        slot_infos_[i].n_cached = static_cast<int32_t>(slot.state.tokens.size());
        slot_infos_[i].request_id = slot.state.owner;
    }
    stats_published_ = stats_;
}

} // namespace paddler
