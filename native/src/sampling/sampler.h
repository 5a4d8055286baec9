// Chooses the next token of one request from its logits.
//
// The distribution is that of llama.cpp's chain penalties, top-k, top-p,
// min-p, temperature, dist, but a single pass over the vocabulary keeps the
// top k, and penalties touch only the tokens of their window. A grammar is
// checked against the chosen token first and applied to the whole vocabulary
// only if it does not fit.
#pragma once

#include "model/control_tokens.h"
#include "paddler_engine.h"
#include "sampling/constraint.h"

#include "llama.h"

#include <memory>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace paddler {

struct SamplerParams {
    pdl_sampling values{}; // without the pointers
    std::vector<pdl_logit_bias> logit_biases;
    bool ignore_end = false;
    std::set<llama_token> preserved_tokens; // control tokens whose text is part of the output
    GrammarSpec grammar;
};

struct Choice {
    llama_token token;
    std::vector<pdl_logprob> logprobs; // the chosen token, then the likeliest
};

class Sampler {
public:
    // Throws Failure PDL_BAD_GRAMMAR.
    Sampler(const llama_vocab *vocab, const ControlTokens &control_tokens, SamplerParams params,
            int32_t context_tokens);

    // A token of the prompt: counts for penalties only.
    void accept_prompt(llama_token token);

    // A generated token: counts for penalties, advances the grammar. Throws
    // Failure PDL_GRAMMAR_DEAD_END if the grammar cannot take it.
    void accept(llama_token token);

    // A generated token of the model's reasoning: a grammar that awaits its
    // trigger does not see it. may_end_it: what it belongs to may turn out to
    // be the reasoning's end, and then the grammar has to see it after all.
    void accept_reasoning(llama_token token, bool may_end_it);

    // Changes the logits ([n_vocab]) in place. Throws Failure
    // PDL_GRAMMAR_DEAD_END if no token fits the grammar.
    Choice sample(float *logits);

private:
    void forbid(const ControlTokens &control_tokens);
    void remember(llama_token token);
    void adjust(float *logits) const;
    void keep_top_k(const float *logits);
    void keep_all(const float *logits);
    llama_token choose(); // among candidates_
    llama_token choose_within_grammar(const float *logits);

    const llama_vocab *vocab_;
    int32_t n_vocab_;
    SamplerParams params_;
    std::unique_ptr<Constraint> grammar_; // null: none
    std::vector<llama_token> held_reasoning_;
    std::mt19937 random_;
    int32_t window_tokens_; // of the penalties
    std::vector<llama_token> window_;
    size_t window_start_ = 0;
    std::unordered_map<llama_token, int32_t> counts_;
    std::vector<llama_token> forbidden_tokens_;
    std::vector<llama_token_data> candidates_;
};

} // namespace paddler
