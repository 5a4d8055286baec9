#include "chat/chat_render.h"

#include "platform/errors.h"
#include "sampling/schema_grammar.h"

#include "chat-peg-parser.h"
#include "common.h"
#include "json-schema-to-grammar.h"

#include <algorithm>

namespace paddler {

namespace {

// The rest of common_chat_templates_apply, with the analysis made before.
common_chat_params render_analysed(const ChatTemplate &chat_template,
                                   const autoparser::generation_params &params) {
    const auto &analysis = *chat_template.analysis;
    auto rendered =
        autoparser::peg_generator::generate_parser(*chat_template.compiled, params, analysis);
    if (!analysis.assistant_start.empty()) {
        rendered.message_delimiters.add(COMMON_CHAT_ROLE_ASSISTANT, analysis.assistant_start);
    }
    if (!analysis.user_start.empty()) {
        rendered.message_delimiters.add(COMMON_CHAT_ROLE_USER, analysis.user_start);
    }
    rendered.supports_thinking = analysis.reasoning.mode != autoparser::reasoning_mode::NONE;
    if (rendered.supports_thinking) {
        rendered.thinking_start_tag = string_strip(analysis.reasoning.start);
        const auto end = string_strip(analysis.reasoning.end);
        if (!end.empty()) {
            rendered.thinking_end_tags = {end};
        }
    }
    return rendered;
}

common_chat_params render_content_only(const ChatTemplate &chat_template,
                                       const autoparser::generation_params &params) {
    common_chat_params rendered;
    rendered.prompt = common_chat_template_direct_apply(*chat_template.compiled, params);
    rendered.format = COMMON_CHAT_FORMAT_CONTENT_ONLY;
    return rendered;
}

common_chat_params render_with_params(const ChatTemplate &chat_template,
                                      autoparser::generation_params params) {
    if (chat_template.specialized) {
        auto rendered = common_chat_try_specialized_template(*chat_template.compiled,
                                                             chat_template.source(), params);
        if (!rendered) {
            throw Failure(PDL_INTERNAL, "the chat template's format changed");
        }
        return *rendered;
    }
    if (chat_template.analysis == nullptr) {
        return render_content_only(chat_template, params);
    }
    return render_analysed(chat_template, params);
}

// llama.cpp lets a model wrap the JSON in a Markdown fence (Ministral has to);
// a client that asked for JSON wants nothing else. Formats that wrap every
// content in tags of their own keep llama.cpp's grammar.
bool replaces_response_grammar(const ChatTemplate &chat_template) {
    if (chat_template.specialized) {
        return chat_template.mentions("[TOOL_CALLS]");
    }
    return chat_template.analysis == nullptr ||
           !chat_template.analysis->content.is_always_wrapped();
}

// Reasoning, where this request has it, then JSON that fits the schema.
void constrain_response(const ChatRequest &request, common_chat_params &rendered) {
    const bool open = request.reasoning_open;
    const bool may_think = request.params.enable_thinking && !rendered.thinking_start_tag.empty();
    const auto end =
        rendered.thinking_end_tags.empty() ? std::string() : rendered.thinking_end_tags.back();
    auto parser = build_chat_peg_parser([&](common_chat_peg_builder &p) {
        const auto response = p.content(p.schema(p.json(), "response-schema", request.json_schema));
        if ((!open && !may_think) || end.empty()) {
            return response + p.end();
        }
        auto thoughts = p.reasoning(p.until(end)) + p.literal(end) + p.space();
        if (!open) {
            thoughts = p.optional(p.literal(rendered.thinking_start_tag) + thoughts);
        }
        return thoughts + response + p.end();
    });
    rendered.format = COMMON_CHAT_FORMAT_PEG_NATIVE;
    rendered.generation_prompt.clear();
    rendered.parser = parser.save();
    rendered.grammar = build_grammar(
        [&](const common_grammar_builder &builder) { parser.build_grammar(builder, false); });
    rendered.grammar_lazy = false;
    rendered.grammar_triggers.clear();
}

// Blames a schema for a failure to render, if one of them is at fault.
void blame_schemas(const ChatRequest &request) {
    const auto check = [](const common_json &schema, const std::string &what) {
        try {
            json_schema_to_grammar(schema, true);
        } catch (const std::exception &exception) {
            throw Failure(PDL_BAD_SCHEMA, what + exception.what());
        }
    };
    if (request.has_json_schema()) {
        check(request.json_schema, "");
    }
    if (request.params.tools.is_array()) {
        for (const auto &tool : request.params.tools) {
            const auto &function = tool.at("function");
            check(common_chat_tool_parameters(function),
                  "tool " + function.at("name").get<std::string>() + ": ");
        }
    }
}

bool reasoning_is_open(const ChatRequest &request, const common_chat_params &rendered) {
    if (!request.params.add_generation_prompt || rendered.thinking_start_tag.empty()) {
        return false;
    }
    const auto &prompt = rendered.generation_prompt;
    const auto opened = prompt.rfind(rendered.thinking_start_tag);
    if (opened == std::string::npos) {
        return false;
    }
    const auto after = opened + rendered.thinking_start_tag.size();
    return std::none_of(rendered.thinking_end_tags.begin(), rendered.thinking_end_tags.end(),
                        [&](const std::string &tag) {
                            return prompt.find(string_strip(tag), after) != std::string::npos;
                        });
}

common_chat_params render_request(const ChatTemplate &chat_template, ChatRequest &request) {
    auto params = request.params;
    const bool replaces = request.has_json_schema() && replaces_response_grammar(chat_template);
    if (request.has_json_schema()) {
        request.calls_tools = false;
        params.tool_choice = COMMON_CHAT_TOOL_CHOICE_NONE;
        params.json_schema = replaces ? common_json() : request.json_schema;
    }
    auto rendered = render_with_params(chat_template, params);
    request.reasoning_open = reasoning_is_open(request, rendered);
    if (replaces) {
        constrain_response(request, rendered);
    }
    return rendered;
}

} // namespace

common_chat_params render_conversation(const ChatTemplate &chat_template, ChatRequest &request) {
    try {
        auto rendered = render_request(chat_template, request);
        rendered.grammar = with_valid_keys(rendered.grammar);
        return rendered;
    } catch (const Failure &) {
        throw;
    } catch (const std::exception &exception) {
        blame_schemas(request);
        throw Failure(PDL_BAD_TEMPLATE, exception.what());
    }
}

std::vector<size_t> user_message_starts(const ChatTemplate &chat_template,
                                        const common_chat_params &rendered) {
    auto delimiters = rendered.message_delimiters.delimiters;
    if (delimiters.empty() && !chat_template.user_start.empty()) {
        delimiters.push_back({COMMON_CHAT_ROLE_USER, chat_template.user_start});
    }
    std::vector<size_t> starts;
    size_t at = 0;
    while (true) {
        // At one place the first that fits decides: a tool's result may begin
        // like a user's message.
        size_t nearest = std::string::npos;
        const common_chat_msg_delimiter *found = nullptr;
        for (const auto &delimiter : delimiters) {
            if (delimiter.delimiter.empty()) {
                continue;
            }
            const auto position = rendered.prompt.find(delimiter.delimiter, at);
            if (position < nearest) {
                nearest = position;
                found = &delimiter;
            }
        }
        if (found == nullptr) {
            return starts;
        }
        if (found->role == COMMON_CHAT_ROLE_USER) {
            starts.push_back(nearest);
        }
        at = nearest + found->delimiter.size();
    }
}

} // namespace paddler
