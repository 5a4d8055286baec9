#include "chat/chat_request.h"

#include "platform/errors.h"
#include "platform/nesting.h"

#include "common.h"

#include <ctime>

namespace paddler {

namespace {

using json = common_json;

// Text parts are joined by newlines; media markers stand where they are.
std::string joined_parts(const json &parts) {
    std::string text;
    bool after_media = false;
    for (const auto &part : parts) {
        const bool is_media = part.value("type", "") == "media_marker";
        if (!is_media && !after_media && !text.empty()) {
            text += '\n';
        }
        text += part.value("text", "");
        after_media = is_media;
    }
    return text;
}

std::string content_text(const json &message) {
    if (!message.contains("content") || message.at("content").is_null()) {
        return {};
    }
    const auto &content = message.at("content");
    return content.is_array() ? joined_parts(content) : content.get<std::string>();
}

// Content in the shape that the template reads: a string or a list of parts.
void shape_content(json &messages, const jinja::caps &caps) {
    const bool only_string = caps.supports_string_content && !caps.supports_typed_content;
    const bool only_parts = !caps.supports_string_content && caps.supports_typed_content;
    for (auto &message : messages) {
        if (!message.contains("content")) {
            continue;
        }
        auto &content = message.at("content");
        if (only_string && content.is_array()) {
            content = joined_parts(json(content));
        } else if (only_parts && content.is_string()) {
            content = json::array({json{{"type", "text"}, {"text", content.get<std::string>()}}});
        }
    }
}

// The system message of a template without that role goes before the first
// message; alone, it becomes the user's.
void merge_system_message(json &messages) {
    if (messages.empty() || messages.front().at("role") != "system") {
        return;
    }
    const std::string system = content_text(messages.front());
    if (messages.size() == 1) {
        messages.front()["role"] = "user";
        return;
    }
    auto &next = messages[1];
    if (next.contains("content") && next.at("content").is_array()) {
        json parts = json::array({json{{"type", "text"}, {"text", system}}});
        parts.insert(json(next.at("content")));
        next["content"] = parts;
    } else {
        next["content"] = system + "\n" + content_text(next);
    }
    messages.erase(size_t{0});
}

void parse_call_arguments(json &messages) {
    for (auto &message : messages) {
        if (!message.contains("tool_calls")) {
            continue;
        }
        for (auto &call : message.at("tool_calls")) {
            auto &arguments = call.at("function").at("arguments");
            if (!arguments.is_string()) {
                continue;
            }
            const auto text = arguments.get<std::string>();
            require_shallow_json(text, PDL_INVALID_ARGUMENT, "the arguments of a tool call");
            const json parsed = json::parse_no_throw(text);
            if (parsed.is_discarded()) {
                throw Failure(PDL_INVALID_ARGUMENT,
                              "the arguments of an earlier tool call are not JSON: " + text);
            }
            arguments = parsed;
        }
    }
}

json read_messages(const json &request, const ChatTemplate &chat_template) {
    auto parsed = common_chat_msgs_parse_oaicompat(request.at("messages"));
    if (chat_template.mentions("You have access to the following functions in JSONSchema format")) {
        // StepFun falls into reasoning loops over stray whitespace (llama.cpp issue 24181).
        for (auto &message : parsed) {
            message.content = string_strip(message.content);
            message.reasoning_content = string_strip(message.reasoning_content);
            for (auto &part : message.content_parts) {
                part.text = part.type == "text" ? string_strip(part.text) : part.text;
            }
        }
    }
    json messages = json::array();
    for (const auto &message : parsed) {
        messages.push_back(message.to_json_oaicompat(false));
    }
    const auto caps = chat_template.compiled->original_caps();
    shape_content(messages, caps);
    if (!chat_template.mentions("<|channel|>")) {
        // Only GPT-OSS knows the role.
        for (auto &message : messages) {
            if (message.at("role") == "developer") {
                message["role"] = "system";
            }
        }
    }
    if (!caps.supports_system_role) {
        merge_system_message(messages);
    }
    if (caps.supports_object_arguments) {
        parse_call_arguments(messages);
    }
    return messages;
}

// What llama.cpp hands every template beside the conversation.
json dates(std::chrono::system_clock::time_point now) {
    const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
    std::tm local{};
    localtime_r(&seconds, &local);
    char date[32];
    json context = json::object();
    std::strftime(date, sizeof(date), "%b %d %Y", &local);
    context["datetime"] = date;
    std::strftime(date, sizeof(date), "%d %b %Y", &local);
    context["date_string"] = date;
    return context;
}

json read_tools(const json &request, std::vector<std::string> &names) {
    json tools = json::array();
    for (const auto &tool : common_chat_tools_parse_oaicompat(request.at("tools"))) {
        names.push_back(tool.name);
        tools.push_back({
            {"type", "function"},
            {"function",
             {{"name", tool.name},
              {"description", tool.description},
              {"parameters", json::parse(tool.parameters)}}},
        });
    }
    return tools;
}

} // namespace

bool request_has_tools(const common_json &request) {
    return request.contains("tools") && request.at("tools").is_array() &&
           !request.at("tools").empty();
}

ChatRequest read_chat_request(const common_json &request, const ChatTemplate &chat_template,
                              const pdl_chat_templates &templates) {
    ChatRequest read;
    auto &params = read.params;
    try {
        if (request_has_tools(request)) {
            params.tools = read_tools(request, read.tool_names);
        }
        params.tool_choice =
            common_chat_tool_choice_parse_oaicompat(request.value("tool_choice", "auto"));
        params.parallel_tool_calls = request.value("parallel_tool_calls", false);
        params.add_generation_prompt = request.value("add_generation_prompt", true);
        params.enable_thinking = request.value("enable_thinking", false);
        params.extra_context = dates(params.now);
        if (request.contains("template_arguments")) {
            for (const auto &[name, text] : request.at("template_arguments").items()) {
                const auto argument = text.get<std::string>();
                require_shallow_json(argument, PDL_INVALID_ARGUMENT, "template argument " + name);
                params.extra_context[name] = json::parse(argument);
            }
        }
        if (request.contains("json_schema") && !request.at("json_schema").is_null()) {
            const auto schema = request.at("json_schema").get<std::string>();
            require_shallow_json(schema, PDL_BAD_SCHEMA, "the schema");
            read.json_schema = json::parse(schema);
        }
        params.messages = read_messages(request, chat_template);
    } catch (const Failure &) {
        throw;
    } catch (const std::exception &exception) {
        throw Failure(PDL_INVALID_ARGUMENT, exception.what());
    }
    params.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    params.add_bos = templates.add_bos;
    params.add_eos = templates.add_eos;
    read.calls_tools =
        !read.tool_names.empty() && params.tool_choice != COMMON_CHAT_TOOL_CHOICE_NONE;
    return read;
}

} // namespace paddler
