// The engine's thread: takes requests, forms batches, samples, reports.
#include "engine.h"
#include "errors.h"
#include "log_ring.h"

#include <algorithm>

namespace paddler {

namespace {

// Checkpoints closer than this to another one, or to the prompt's end, save
// less than they cost.
constexpr int32_t min_checkpoint_distance = 48;

float milliseconds(Clock::duration duration) {
    return std::chrono::duration<float, std::milli>(duration).count();
}

pdl_event event_of(const Slot &slot, pdl_event_kind kind) {
    pdl_event event{};
    event.id = slot.generation->request->id;
    event.kind = kind;
    event.slot = slot.seq;
    event.token = LLAMA_TOKEN_NULL;
    return event;
}

} // namespace

void Engine::run() noexcept {
    while (wait_for_work()) {
        try {
            take_commands();
            end_cancelled();
            start_waiting();
            fill_batch();
            if (batch_.size() > 0) {
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
        store_.clear(slot.seq, slot.state);
        if (!slot.is_free()) {
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

void Engine::end_waiting(const Request &request) {
    pdl_event event{};
    event.id = request.id;
    event.kind = PDL_EVENT_END;
    event.slot = -1;
    event.token = LLAMA_TOKEN_NULL;
    event.end_reason = PDL_END_CANCELLED;
    event.queued_ms = milliseconds(Clock::now() - request.submitted);
    events_.add(event, {});
}

void Engine::end_cancelled() {
    for (auto &slot : slots_) {
        if (!slot.is_free() && slot.generation->cancelled) {
            end(slot, PDL_END_CANCELLED);
        }
    }
}

void Engine::start_waiting() {
    while (!waiting_.empty() &&
           std::any_of(slots_.begin(), slots_.end(), [](const Slot &slot) { return slot.is_free(); })) {
        std::vector<uint64_t> dropped;
        const Placement placement = placer_.place(slots_, waiting_.front()->prompt, dropped);
        report_dropped(dropped);
        Slot &slot = *placement.slot;
        slot.generation = std::make_unique<Generation>(std::move(waiting_.front()), Clock::now());
        waiting_.pop_front();
        slot.state.owner = slot.generation->request->id;
        arrivals_[static_cast<size_t>(slot.seq)] = n_started_++;
        const Request &request = *slot.generation->request;
        pdl_event event = event_of(slot, PDL_EVENT_STARTED);
        event.n_prompt = request.n_prompt();
        event.n_cached = std::min(placement.n_cached, request.n_prompt());
        event.cache_kind = placement.kind;
        events_.add(event, {});
        stats_.n_hits[placement.kind]++;
        stats_.n_cached_tokens += event.n_cached;
        stats_.n_prompt_tokens += event.n_prompt;
        replay_text(slot);
        // The copied keys and values move with the next llama_decode; nothing
        // else may touch either slot's memory before.
        if (placement.copy_pending) {
            break;
        }
    }
}

// Runs the text of tokens that another engine generated through the pipeline,
// so that its state is what it was there, and emits what the client lacks.
void Engine::replay_text(Slot &slot) {
    Generation &generation = *slot.generation;
    const Request &request = *generation.request;
    if (request.n_replay == 0) {
        return;
    }
    std::vector<TextSegment> segments;
    for (auto i = static_cast<size_t>(request.n_prompt()); i < request.prompt.size(); i++) {
        const std::string text = piece(request.prompt[i], request);
        const int32_t class_before = generation.text.current_class();
        generation.text.push(text, segments);
        const int32_t token_class = class_before == 0 ? generation.text.current_class() : class_before;
        generation.n_by_class[token_class]++;
        generation.n_generated++;
        if (request.keep_raw_text) {
            generation.raw_text += text;
        }
    }
    auto n_sent = static_cast<size_t>(std::max(request.n_replay_sent_bytes, 0));
    for (auto &segment : segments) {
        const size_t n_skipped = std::min(n_sent, segment.text.size());
        segment.text.erase(0, n_skipped);
        n_sent -= n_skipped;
    }
    segments.erase(std::remove_if(segments.begin(), segments.end(),
                                  [](const TextSegment &segment) { return segment.text.empty(); }),
                   segments.end());
    if (!segments.empty()) {
        emit(slot, segments, LLAMA_TOKEN_NULL, segments.front().token_class, {});
    }
}

void Engine::fill_batch() {
    batch_.clear();
    parts_.clear();
    std::vector<PrefillDemand> demands;
    for (auto &slot : slots_) {
        if (slot.is_free()) {
            continue;
        }
        if (slot.generation->decoding) {
            const llama_token token = slot.generation->next;
            parts_.push_back({&slot, {token}, batch_.size(), false});
            batch_.add(token, static_cast<llama_pos>(slot.state.tokens.size()), slot.seq, true);
        } else {
            demands.push_back({slot.seq, slot.n_prompt_left(), arrivals_[static_cast<size_t>(slot.seq)]});
        }
    }
    const int32_t n_decoding = batch_.size();
    for (const auto &share : planner_.plan(n_decoding, std::move(demands))) {
        add_prompt_part(slots_[static_cast<size_t>(share.slot)], share.n_tokens);
    }
    if (n_decoding == 0 && parts_.size() == 1) {
        const std::lock_guard<std::mutex> lock(mutex_);
        prefilling_alone_ = parts_.front().slot->generation->request->id;
        // A cancellation that came since the commands were taken.
        abort_ = closing_ ||
                 std::find(cancelled_.begin(), cancelled_.end(), prefilling_alone_.load()) != cancelled_.end();
    }
}

void Engine::add_prompt_part(Slot &slot, int32_t n_tokens) {
    const Request &request = *slot.generation->request;
    const auto n_held = static_cast<int32_t>(slot.state.tokens.size());
    const auto n_prompt = static_cast<int32_t>(request.prompt.size());
    bool checkpoint_after = false;
    if (store_.needs_checkpoints()) {
        for (const int32_t position : request.checkpoints) {
            if (position - n_held >= min_checkpoint_distance && position < n_held + n_tokens &&
                n_prompt - position >= min_checkpoint_distance) {
                n_tokens = position - n_held;
                checkpoint_after = true;
                break;
            }
        }
    }
    const bool completes = n_held + n_tokens == n_prompt;
    const auto begin = request.prompt.begin() + n_held;
    BatchPart part{&slot, {begin, begin + n_tokens}, -1, checkpoint_after || completes};
    for (int32_t i = 0; i < n_tokens; i++) {
        const bool output = completes && i == n_tokens - 1;
        if (output) {
            part.output_index = batch_.size();
        }
        batch_.add(part.tokens[static_cast<size_t>(i)], n_held + i, slot.seq, output);
    }
    parts_.push_back(std::move(part));
}

void Engine::step() {
    const Compute::Turn turn(model_.compute);
    const auto started = Clock::now();
    const QuietWhenExpected quiet(abort_);
    int32_t code = 0;
    try {
        code = llama_decode(context_.get(), batch_.native());
        llama_synchronize(context_.get());
    } catch (const std::exception &) {
        code = -2;
    }
    const auto now = Clock::now();
    if (code != 0) {
        after_failed_decode(code);
        return;
    }
    int32_t n_decoding = 0;
    int32_t n_prefill = 0;
    for (const auto &part : parts_) {
        (part.slot->generation->decoding ? n_decoding : n_prefill) += static_cast<int32_t>(part.tokens.size());
    }
    planner_.observe(n_decoding, n_prefill, milliseconds(now - started));
    stats_.n_steps++;
    for (const auto &part : parts_) {
        after_decode(part, now);
    }
}

void Engine::after_decode(const BatchPart &part, Clock::time_point now) {
    Slot &slot = *part.slot;
    slot.state.tokens.insert(slot.state.tokens.end(), part.tokens.begin(), part.tokens.end());
    if (part.checkpoint_after) {
        store_.add_checkpoint(slot.seq, slot.state);
    }
    if (part.output_index >= 0) {
        sample(slot, part.output_index, now);
    }
}

// Brings every slot of the batch back to a state that is known to be right. A
// prompt goes on from there; a generation that was decoding has lost its logits and ends.
void Engine::after_failed_decode(int32_t code) {
    const bool aborted = code == 2;
    for (const auto &part : parts_) {
        Slot &slot = *part.slot;
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

void Engine::sample(Slot &slot, int32_t output_index, Clock::time_point now) {
    Generation &generation = *slot.generation;
    if (!generation.decoding) {
        generation.decoding = true;
        generation.prefilled = now;
    }
    try {
        float *logits = llama_get_logits_ith(context_.get(), output_index);
        if (logits == nullptr) {
            throw Failure(PDL_DECODE_FAILED, "llama.cpp gave no logits");
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

void Engine::take_token(Slot &slot, const Choice &choice) {
    Generation &generation = *slot.generation;
    const Request &request = *generation.request;
    if (llama_vocab_is_eog(model_.vocab, choice.token)) {
        end(slot, PDL_END_GENERATION);
        return;
    }
    generation.request->sampler->accept(choice.token);
    const std::string text = piece(choice.token, request);
    const int32_t class_before = generation.text.current_class();
    std::vector<TextSegment> segments;
    generation.text.push(text, segments);
    // A marker counts as what it opens or closes, not as content.
    const int32_t token_class = class_before == 0 ? generation.text.current_class() : class_before;
    generation.n_by_class[token_class]++;
    generation.n_generated++;
    stats_.n_generated_tokens++;
    if (request.keep_raw_text) {
        generation.raw_text += text;
    }
    emit(slot, segments, choice.token, token_class, choice.logprobs);
    if (generation.text.stopped()) {
        end(slot, PDL_END_STOP);
    } else if (generation.n_generated >= request.max_tokens) {
        end(slot, request.cut_to_context ? PDL_END_CONTEXT_FULL : PDL_END_MAX_TOKENS);
    }
}

void Engine::emit(const Slot &slot, std::vector<TextSegment> &segments, llama_token token, int32_t token_class,
                  const std::vector<pdl_logprob> &logprobs) {
    pdl_event event = event_of(slot, PDL_EVENT_TOKEN);
    event.token = token;
    event.token_class = segments.empty() ? token_class : segments.front().token_class;
    events_.add(event, segments.empty() ? std::string_view() : segments.front().text, logprobs);
    for (size_t i = 1; i < segments.size(); i++) {
        event.token = LLAMA_TOKEN_NULL;
        event.token_class = segments[i].token_class;
        events_.add(event, segments[i].text);
    }
}

void Engine::end(Slot &slot, pdl_end_reason reason, pdl_status status, const std::string &message) {
    Generation &generation = *slot.generation;
    const auto now = Clock::now();
    if (reason != PDL_END_CANCELLED && reason != PDL_END_ERROR) {
        std::vector<TextSegment> segments;
        generation.text.finish(segments);
        if (!segments.empty()) {
            emit(slot, segments, LLAMA_TOKEN_NULL, segments.front().token_class, {});
        }
    }
    pdl_event event = event_of(slot, PDL_EVENT_END);
    event.end_reason = reason;
    event.status = status;
    event.n_prompt = generation.request->n_prompt();
    std::copy(std::begin(generation.n_by_class), std::end(generation.n_by_class), event.n_generated);
    if (!slot.state.tokens.empty() && !store_.is_consistent(slot.seq, slot.state)) {
        store_.clear(slot.seq, slot.state);
    }
    event.kept = slot.state.tokens.empty() ? 0 : 1;
    event.queued_ms = milliseconds(generation.started - generation.request->submitted);
    event.prefill_ms = milliseconds((generation.decoding ? generation.prefilled : now) - generation.started);
    event.decode_ms = generation.decoding ? milliseconds(now - generation.prefilled) : 0.0f;
    events_.add(event, reason == PDL_END_ERROR ? message : generation.raw_text);
    slot.generation.reset();
    slot.last_used = ++n_ended_;
}

void Engine::report_dropped(const std::vector<uint64_t> &owners) {
    for (const uint64_t owner : owners) {
        pdl_event event{};
        event.id = owner;
        event.kind = PDL_EVENT_CACHE_DROPPED;
        event.slot = -1;
        event.token = LLAMA_TOKEN_NULL;
        events_.add(event, {});
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

std::string Engine::piece(llama_token token, const Request &request) const {
    const bool special = request.preserved_tokens.count(token) > 0;
    std::string text(32, '\0');
    int32_t length = llama_token_to_piece(model_.vocab, token, text.data(), static_cast<int32_t>(text.size()), 0, special);
    if (length < 0) {
        text.resize(static_cast<size_t>(-length));
        length = llama_token_to_piece(model_.vocab, token, text.data(), static_cast<int32_t>(text.size()), 0, special);
    }
    text.resize(static_cast<size_t>(std::max(length, 0)));
    return text;
}

} // namespace paddler
