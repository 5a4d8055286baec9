#include "chat/chat_markers.h"

#include "common.h"

#include <algorithm>

namespace paddler {

namespace {

constexpr bool emitted = true;
constexpr bool dropped = false;

// With the line breaks that models put around the tag.
void add_reasoning_end(const std::string &tag, int32_t plain, std::vector<ClassMarker> &markers) {
    for (const char *before : {"", "\n"}) {
        for (const char *after : {"", "\n", "\n\n"}) {
            markers.push_back({before + tag + after, class_reasoning, plain, dropped});
        }
    }
}

// Where a family's format changes class, beside what thinking tags and triggers
// of the tool grammar name. `plain` is the class of what is neither reasoning
// nor a tool call.

void add_gpt_oss_markers(const ChatRequest &request, std::vector<ClassMarker> &markers) {
    markers.insert(
        markers.end(),
        {{"<|channel|>analysis<|message|>", class_any, class_reasoning, dropped},
         {"<|channel|>commentary<|message|>", class_any, class_content, dropped},
         {"<|channel|>final<|message|>", class_any, class_content, dropped},
         {"<|channel|>final <|constrain|>json<|message|>", class_any, class_content, dropped},
         {"<|channel|>final<|constrain|>json<|message|>", class_any, class_content, dropped},
         {"<|end|>", class_any, class_content, dropped},
         {"<|start|>assistant", class_any, class_content, dropped}});
    if (request.calls_tools) {
        for (const char *start :
             {"<|channel|>commentary to=functions.", "<|channel|>analysis to=functions."}) {
            markers.push_back({start, class_any, class_tool_call, emitted});
        }
        // Without a special token in front, reasoning may well mention it.
        markers.push_back({" to=functions.", class_content, class_tool_call, emitted});
    }
}

void add_muse_glimmer_markers(const ChatRequest &request, int32_t plain,
                              std::vector<ClassMarker> &markers) {
    markers.insert(markers.end(), {{" to=self<|message|>", class_any, class_reasoning, dropped},
                                   {" to=user<|message|>", class_any, class_content, dropped},
                                   {"<|eom|>", class_any, plain, dropped},
                                   {"<|start|>assistant", class_any, plain, dropped}});
    if (request.calls_tools) {
        markers.push_back({"<atem:function_calls>", class_any, class_tool_call, emitted});
    }
}

// Version 3.2. The prompt ends in ">>>"; the recipient decides what follows.
void add_functionary_markers(const ChatRequest &request, std::vector<ClassMarker> &markers) {
    markers.push_back({">>>all\n", class_any, class_content, dropped});
    markers.push_back({"all\n", class_undeterminable, class_content, dropped});
    if (request.calls_tools) {
        for (const auto &name : request.tool_names) {
            markers.push_back({name + "\n", class_undeterminable, class_tool_call, emitted});
            markers.push_back({">>>" + name + "\n", class_any, class_tool_call, emitted});
        }
    }
}

void add_cohere_markers(std::vector<ClassMarker> &markers) {
    markers.push_back({"<|START_TEXT|>", class_any, class_content, dropped});
    markers.push_back({"<|END_TEXT|>", class_any, class_content, dropped});
}

void add_kimi_k2_markers(const ChatRequest &request, int32_t plain,
                         std::vector<ClassMarker> &markers) {
    if (request.calls_tools) {
        markers.push_back({"<|tool_calls_section_begin|>", plain, class_tool_call, emitted});
    }
}

void add_kimi_k3_markers(std::vector<ClassMarker> &markers) {
    markers.insert(markers.end(), {{"<|open|>response<|sep|>", class_any, class_content, dropped},
                                   {"<|close|>response<|sep|>", class_any, class_content, dropped},
                                   {"<|close|>message<|sep|>", class_any, class_content, dropped}});
}

// Tags around every content, as llama.cpp found them.
void add_content_markers(const autoparser::autoparser &analysis, int32_t plain,
                         std::vector<ClassMarker> &markers) {
    if (analysis.content.mode == autoparser::content_mode::PLAIN) {
        return;
    }
    for (const auto &tag : {analysis.content.start, analysis.content.end}) {
        if (!string_strip(tag).empty()) {
            markers.push_back({string_strip(tag), class_any, plain, dropped});
        }
    }
}

void add_family_markers(const ChatTemplate &chat_template, const ChatRequest &request,
                        int32_t plain, std::vector<ClassMarker> &markers) {
    if (chat_template.analysis != nullptr) {
        add_content_markers(*chat_template.analysis, plain, markers);
    } else if (chat_template.mentions("<|channel|>")) {
        add_gpt_oss_markers(request, markers);
    } else if (chat_template.mentions("<atem:function_calls>")) {
        add_muse_glimmer_markers(request, plain, markers);
    } else if (chat_template.mentions(">>>all")) {
        add_functionary_markers(request, markers);
    } else if (chat_template.mentions("<|START_TEXT|>")) {
        add_cohere_markers(markers);
    } else if (chat_template.mentions("<|tool_calls_section_begin|>")) {
        add_kimi_k2_markers(request, plain, markers);
    } else if (chat_template.mentions("<|open|>")) {
        add_kimi_k3_markers(markers);
    }
}

bool is_functionary(const ChatTemplate &chat_template) {
    return chat_template.specialized && chat_template.mentions(">>>all");
}

// Formats whose calls are marked by family markers alone.
bool has_family_tool_markers(const ChatTemplate &chat_template) {
    return chat_template.specialized &&
           (chat_template.mentions("<|channel|>") || is_functionary(chat_template) ||
            chat_template.mentions("<atem:function_calls>"));
}

bool parses_tool_calls(const ChatTemplate &chat_template) {
    const auto *analysis = chat_template.analysis.get();
    return chat_template.specialized ||
           (analysis != nullptr && analysis->jinja_caps.supports_tool_calls &&
            analysis->tools.format.mode != autoparser::tool_format::NONE);
}

// A call that is nothing but a JSON object begins as one, with the key that
// holds the function's name (Llama 3).
std::vector<std::string> json_call_starts(const autoparser::autoparser &analysis,
                                          const ChatRequest &request) {
    const auto &format = analysis.tools.format;
    std::vector<std::string> keys;
    if (format.fun_name_is_key) {
        keys = request.tool_names;
    } else {
        keys = {format.name_field, "type", format.function_field};
    }
    std::vector<std::string> starts;
    for (const auto &key : keys) {
        if (key.empty()) {
            continue;
        }
        for (const char *opening : {"{\"", "{ \"", "{\n  \"", "{\n    \""}) {
            const auto start = opening + key + "\"";
            if (std::find(starts.begin(), starts.end(), start) == starts.end()) {
                starts.push_back(start);
            }
        }
    }
    return starts;
}

std::vector<std::string> tool_call_starts(const ChatTemplate &chat_template,
                                          const ChatRequest &request) {
    std::vector<std::string> starts;
    for (const auto &start : chat_template.tool_call_starts) {
        const auto at = start.find(tool_name_placeholder);
        if (at == std::string::npos) {
            starts.push_back(start);
            continue;
        }
        for (const auto &name : request.tool_names) {
            auto named = start;
            named.replace(at, std::string(tool_name_placeholder).size(), name);
            starts.push_back(named);
        }
    }
    const auto *analysis = chat_template.analysis.get();
    if (starts.empty() && analysis != nullptr &&
        analysis->tools.format.mode == autoparser::tool_format::JSON_NATIVE) {
        starts = json_call_starts(*analysis, request);
    }
    return starts;
}

} // namespace

Classification classify_output(const ChatTemplate &chat_template, const ChatRequest &request,
                               const common_chat_params &rendered) {
    Classification classification;
    auto &markers = classification.markers;
    const auto starts =
        request.calls_tools ? tool_call_starts(chat_template, request) : std::vector<std::string>();
    const bool marked =
        !request.calls_tools || !starts.empty() || has_family_tool_markers(chat_template);
    const int32_t plain = marked ? class_content : class_undeterminable;
    classification.tool_calls_recognizable =
        !request.calls_tools || parses_tool_calls(chat_template);

    classification.initial_class = plain;
    if (is_functionary(chat_template)) {
        classification.initial_class = class_undeterminable;
    } else if (request.reasoning_open) {
        classification.initial_class = class_reasoning;
    }
    add_family_markers(chat_template, request, plain, markers);

    for (const auto &start : starts) {
        markers.push_back({start, plain, class_tool_call, emitted});
    }
    if (!rendered.thinking_start_tag.empty() && !rendered.thinking_end_tags.empty()) {
        const auto begin = string_strip(rendered.thinking_start_tag);
        for (const char *after : {"", "\n"}) {
            markers.push_back({begin + after, plain, class_reasoning, dropped});
        }
        for (const auto &tag : rendered.thinking_end_tags) {
            const auto end = string_strip(tag);
            if (std::find(starts.begin(), starts.end(), end) != starts.end()) {
                markers.push_back({end, class_reasoning, class_tool_call, emitted});
            } else if (end == tag) {
                add_reasoning_end(end, plain, markers);
            }
        }
    }
    return classification;
}

} // namespace paddler
