#include "engine/event_writer.h"

#include "platform/clock.h"

#include <algorithm>
#include <iterator>
#include <string_view>

namespace paddler {

namespace {

pdl_event event_of(uint64_t request, pdl_event_kind kind) {
    pdl_event event{};
    event.id = request;
    event.kind = kind;
    event.slot = -1;
    event.token = LLAMA_TOKEN_NULL;
    return event;
}

pdl_event event_of(const Slot &slot, pdl_event_kind kind) {
    pdl_event event = event_of(slot.generation->request->id, kind);
    event.slot = slot.seq;
    return event;
}

} // namespace

void EventWriter::started(const Slot &slot, const Placement &placement) {
    const Request &request = *slot.generation->request;
    pdl_event event = event_of(slot, PDL_EVENT_STARTED);
    event.n_prompt = request.n_prompt();
    event.n_cached = std::min(placement.n_cached, request.n_prompt());
    event.cache_kind = placement.kind;
    ring_.add(event, {});
    counts_.n_hits[placement.kind]++;
    counts_.n_cached_tokens += event.n_cached;
    counts_.n_prompt_tokens += event.n_prompt;
}

void EventWriter::token(const Slot &slot, llama_token token, const Output &output,
                        const std::vector<pdl_logprob> &logprobs) {
    counts_.n_generated_tokens++;
    segments(slot, token, output, logprobs);
}

void EventWriter::text(const Slot &slot, const Output &output) {
    if (!output.segments.empty() || !output.raw.empty()) {
        segments(slot, LLAMA_TOKEN_NULL, output, {});
    }
}

void EventWriter::segments(const Slot &slot, llama_token token, const Output &output,
                           const std::vector<pdl_logprob> &logprobs) {
    pdl_event event = event_of(slot, PDL_EVENT_TOKEN);
    event.token = token;
    if (output.segments.empty()) {
        event.token_class = output.token_class;
        ring_.add(event, {}, logprobs, output.raw);
        return;
    }
    event.token_class = output.segments.front().token_class;
    ring_.add(event, output.segments.front().text, logprobs, output.raw);
    event.token = LLAMA_TOKEN_NULL;
    for (size_t i = 1; i < output.segments.size(); i++) {
        event.token_class = output.segments[i].token_class;
        ring_.add(event, output.segments[i].text);
    }
}

void EventWriter::ended(const Slot &slot, const Ending &ending, bool kept) {
    const Generation &generation = *slot.generation;
    const auto now = Clock::now();
    pdl_event event = event_of(slot, PDL_EVENT_END);
    event.end_reason = ending.reason;
    event.status = ending.status;
    event.n_prompt = generation.request->n_prompt();
    std::copy(std::begin(generation.n_by_class), std::end(generation.n_by_class),
              event.n_generated);
    event.kept = kept ? 1 : 0;
    event.queued_ms = milliseconds(generation.started - generation.request->submitted);
    event.prefill_ms =
        milliseconds((generation.decoding ? generation.prefilled : now) - generation.started);
    event.decode_ms = generation.decoding ? milliseconds(now - generation.prefilled) : 0.0f;
    ring_.add(event, ending.message);
}

void EventWriter::cancelled(const Request &waiting) {
    pdl_event event = event_of(waiting.id, PDL_EVENT_END);
    event.end_reason = PDL_END_CANCELLED;
    event.queued_ms = milliseconds(Clock::now() - waiting.submitted);
    ring_.add(event, {});
}

void EventWriter::dropped(const std::vector<uint64_t> &owners) {
    for (const uint64_t owner : owners) {
        ring_.add(event_of(owner, PDL_EVENT_CACHE_DROPPED), {});
    }
}

} // namespace paddler
