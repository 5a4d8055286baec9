// Where the class of a model's output changes: content, reasoning, tool call.
#pragma once

#include "chat_request.h"
#include "chat_templates.h"
#include "text_pipeline.h"

#include <vector>

namespace paddler {

// As messages.generation.TokenClass.
enum OutputClass : int32_t {
    class_any = -1,
    class_content = 0,
    class_reasoning = 1,
    class_tool_call = 2,
    class_undeterminable = 3,
};

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
