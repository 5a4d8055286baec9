// The tokens of a vocabulary that are no text.
#pragma once

#include "llama.h"

#include <vector>

namespace paddler {

// Asked of every token once per model: a vocabulary is too large to be searched
// for every request on the caller's thread.
struct ControlTokens {
    explicit ControlTokens(const llama_vocab *vocab) {
        const int32_t n_vocab = llama_vocab_n_tokens(vocab);
        for (llama_token token = 0; token < n_vocab; token++) {
            if (llama_vocab_is_eog(vocab, token)) {
                ends.push_back(token);
            } else if ((llama_vocab_get_attr(vocab, token) & LLAMA_TOKEN_ATTR_CONTROL) != 0) {
                others.push_back(token);
            }
        }
    }

    std::vector<llama_token> ends; // of a generation
    std::vector<llama_token> others;
};

} // namespace paddler
