// GBNF as llama.cpp makes it of JSON Schemas, made right.
#pragma once

#include <string>

namespace paddler {

// Rewrites the rules for the keys of additional properties. llama.cpp puts the
// names of the declared properties into character classes as they are, which
// breaks the grammar for names with brackets or backslashes, and lets keys
// begin with characters that JSON forbids in strings.
std::string with_valid_keys(const std::string &grammar);

} // namespace paddler
