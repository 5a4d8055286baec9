// What is wrong with a grammar in GBNF, and where.
//
// llama.cpp's parser prints its complaints to stderr; this drives the same
// parser rule by rule and says them.
#pragma once

#include "llama.h"

#include <string>

namespace paddler {

// What llama.cpp's parser does not take, in one line with the place; empty: nothing.
// Without a vocabulary, tokens (<think>) count as faults.
std::string gbnf_fault(const llama_vocab *vocab, const std::string &text, const std::string &root);

} // namespace paddler
