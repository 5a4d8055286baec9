// A grammar that a generation has to follow, and how far it has come.
//
// A lazy grammar waits for a trigger and constrains nothing before it.
#pragma once

#include "llama.h"

#include <memory>
#include <string>
#include <vector>

struct llama_grammar; // NOLINT(readability-identifier-naming): llama.cpp's

namespace paddler {

struct GrammarSpec {
    std::string text; // empty: none
    std::string root;
    bool lazy = false;
    std::vector<std::string> trigger_patterns;
    std::vector<llama_token> trigger_tokens;
    std::string prefix; // what the prompt already holds of the grammar's text
};

class Constraint {
public:
    // Throws Failure PDL_BAD_GRAMMAR: what is wrong, and where.
    Constraint(const llama_vocab *vocab, const GrammarSpec &spec);

    // Whether a lazy grammar has not met its trigger yet.
    bool awaits_trigger() const;

    // Throws Failure PDL_GRAMMAR_DEAD_END if the grammar cannot take it.
    void accept(llama_token token);

    bool allows(llama_token token) const;

    // Removes candidates that do not fit.
    void filter(std::vector<llama_token_data> &candidates) const;

private:
    struct Deleter {
        void operator()(llama_grammar *grammar) const;
    };

    std::unique_ptr<llama_grammar, Deleter> grammar_;
};

// Throws Failure PDL_BAD_GRAMMAR.
void check_grammar(const llama_vocab *vocab, const GrammarSpec &spec);

} // namespace paddler
