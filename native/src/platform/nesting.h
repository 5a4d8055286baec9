// Limits on nesting, checked before recursive code sees the text: a stack
// overflow cannot be caught.
#pragma once

#include "platform/errors.h"

#include <cstddef>
#include <string>
#include <string_view>

namespace paddler {

constexpr size_t max_json_nesting = 128;

// Deepest nesting of arrays and objects, brackets inside strings left out.
// The text need not be valid JSON.
size_t json_nesting(std::string_view text);

// Deepest nesting of any brackets, wherever they stand.
size_t bracket_nesting(std::string_view text);

// Throws Failure(status) if the JSON text is nested too deeply; `what` names it.
void require_shallow_json(std::string_view text, pdl_status status, const std::string &what);

} // namespace paddler
