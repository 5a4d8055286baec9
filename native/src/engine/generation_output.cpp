// What a generation tells: tokens, text and its end, as events.
#include "engine/engine.h"
#include "platform/errors.h"

#include <algorithm>

namespace paddler {

namespace {

pdl_event event_of(const Slot &slot, pdl_event_kind kind) {
    pdl_event event{};
    event.id = slot.generation->request->id;
    event.kind = kind;
    event.slot = slot.seq;
    event.token = LLAMA_TOKEN_NULL;
    return event;
}

} // namespace

void Engine::emit_started(const Slot &slot, const Placement &placement) {
    const Request &request = *slot.generation->request;
    pdl_event event = event_of(slot, PDL_EVENT_STARTED);
    event.n_prompt = request.n_prompt();
    event.n_cached = std::min(placement.n_cached, request.n_prompt());
    event.cache_kind = placement.kind;
    events_.add(event, {});
    stats_.n_hits[placement.kind]++;
    stats_.n_cached_tokens += event.n_cached;
    stats_.n_prompt_tokens += event.n_prompt;
}

// Takes a generated token into the text, the sampler and the counts; its class.
// Its text as the model wrote it goes to raw, if the request wants it.
// Throws Failure PDL_GRAMMAR_DEAD_END.
int32_t Engine::advance(Generation &generation, llama_token token, std::vector<TextSegment> &segments,
                        std::string &raw) const {
    Request &request = *generation.request;
    const std::string text = piece(token, request);
    const int32_t class_before = generation.text.current_class();
    generation.text.push(text, segments);
    const int32_t class_after = generation.text.current_class();
    if (class_before == class_reasoning && class_after == class_reasoning) {
        request.sampler->accept_reasoning(token, generation.text.holds_text());
    } else {
        request.sampler->accept(token);
    }
    // A marker counts as what it opens or closes, not as content; a token whose
    // text may be the beginning of one counts once that is decided.
    const int32_t token_class = class_before == class_content ? class_after : class_before;
    generation.n_undecided++;
    if (class_after != class_before || !generation.text.holds_text()) {
        generation.count_undecided(token_class);
    }
    generation.n_generated++;
    if (request.with_raw_text) {
        raw += text;
    }
    return token_class;
}

// Takes the tokens that another engine generated, so that text and grammar are
// where they were there, and emits what the client lacks.
void Engine::replay(Slot &slot) {
    Generation &generation = *slot.generation;
    const Request &request = *generation.request;
    if (request.n_replay == 0) {
        return;
    }
    std::vector<TextSegment> segments;
    std::string raw;
    for (auto i = static_cast<size_t>(request.n_prompt()); i < request.prompt.size(); i++) {
        advance(generation, request.prompt[i], segments, raw);
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
    if (!segments.empty() || !raw.empty()) {
        emit(slot, segments, LLAMA_TOKEN_NULL, generation.text.current_class(), {}, raw);
    }
}

void Engine::take_token(Slot &slot, const Choice &choice) {
    Generation &generation = *slot.generation;
    const Request &request = *generation.request;
    if (llama_vocab_is_eog(model_.vocab, choice.token)) {
        end(slot, PDL_END_GENERATION);
        return;
    }
    std::vector<TextSegment> segments;
    std::string raw;
    const int32_t token_class = advance(generation, choice.token, segments, raw);
    stats_.n_generated_tokens++;
    emit(slot, segments, choice.token, token_class, choice.logprobs, raw);
    if (generation.text.stopped()) {
        end(slot, PDL_END_STOP);
    } else if (generation.n_generated >= request.max_tokens) {
        end(slot, request.cut_to_context ? PDL_END_CONTEXT_FULL : PDL_END_MAX_TOKENS);
    }
}

void Engine::emit(const Slot &slot, std::vector<TextSegment> &segments, llama_token token, int32_t token_class,
                  const std::vector<pdl_logprob> &logprobs, std::string_view raw) {
    pdl_event event = event_of(slot, PDL_EVENT_TOKEN);
    event.token = token;
    event.token_class = segments.empty() ? token_class : segments.front().token_class;
    events_.add(event, segments.empty() ? std::string_view() : segments.front().text, logprobs, raw);
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
    generation.count_undecided(generation.text.current_class());
    std::copy(std::begin(generation.n_by_class), std::end(generation.n_by_class), event.n_generated);
    if (!slot.state.tokens.empty() && !store_.is_consistent(slot.seq, slot.state)) {
        store_.clear(slot.seq, slot.state);
    }
    // What was prefilled in part is not what the request's owner would say it
    // holds: it is found by its tokens, but not announced.
    const bool is_whole = slot.n_held() >= generation.request->n_prompt();
    if (!is_whole) {
        slot.state.owner = 0;
    }
    event.kept = is_whole ? 1 : 0;
    event.queued_ms = milliseconds(generation.started - generation.request->submitted);
    event.prefill_ms = milliseconds((generation.decoding ? generation.prefilled : now) - generation.started);
    event.decode_ms = generation.decoding ? milliseconds(now - generation.prefilled) : 0.0f;
    events_.add(event, message);
    slot.generation.reset();
    slot.last_used = ++n_ended_;
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
