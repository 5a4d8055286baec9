#include "slots/generation.h"

#include "common.h"

#include <algorithm>
#include <utility>

namespace paddler {

Generation::Generation(std::unique_ptr<Request> accepted, int32_t n_cached, uint64_t n_before,
                       Clock::time_point now)
    : request(std::move(accepted)), text(request->stops, request->markers, request->initial_class),
      arrival(n_before), n_to_prefill(static_cast<int32_t>(request->prompt.size()) - n_cached),
      started(now), prefilled(now) {}

void Generation::take(llama_token token, const llama_vocab *vocab, Output &output) {
    const bool is_preserved = request->preserved_tokens.count(token) > 0;
    const std::string piece = common_token_to_piece(vocab, token, is_preserved);
    const int32_t class_before = text.current_class();
    text.push(piece, output.segments);
    const int32_t class_after = text.current_class();
    if (class_before == class_reasoning && class_after == class_reasoning) {
        request->sampler->accept_reasoning(token, text.holds_text());
    } else {
        request->sampler->accept(token);
    }
    // A marker counts as what it opens or closes, not as content; a token whose
    // text may be the beginning of one counts once that is decided.
    output.token_class = class_before == class_content ? class_after : class_before;
    n_undecided++;
    if (class_after != class_before || !text.holds_text()) {
        count_undecided(output.token_class);
    }
    n_generated++;
    if (request->with_raw_text) {
        output.raw += piece;
    }
}

Output Generation::replay(const llama_vocab *vocab) {
    Output output;
    try {
        for (auto i = static_cast<size_t>(request->n_prompt()); i < request->prompt.size(); i++) {
            take(request->prompt[i], vocab, output);
        }
    } catch (const Failure &failure) {
        replay_failure = std::make_unique<Failure>(failure);
        return {};
    }
    auto n_sent = static_cast<size_t>(std::max(request->n_replay_sent_bytes, 0));
    for (auto &segment : output.segments) {
        const size_t n_skipped = std::min(n_sent, segment.text.size());
        segment.text.erase(0, n_skipped);
        n_sent -= n_skipped;
    }
    output.segments.erase(
        std::remove_if(output.segments.begin(), output.segments.end(),
                       [](const TextSegment &segment) { return segment.text.empty(); }),
        output.segments.end());
    output.token_class = text.current_class();
    return output;
}

Output Generation::finish() {
    Output output;
    text.finish(output.segments);
    output.token_class = text.current_class();
    return output;
}

std::optional<pdl_end_reason> Generation::end_reason() const {
    if (text.stopped()) {
        return PDL_END_STOP;
    }
    if (n_generated >= request->max_tokens) {
        return request->cut_to_context ? PDL_END_CONTEXT_FULL : PDL_END_MAX_TOKENS;
    }
    return std::nullopt;
}

void Generation::count_undecided(int32_t token_class) {
    n_by_class[token_class] += n_undecided;
    n_undecided = 0;
}

} // namespace paddler
