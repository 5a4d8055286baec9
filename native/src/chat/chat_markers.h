// Where the class of a model's output changes: content, reasoning, tool call.
#pragma once

#include "chat/chat_request.h"
#include "chat/chat_templates.h"
#include "sampling/text_pipeline.h"

#include <vector>

namespace paddler {

struct Classification {
    int32_t initial_class = class_content;
    std::vector<ClassMarker> markers;

    // False: there are tools, but llama.cpp cannot parse this template's calls.
    bool tool_calls_recognizable = true;
};

// rendered: what llama.cpp made of the request.
Classification classify_output(const ChatTemplate &chat_template, const ChatRequest &request,
                               const common_chat_params &rendered);

} // namespace paddler
