// The JSON request of pdl_chat_render, made ready for one template.
//
// Follows what llama.cpp keeps to itself in common_chat_templates_apply_jinja
// (common/chat.cpp), as of the source that native/llama_cpp.lock pins; where it
// does otherwise, the comment there says why. A change of those functions fails
// tests/engine/test_followed_functions.py.
#pragma once

#include "chat/chat_templates.h"

#include <string>
#include <vector>

namespace paddler {

struct ChatRequest {
    autoparser::generation_params params; // json_schema left out: see below
    std::vector<std::string> tool_names;
    common_json json_schema;     // null: none
    bool calls_tools = false;    // there are tools, and they may be called
    bool reasoning_open = false; // once rendered: the prompt ends within the model's reasoning

    bool has_json_schema() const { return !json_schema.is_null(); }
};

// Whether the request has tools, before it is known which template serves it.
bool request_has_tools(const common_json &request);

// Throws Failure(PDL_INVALID_ARGUMENT) for a request that is not as documented
// and Failure(PDL_BAD_TEMPLATE) for a conversation this template cannot take.
ChatRequest read_chat_request(const common_json &request, const ChatTemplate &chat_template,
                              const pdl_chat_templates &templates);

} // namespace paddler
