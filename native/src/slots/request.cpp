#include "slots/request.h"

#include "model/model.h"
#include "platform/errors.h"

#include <algorithm>
#include <cmath>

namespace paddler {

namespace {

void require(bool condition, const char *what) {
    if (!condition) {
        throw Failure(PDL_INVALID_ARGUMENT, what);
    }
}

void append_tokens(std::vector<llama_token> &target, const int32_t *tokens, int32_t n_tokens,
                   int32_t n_vocab) {
    require(n_tokens >= 0 && (n_tokens == 0 || tokens != nullptr), "a token array is missing");
    for (int32_t i = 0; i < n_tokens; i++) {
        if (tokens[i] < 0 || tokens[i] >= n_vocab) {
            throw Failure(PDL_INVALID_ARGUMENT, "token " + std::to_string(tokens[i]) +
                                                    " is outside the vocabulary of " +
                                                    std::to_string(n_vocab));
        }
        target.push_back(tokens[i]);
    }
}

SamplerParams copy_sampling(const pdl_request &source, int32_t n_vocab) {
    const pdl_sampling &values = source.sampling;
    require(std::isfinite(values.temperature) && values.temperature >= 0.0f,
            "temperature must be 0 or more");
    require(values.top_k >= 0, "top_k must be 0 or more");
    require(values.top_p >= 0.0f && values.top_p <= 1.0f, "top_p must be between 0 and 1");
    require(values.min_p >= 0.0f && values.min_p <= 1.0f, "min_p must be between 0 and 1");
    require(std::isfinite(values.penalty_repeat) && values.penalty_repeat > 0.0f,
            "penalty_repeat must be above 0");
    require(std::isfinite(values.penalty_frequency), "penalty_frequency must be finite");
    require(std::isfinite(values.penalty_presence), "penalty_presence must be finite");
    require(values.penalty_last_n >= -1, "penalty_last_n must be -1 or more");
    SamplerParams params;
    params.values = values;
    params.values.logit_biases = nullptr;
    params.ignore_end = source.ignore_end != 0;
    for (int32_t i = 0; i < values.n_logit_biases; i++) {
        const pdl_logit_bias &bias = values.logit_biases[i];
        require(bias.token >= 0 && bias.token < n_vocab,
                "logit_bias names a token outside the vocabulary");
        require(!std::isnan(bias.bias), "logit_bias must be a number");
        params.logit_biases.push_back(bias);
    }
    if (source.grammar != nullptr) {
        params.grammar.text = source.grammar;
        params.grammar.root = source.grammar_root != nullptr ? source.grammar_root : "root";
        params.grammar.lazy = source.grammar_lazy != 0;
        for (int32_t i = 0; i < source.n_grammar_trigger_patterns; i++) {
            params.grammar.trigger_patterns.emplace_back(source.grammar_trigger_patterns[i]);
        }
        append_tokens(params.grammar.trigger_tokens, source.grammar_trigger_tokens,
                      source.n_grammar_trigger_tokens, n_vocab);
        if (source.grammar_prefix != nullptr) {
            params.grammar.prefix = source.grammar_prefix;
        }
        if (params.grammar.text.empty()) {
            throw Failure(PDL_BAD_GRAMMAR, "the grammar has no rules");
        }
    }
    return params;
}

void append_media(Request &request, const pdl_media_prompt &media, const BatchLimits &limits) {
    request.media = media.prompt;
    request.prompt = media.prompt->tokens;
    for (const auto &image : media.prompt->images) {
        if (image.embeddings == nullptr) {
            throw Failure(PDL_INVALID_ARGUMENT, "the images of the prompt are not encoded");
        }
        // Tokens that see each other both ways have to be computed at once.
        const int32_t limit = image.at_once ? limits.n_ubatch : limits.n_batch;
        if (image.n_tokens > limit) {
            throw Failure(PDL_BAD_IMAGE, "an image has " + std::to_string(image.n_tokens) +
                                             " tokens, but a batch holds " + std::to_string(limit));
        }
    }
}

// With M-RoPE an image has fewer positions than tokens, each of which takes a cell.
int32_t cells_beyond_positions(const Request &request) {
    int32_t n = 0;
    if (request.media != nullptr) {
        for (const auto &image : request.media->images) {
            n += std::max(image.n_tokens - image.n_positions, 0);
        }
    }
    return n;
}

bool is_class(int32_t value) {
    return value >= 0 && value < n_classes;
}

} // namespace

const PlacedImage *Request::next_image(int32_t position) const {
    if (media != nullptr) {
        for (const auto &image : media->images) {
            if (image.begin >= position) {
                return &image;
            }
        }
    }
    return nullptr;
}

int32_t Request::cut_before_image(int32_t n_tokens) const {
    if (media != nullptr) {
        for (const auto &image : media->images) {
            if (image.begin < n_tokens && n_tokens < image.end()) {
                return image.begin;
            }
        }
    }
    return n_tokens;
}

void Request::add_checkpoint(int32_t position) {
    const int32_t at = cut_before_image(position);
    checkpoints.insert(std::upper_bound(checkpoints.begin(), checkpoints.end(), at), at);
}

std::unique_ptr<Request> copy_request(const pdl_request &source, const pdl_model &model,
                                      int32_t n_ctx_slot, const BatchLimits &limits) {
    const llama_vocab *vocab = model.vocab;
    const int32_t n_vocab = llama_vocab_n_tokens(vocab);
    auto request = std::make_unique<Request>();
    request->id = source.id;
    request->submitted = Clock::now();
    require(source.media != nullptr || source.n_tokens > 0, "the prompt has no tokens");
    require(source.max_tokens > 0, "max_tokens must be at least 1");
    if (source.media != nullptr) {
        append_media(*request, *source.media, limits);
    } else {
        append_tokens(request->prompt, source.tokens, source.n_tokens, n_vocab);
    }
    const auto n_prompt = static_cast<int32_t>(request->prompt.size());
    require(n_prompt > 0 && request->prompt.back() >= 0, "the prompt must end with text");
    append_tokens(request->prompt, source.replay, source.n_replay, n_vocab);
    const auto n_all = static_cast<int32_t>(request->prompt.size());
    const int32_t n_beyond = cells_beyond_positions(*request);
    if (n_all + n_beyond >= n_ctx_slot) {
        throw Failure(PDL_PROMPT_TOO_LONG, "the prompt has " + std::to_string(n_all + n_beyond) +
                                               " tokens, but a slot's context holds " +
                                               std::to_string(n_ctx_slot) +
                                               " and at least one must be left to generate");
    }
    require(source.max_tokens > source.n_replay, "max_tokens were generated already");
    request->n_replay = source.n_replay;
    request->n_replay_sent_bytes = source.n_replay_sent_bytes;
    request->max_tokens = std::min(source.max_tokens, n_ctx_slot - n_prompt - n_beyond);
    request->cut_to_context = request->max_tokens < source.max_tokens;
    for (int32_t i = 0; i < source.n_stops; i++) {
        request->stops.emplace_back(source.stops[i]);
    }
    require(is_class(source.initial_class), "unknown token class");
    request->initial_class = source.initial_class;
    for (int32_t i = 0; i < source.n_markers; i++) {
        const pdl_class_marker &marker = source.markers[i];
        require(is_class(marker.next_class) &&
                    (marker.when_class == -1 || is_class(marker.when_class)),
                "unknown token class in a marker");
        request->markers.push_back(
            {marker.text, marker.when_class, marker.next_class, marker.emit != 0});
    }
    std::vector<llama_token> preserved;
    append_tokens(preserved, source.preserved_tokens, source.n_preserved_tokens, n_vocab);
    request->preserved_tokens.insert(preserved.begin(), preserved.end());
    for (int32_t i = 0; i < source.n_checkpoints; i++) {
        if (source.checkpoints[i] > 0 && source.checkpoints[i] < n_prompt) {
            request->add_checkpoint(source.checkpoints[i]);
        }
    }
    request->with_raw_text = source.with_raw_text != 0;
    SamplerParams sampling = copy_sampling(source, n_vocab);
    sampling.preserved_tokens = request->preserved_tokens;
    request->sampler =
        std::make_unique<Sampler>(vocab, *model.control_tokens, std::move(sampling), n_ctx_slot);
    for (int32_t i = 0; i < n_prompt; i++) {
        const llama_token token = request->prompt[static_cast<size_t>(i)];
        if (token >= 0) { // not an image's position
            request->sampler->accept_prompt(token);
        }
    }
    return request;
}

} // namespace paddler
