#include "sampling/sampler.h"

#include "platform/errors.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <iterator>

// Lets one binary use the widest vectors of the machine it runs on. The
// sanitizers' runtimes are not up when such functions are resolved.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define PDL_VECTORIZED __attribute__((target_clones("default", "avx2", "arch=x86-64-v4")))
#else
#define PDL_VECTORIZED
#endif

namespace paddler {

namespace {

constexpr int32_t max_selected_k = 1024; // above, sorting all candidates is no slower
constexpr int32_t block = 64;
constexpr int32_t max_logprobs = 64;

bool likelier(const llama_token_data &a, const llama_token_data &b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

PDL_VECTORIZED
bool any_above(const float *values, int32_t n, float threshold) {
    int32_t n_above = 0;
    for (int32_t i = 0; i < n; i++) {
        n_above += values[i] > threshold;
    }
    return n_above > 0;
}

// The k greatest logits, unordered.
void select_top_k(const float *logits, int32_t n_vocab, int32_t k,
                  std::vector<llama_token_data> &top) {
    const size_t room = static_cast<size_t>(k) * 4 + block;
    top.clear();
    top.reserve(room);
    float threshold = -INFINITY;
    const auto shrink = [&] {
        if (top.size() > static_cast<size_t>(k)) {
            std::nth_element(top.begin(), top.begin() + (k - 1), top.end(), likelier);
            top.resize(static_cast<size_t>(k));
            threshold = top.back().logit;
        }
    };
    for (int32_t start = 0; start < n_vocab; start += block) {
        const int32_t n = std::min(block, n_vocab - start);
        if (!any_above(logits + start, n, threshold)) {
            continue;
        }
        for (int32_t i = start; i < start + n; i++) {
            if (logits[i] > threshold) {
                top.push_back({i, logits[i], 0.0f});
            }
        }
        if (top.size() + block > room) {
            shrink();
        }
    }
    shrink();
}

double log_sum_exp(const float *logits, int32_t n_vocab) {
    float greatest = -INFINITY;
    for (int32_t i = 0; i < n_vocab; i++) {
        greatest = std::max(greatest, logits[i]);
    }
    double sum = 0.0;
    for (int32_t i = 0; i < n_vocab; i++) {
        sum += std::exp(logits[i] - greatest);
    }
    return greatest + std::log(sum);
}

} // namespace

Sampler::Sampler(const llama_vocab *vocab, const ControlTokens &control_tokens,
                 SamplerParams params, int32_t context_tokens)
    : vocab_(vocab), n_vocab_(llama_vocab_n_tokens(vocab)), params_(std::move(params)),
      random_(params_.values.seed) {
    const pdl_sampling &values = params_.values;
    const bool penalizes = values.penalty_repeat != 1.0f || values.penalty_frequency != 0.0f ||
                           values.penalty_presence != 0.0f;
    window_tokens_ = !penalizes                  ? 0
                     : values.penalty_last_n < 0 ? context_tokens
                                                 : values.penalty_last_n;
    forbid(control_tokens);
    if (!params_.grammar.text.empty()) {
        grammar_ = std::make_unique<Constraint>(vocab_, params_.grammar);
    }
}

// With a grammar also control tokens: their text would satisfy the grammar but
// is no part of the output.
void Sampler::forbid(const ControlTokens &control_tokens) {
    if (params_.ignore_end) {
        forbidden_tokens_ = control_tokens.ends;
    }
    if (!params_.grammar.text.empty()) {
        std::copy_if(control_tokens.others.begin(), control_tokens.others.end(),
                     std::back_inserter(forbidden_tokens_), [this](llama_token token) {
                         return params_.preserved_tokens.count(token) == 0;
                     });
    }
}

void Sampler::remember(llama_token token) {
    if (window_tokens_ == 0) {
        return;
    }
    if (window_.size() < static_cast<size_t>(window_tokens_)) {
        window_.push_back(token);
    } else {
        const auto leaving = counts_.find(window_[window_start_]);
        if (--leaving->second == 0) {
            counts_.erase(leaving);
        }
        window_[window_start_] = token;
        window_start_ = (window_start_ + 1) % window_.size();
    }
    counts_[token]++;
}

void Sampler::accept_prompt(llama_token token) {
    remember(token);
}

void Sampler::accept(llama_token token) {
    remember(token);
    if (grammar_) {
        for (const llama_token held : held_reasoning_) {
            grammar_->accept(held);
        }
        held_reasoning_.clear();
        grammar_->accept(token);
    }
}

void Sampler::accept_reasoning(llama_token token, bool may_end_it) {
    remember(token);
    if (!grammar_) {
        return;
    }
    if (!grammar_->awaits_trigger()) {
        grammar_->accept(token);
    } else if (may_end_it) {
        held_reasoning_.push_back(token);
    } else {
        held_reasoning_.clear();
    }
}

void Sampler::adjust(float *logits) const {
    const pdl_sampling &values = params_.values;
    for (const auto &bias : params_.logit_biases) {
        if (bias.token >= 0 && bias.token < n_vocab_) {
            logits[bias.token] += bias.bias;
        }
    }
    for (const llama_token token : forbidden_tokens_) {
        logits[token] = -INFINITY;
    }
    for (const auto &[token, count] : counts_) {
        float &logit = logits[token];
        logit = logit <= 0 ? logit * values.penalty_repeat : logit / values.penalty_repeat;
        logit -= static_cast<float>(count) * values.penalty_frequency + values.penalty_presence;
    }
}

void Sampler::keep_top_k(const float *logits) {
    const pdl_sampling &values = params_.values;
    const int32_t k = values.temperature <= 0.0f ? 1 : values.top_k;
    if (k > 0 && k <= max_selected_k && k < n_vocab_) {
        select_top_k(logits, n_vocab_, k, candidates_);
    } else {
        keep_all(logits);
    }
}

void Sampler::keep_all(const float *logits) {
    candidates_.clear();
    candidates_.reserve(static_cast<size_t>(n_vocab_));
    for (int32_t token = 0; token < n_vocab_; token++) {
        if (logits[token] > -INFINITY) {
            candidates_.push_back({token, logits[token], 0.0f});
        }
    }
}

llama_token Sampler::choose() {
    const pdl_sampling &values = params_.values;
    if (values.temperature <= 0.0f) {
        return std::min_element(candidates_.begin(), candidates_.end(), likelier)->id;
    }
    std::sort(candidates_.begin(), candidates_.end(), likelier);
    if (values.top_k > 0 && candidates_.size() > static_cast<size_t>(values.top_k)) {
        candidates_.resize(static_cast<size_t>(values.top_k));
    }
    const float greatest = candidates_.front().logit;
    if (values.top_p < 1.0f) {
        double sum = 0.0;
        for (auto &candidate : candidates_) {
            candidate.p = std::exp(candidate.logit - greatest);
            sum += candidate.p;
        }
        double cumulated = 0.0;
        for (size_t i = 0; i < candidates_.size(); i++) {
            cumulated += candidates_[i].p;
            if (cumulated >= values.top_p * sum) {
                candidates_.resize(i + 1);
                break;
            }
        }
    }
    if (values.min_p > 0.0f) {
        const float least = greatest + std::log(values.min_p);
        size_t n_kept = 1;
        while (n_kept < candidates_.size() && candidates_[n_kept].logit >= least) {
            n_kept++;
        }
        candidates_.resize(n_kept);
    }
    double sum = 0.0;
    for (auto &candidate : candidates_) {
        candidate.p = std::exp((candidate.logit - greatest) / values.temperature);
        sum += candidate.p;
    }
    std::uniform_real_distribution<double> uniform(0.0, 1.0);
    const double target = sum * uniform(random_);
    double cumulated = 0.0;
    for (const auto &candidate : candidates_) {
        cumulated += candidate.p;
        if (cumulated >= target) {
            return candidate.id;
        }
    }
    return candidates_.back().id;
}

llama_token Sampler::choose_within_grammar(const float *logits) {
    keep_all(logits);
    grammar_->filter(candidates_);
    if (candidates_.empty()) {
        throw Failure(PDL_GRAMMAR_DEAD_END, "no token of the vocabulary fits the grammar here");
    }
    return choose();
}

Choice Sampler::sample(float *logits) {
    Choice choice{};
    double normalizer = 0.0;
    const int32_t n_logprobs = std::min(params_.values.n_logprobs, max_logprobs);
    std::vector<llama_token_data> likeliest;
    std::vector<float> original;
    if (n_logprobs >= 0) {
        normalizer = log_sum_exp(logits, n_vocab_);
        original.assign(logits, logits + n_vocab_);
        if (n_logprobs > 0) {
            select_top_k(logits, n_vocab_, n_logprobs, likeliest);
            std::sort(likeliest.begin(), likeliest.end(), likelier);
        }
    }
    adjust(logits);
    keep_top_k(logits);
    if (candidates_.empty()) {
        throw Failure(PDL_DECODE_FAILED, "the model gave no finite logit");
    }
    choice.token = choose();
    if (grammar_ && !grammar_->allows(choice.token)) {
        choice.token = choose_within_grammar(logits);
    }
    if (n_logprobs >= 0) {
        const auto logprob = [&](llama_token token) {
            return static_cast<float>(original[static_cast<size_t>(token)] - normalizer);
        };
        choice.logprobs.push_back({choice.token, logprob(choice.token)});
        for (const auto &candidate : likeliest) {
            choice.logprobs.push_back({candidate.id, logprob(candidate.id)});
        }
    }
    return choice;
}

} // namespace paddler
