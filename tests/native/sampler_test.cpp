// Our one-pass sampler against llama.cpp's own chain on the same logits and
// seed. Takes a model file, for its vocabulary.
#include "sampling/sampler.h"

#include "check.h"
#include "platform/errors.h"

#include <algorithm>
#include <cmath>
#include <random>

using paddler::ControlTokens;
using paddler::Sampler;
using paddler::SamplerParams;

namespace {

const llama_vocab *load_vocabulary(const char *path, llama_model **model) {
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    llama_backend_init();
    llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    *model = llama_model_load_from_file(path, params);
    CHECK(*model != nullptr);
    return llama_model_get_vocab(*model);
}

std::vector<float> random_logits(int32_t n_vocab, std::mt19937 &random) {
    std::normal_distribution<float> normal(0.0f, 3.0f);
    std::vector<float> logits(static_cast<size_t>(n_vocab));
    for (float &logit : logits) {
        logit = normal(random);
    }
    return logits;
}

pdl_sampling values(float temperature, int32_t top_k, float top_p, float min_p, uint32_t seed) {
    pdl_sampling sampling{};
    sampling.temperature = temperature;
    sampling.top_k = top_k;
    sampling.top_p = top_p;
    sampling.min_p = min_p;
    sampling.seed = seed;
    sampling.penalty_last_n = 64;
    sampling.penalty_repeat = 1.3f;
    sampling.penalty_frequency = 0.2f;
    sampling.penalty_presence = 0.4f;
    sampling.n_logprobs = -1;
    return sampling;
}

llama_sampler *make_chain(const pdl_sampling &sampling, int32_t n_vocab) {
    llama_sampler *chain = llama_sampler_chain_init(llama_sampler_chain_default_params());
    llama_sampler_chain_add(chain, llama_sampler_init_penalties(
                                       n_vocab, sampling.penalty_last_n, sampling.penalty_repeat,
                                       sampling.penalty_frequency, sampling.penalty_presence));
    llama_sampler_chain_add(chain, llama_sampler_init_top_k(sampling.top_k));
    llama_sampler_chain_add(chain, llama_sampler_init_top_p(sampling.top_p, 1));
    llama_sampler_chain_add(chain, llama_sampler_init_min_p(sampling.min_p, 1));
    llama_sampler_chain_add(chain, llama_sampler_init_temp(sampling.temperature));
    llama_sampler_chain_add(chain, llama_sampler_init_dist(sampling.seed));
    return chain;
}

llama_token sample_chain(llama_sampler *chain, const std::vector<float> &logits) {
    std::vector<llama_token_data> candidates;
    candidates.reserve(logits.size());
    for (size_t i = 0; i < logits.size(); i++) {
        candidates.push_back({static_cast<llama_token>(i), logits[i], 0.0f});
    }
    llama_token_data_array array = {candidates.data(), candidates.size(), -1, false};
    llama_sampler_apply(chain, &array);
    const llama_token token = array.data[array.selected].id;
    llama_sampler_accept(chain, token);
    return token;
}

void test_it_chooses_what_the_chain_chooses(const llama_vocab *vocab) {
    const int32_t n_vocab = llama_vocab_n_tokens(vocab);
    std::mt19937 random(5);
    const std::vector<pdl_sampling> settings = {
        values(0.8f, 40, 0.95f, 0.05f, 1), values(1.5f, 200, 0.99f, 0.0f, 2),
        values(1.0f, 80, 0.8f, 0.05f, 3),  values(0.7f, 1, 1.0f, 0.0f, 4),
        values(1.2f, 0, 0.9f, 0.02f, 5),   values(0.9f, 5000, 0.95f, 0.0f, 6),
    };
    for (const auto &sampling : settings) {
        SamplerParams params;
        params.values = sampling;
        Sampler sampler(vocab, ControlTokens(vocab), params, 4096);
        llama_sampler *chain = make_chain(sampling, n_vocab);
        int n_different = 0;
        for (int i = 0; i < 40; i++) {
            std::vector<float> logits = random_logits(n_vocab, random);
            const llama_token expected = sample_chain(chain, logits);
            const llama_token token = sampler.sample(logits.data()).token;
            sampler.accept(expected);
            // Sums are formed in another order and precision: a draw that falls
            // on the border between two tokens may go to either.
            n_different += token != expected;
        }
        llama_sampler_free(chain);
        CHECK(n_different <= 1);
    }
}

void test_greedy_takes_the_greatest(const llama_vocab *vocab) {
    std::mt19937 random(6);
    SamplerParams params;
    params.values = values(0.0f, 40, 0.95f, 0.05f, 1);
    Sampler sampler(vocab, ControlTokens(vocab), params, 4096);
    for (int i = 0; i < 10; i++) {
        std::vector<float> logits = random_logits(llama_vocab_n_tokens(vocab), random);
        const auto greatest = std::max_element(logits.begin(), logits.end()) - logits.begin();
        CHECK(sampler.sample(logits.data()).token == greatest);
    }
}

void test_logprobs_are_those_of_the_model(const llama_vocab *vocab) {
    std::mt19937 random(7);
    SamplerParams params;
    params.values = values(1.0f, 40, 0.95f, 0.05f, 1);
    params.values.n_logprobs = 5;
    Sampler sampler(vocab, ControlTokens(vocab), params, 4096);
    std::vector<float> logits = random_logits(llama_vocab_n_tokens(vocab), random);
    const std::vector<float> original = logits;
    const auto choice = sampler.sample(logits.data());
    double sum = 0.0;
    for (const float logit : original) {
        sum += std::exp(static_cast<double>(logit));
    }
    CHECK(choice.logprobs.size() == 6);
    CHECK(choice.logprobs[0].token == choice.token);
    for (const auto &entry : choice.logprobs) {
        const double expected = original[static_cast<size_t>(entry.token)] - std::log(sum);
        CHECK(std::fabs(entry.logprob - expected) < 1e-3);
    }
}

void test_all_logits_infinite_is_an_error(const llama_vocab *vocab) {
    SamplerParams params;
    params.values = values(1.0f, 40, 0.95f, 0.05f, 1);
    Sampler sampler(vocab, ControlTokens(vocab), params, 4096);
    for (const float value : {-INFINITY, NAN}) {
        std::vector<float> logits(static_cast<size_t>(llama_vocab_n_tokens(vocab)), value);
        bool failed = false;
        try {
            sampler.sample(logits.data());
        } catch (const paddler::Failure &) {
            failed = true;
        }
        CHECK(failed);
    }
}

} // namespace

int main(int argc, char **argv) {
    CHECK(argc >= 2);
    llama_model *model = nullptr;
    const llama_vocab *vocab = load_vocabulary(argv[1], &model);
    test_it_chooses_what_the_chain_chooses(vocab);
    test_greedy_takes_the_greatest(vocab);
    test_logprobs_are_those_of_the_model(vocab);
    test_all_logits_infinite_is_an_error(vocab);
    llama_model_free(model);
    return 0;
}
