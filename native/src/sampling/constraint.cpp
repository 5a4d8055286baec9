#include "sampling/constraint.h"

#include "model/model.h"
#include "platform/errors.h"
#include "sampling/gbnf_check.h"

#include "common.h"
#include "llama-grammar.h"

#include <algorithm>
#include <cmath>
#include <exception>

namespace paddler {

namespace {

std::string joined_text(const llama_vocab *vocab, const std::vector<llama_token> &tokens) {
    std::string text;
    for (const llama_token token : tokens) {
        text += common_token_to_piece(vocab, token, true);
    }
    return text;
}

std::vector<llama_token> plain_tokens(const llama_vocab *vocab, const std::string &text) {
    auto tokens = common_tokenize(vocab, text, false, false);
    if (joined_text(vocab, tokens) == text) {
        return tokens;
    }
    // After another token the same text is no start, and gets no space.
    tokens = common_tokenize(vocab, "\n" + text, false, false);
    while (!tokens.empty() && joined_text(vocab, tokens).size() > text.size()) {
        tokens.erase(tokens.begin());
    }
    return tokens;
}

// Tokens whose text is exactly `text`: some tokenizers put a space before what
// they take for a start, that is at the very front and after special tokens.
std::vector<llama_token> exact_tokens(const llama_vocab *vocab, const std::string &text) {
    std::vector<llama_token> exact;
    size_t at = 0;
    const auto add_plain = [&](size_t end) {
        const auto tokens = plain_tokens(vocab, text.substr(at, end - at));
        exact.insert(exact.end(), tokens.begin(), tokens.end());
    };
    for (const llama_token token : common_tokenize(vocab, text, false, true)) {
        const std::string piece = common_token_to_piece(vocab, token, true);
        const bool special = (llama_vocab_get_attr(vocab, token) &
                              (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED)) != 0;
        const size_t found = special && !piece.empty() ? text.find(piece, at) : std::string::npos;
        if (found != std::string::npos) {
            add_plain(found);
            exact.push_back(token);
            at = found + piece.size();
        }
    }
    add_plain(text.size());
    return exact;
}

bool is_possible(const llama_token_data &candidate) {
    return candidate.logit > -INFINITY;
}

} // namespace

void Constraint::Deleter::operator()(llama_grammar *grammar) const {
    llama_grammar_free_impl(grammar);
}

Constraint::Constraint(const llama_vocab *vocab, const GrammarSpec &spec) {
    check_grammar(vocab, spec);
    std::vector<const char *> patterns;
    patterns.reserve(spec.trigger_patterns.size());
    for (const auto &pattern : spec.trigger_patterns) {
        patterns.push_back(pattern.c_str());
    }
    try {
        grammar_.reset(llama_grammar_init_impl(
            vocab, spec.text.c_str(), spec.root.c_str(), spec.lazy, patterns.data(),
            patterns.size(), spec.trigger_tokens.data(), spec.trigger_tokens.size()));
    } catch (const std::exception &exception) {
        throw Failure(PDL_BAD_GRAMMAR, exception.what());
    }
    if (grammar_ == nullptr) {
        throw Failure(PDL_BAD_GRAMMAR, "the grammar cannot be used");
    }
    if (!spec.prefix.empty()) {
        for (const llama_token token : exact_tokens(vocab, spec.prefix)) {
            accept(token);
        }
    }
}

bool Constraint::awaits_trigger() const {
    return grammar_->awaiting_trigger;
}

void Constraint::accept(llama_token token) {
    try {
        llama_grammar_accept_impl(*grammar_, token);
    } catch (const std::exception &exception) {
        throw Failure(PDL_GRAMMAR_DEAD_END, exception.what());
    }
}

bool Constraint::allows(llama_token token) const {
    llama_token_data single = {token, 0.0f, 1.0f};
    llama_token_data_array array = {&single, 1, -1, false};
    llama_grammar_apply_impl(*grammar_, &array);
    return is_possible(single);
}

void Constraint::filter(std::vector<llama_token_data> &candidates) const {
    llama_token_data_array array = {candidates.data(), candidates.size(), -1, false};
    llama_grammar_apply_impl(*grammar_, &array);
    candidates.erase(
        std::remove_if(candidates.begin(), candidates.end(),
                       [](const llama_token_data &candidate) { return !is_possible(candidate); }),
        candidates.end());
}

void check_grammar(const llama_vocab *vocab, const GrammarSpec &spec) {
    const std::string fault = gbnf_fault(vocab, spec.text, spec.root);
    if (!fault.empty()) {
        throw Failure(PDL_BAD_GRAMMAR, fault);
    }
}

} // namespace paddler

extern "C" int32_t pdl_grammar_check(const pdl_model *model, const char *grammar, const char *root,
                                     pdl_error *error) {
    return paddler::guarded(error, PDL_BAD_GRAMMAR, [&] {
        paddler::GrammarSpec spec;
        spec.text = grammar;
        spec.root = root;
        paddler::check_grammar(model->vocab, spec);
    });
}
