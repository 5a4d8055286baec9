#include "platform/nesting.h"

#include <algorithm>

namespace paddler {

size_t json_nesting(std::string_view text) {
    size_t depth = 0;
    size_t deepest = 0;
    bool in_string = false;
    for (size_t at = 0; at < text.size(); at++) {
        const char c = text[at];
        if (in_string) {
            if (c == '\\') {
                at++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            deepest = std::max(deepest, ++depth);
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return deepest;
}

size_t bracket_nesting(std::string_view text) {
    size_t depth = 0;
    size_t deepest = 0;
    for (const char c : text) {
        if (c == '(' || c == '[' || c == '{') {
            deepest = std::max(deepest, ++depth);
        } else if ((c == ')' || c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return deepest;
}

void require_shallow_json(std::string_view text, pdl_status status, const std::string &what) {
    if (json_nesting(text) > max_json_nesting) {
        throw Failure(status, what + " is nested more than " + std::to_string(max_json_nesting) +
                                  " levels deep");
    }
}

} // namespace paddler
