// Conversations in, prompts out; outputs in, messages out.

#include "chat/chat_markers.h"
#include "chat/chat_render.h"
#include "chat/chat_request.h"
#include "chat/chat_templates.h"
#include "paddler_chat.h"
#include "platform/errors.h"
#include "platform/nesting.h"

#include "common.h"

#include <algorithm>
#include <memory>

// Loading one takes longer than parsing a long output with it.
struct pdl_chat_parser {
    common_chat_parser_params params;
};

namespace paddler {

namespace {

using json = common_json;

// Deeper output cannot be parsed: the parser recurses per level.
constexpr size_t max_output_nesting = 256;

std::vector<llama_token> tokens_of(const llama_vocab *vocab, const std::string &text) {
    return vocab == nullptr ? std::vector<llama_token>()
                            : common_tokenize(vocab, text, false, true);
}

void add_unique(std::vector<int32_t> &tokens, llama_token token) {
    if (std::find(tokens.begin(), tokens.end(), token) == tokens.end()) {
        tokens.push_back(token);
    }
}

struct Triggers {
    std::vector<std::string> patterns;
    std::vector<int32_t> tokens;
};

// As common_sampler_init reads them; a word that is one token becomes a token.
Triggers read_triggers(const common_chat_params &rendered, const llama_vocab *vocab,
                       std::vector<int32_t> &preserved) {
    Triggers triggers;
    for (const auto &trigger : rendered.grammar_triggers) {
        switch (trigger.type) {
        case COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN:
            add_unique(triggers.tokens, trigger.token);
            break;
        case COMMON_GRAMMAR_TRIGGER_TYPE_WORD: {
            const auto tokens = tokens_of(vocab, trigger.value);
            if (tokens.size() == 1) {
                add_unique(triggers.tokens, tokens.front());
                add_unique(preserved, tokens.front());
            } else {
                triggers.patterns.push_back(regex_escape(trigger.value));
            }
            break;
        }
        case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN:
            triggers.patterns.push_back(trigger.value);
            break;
        case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL:
            triggers.patterns.push_back("^(?:" + trigger.value + ")$");
            break;
        }
    }
    return triggers;
}

std::vector<int32_t> read_preserved(const common_chat_params &rendered,
                                    const Classification &classification,
                                    const llama_vocab *vocab) {
    std::vector<int32_t> preserved;
    for (const auto &text : rendered.preserved_tokens) {
        const auto tokens = tokens_of(vocab, text);
        if (tokens.size() == 1) {
            add_unique(preserved, tokens.front());
        }
    }
    // A marker is only seen if its special tokens come out as text.
    for (const auto &marker : classification.markers) {
        for (const llama_token token : tokens_of(vocab, marker.text)) {
            const bool special = (llama_vocab_get_attr(vocab, token) &
                                  (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED)) != 0;
            if (special && !llama_vocab_is_eog(vocab, token)) {
                add_unique(preserved, token);
            }
        }
    }
    return preserved;
}

json markers_to_json(const std::vector<ClassMarker> &markers) {
    json list = json::array();
    for (const auto &marker : markers) {
        list.push_back({{"text", marker.text},
                        {"when", marker.when_class},
                        {"becomes", marker.next_class},
                        {"emit", marker.emit}});
    }
    return list;
}

std::string render(const pdl_chat_templates &templates, const std::string &text) {
    require_shallow_json(text, PDL_INVALID_ARGUMENT, "the conversation");
    const json request = json::parse_no_throw(text);
    if (!request.is_object()) {
        throw Failure(PDL_INVALID_ARGUMENT, "the request is not a JSON object");
    }
    const auto &chat_template = request_has_tools(request) && templates.tool_use != nullptr
                                    ? *templates.tool_use
                                    : templates.main;
    const std::lock_guard<std::mutex> lock(templates.rendering);
    auto read = read_chat_request(request, chat_template, templates);
    const auto rendered = render_conversation(chat_template, read);
    const auto classification = classify_output(chat_template, read, rendered);
    auto preserved = read_preserved(rendered, classification, templates.vocab);
    const auto triggers = read_triggers(rendered, templates.vocab, preserved);
    const bool constrained = !rendered.grammar.empty();

    json parser = json::object();
    parser["format"] = static_cast<int>(rendered.format);
    parser["generation_prompt"] = rendered.generation_prompt;
    parser["parser"] = rendered.parser;

    json result = json::object();
    result["prompt"] = rendered.prompt;
    result["message_starts"] = user_message_starts(chat_template, rendered);
    result["grammar"] = rendered.grammar;
    result["grammar_lazy"] = constrained && rendered.grammar_lazy;
    result["grammar_trigger_patterns"] = triggers.patterns;
    result["grammar_trigger_tokens"] = triggers.tokens;
    result["grammar_prefix"] =
        constrained && !rendered.grammar_lazy ? rendered.generation_prompt : std::string();
    result["preserved_tokens"] = preserved;
    result["additional_stops"] = rendered.additional_stops;
    result["supports_thinking"] = rendered.supports_thinking;
    result["initial_class"] = classification.initial_class;
    result["markers"] = markers_to_json(classification.markers);
    result["tool_calls_recognizable"] = classification.tool_calls_recognizable;
    result["parser"] = parser.dump_safe();
    return result.dump_safe();
}

std::unique_ptr<pdl_chat_parser> load_parser(const std::string &parser_text) {
    const json description = json::parse_no_throw(parser_text);
    if (!description.is_object()) {
        throw Failure(PDL_INVALID_ARGUMENT, "not a parser that a rendering returned");
    }
    auto loaded = std::make_unique<pdl_chat_parser>();
    auto &params = loaded->params;
    const auto format = description.at("format").get<int>();
    if (format < 0 || format >= COMMON_CHAT_FORMAT_COUNT) {
        throw Failure(PDL_INVALID_ARGUMENT, "unknown output format");
    }
    params.format = static_cast<common_chat_format>(format);
    params.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    params.generation_prompt = description.at("generation_prompt").get<std::string>();
    const auto arena = description.at("parser").get<std::string>();
    if (!arena.empty()) {
        params.parser.load(arena);
    }
    return loaded;
}

std::string parse(const common_chat_parser_params &params, const std::string &output,
                  bool is_partial) {
    if (bracket_nesting(output) > max_output_nesting) {
        throw Failure(PDL_UNPARSABLE, "the output nests its brackets more than " +
                                          std::to_string(max_output_nesting) + " levels deep");
    }
    const auto message = common_chat_parse(output, is_partial, params);

    json calls = json::array();
    for (const auto &call : message.tool_calls) {
        calls.push_back({{"id", call.id}, {"name", call.name}, {"arguments", call.arguments}});
    }
    json result = json::object();
    result["content"] = message.render_content();
    result["reasoning_content"] = message.reasoning_content;
    result["tool_calls"] = calls;
    return result.dump_safe();
}

std::string classify(const std::string &classification, const std::string &output) {
    const json description = json::parse_no_throw(classification);
    if (!description.is_object()) {
        throw Failure(PDL_INVALID_ARGUMENT, "not a classification that a rendering returned");
    }
    std::vector<ClassMarker> markers;
    for (const auto &marker : description.at("markers")) {
        markers.push_back({marker.at("text").get<std::string>(), marker.at("when").get<int>(),
                           marker.at("becomes").get<int>(), marker.at("emit").get<bool>()});
    }
    TextPipeline pipeline({}, std::move(markers), description.at("initial_class").get<int>());
    std::vector<TextSegment> segments;
    // Byte by byte: how the text is cut into tokens must not matter.
    for (const char byte : output) {
        pipeline.push(std::string_view(&byte, 1), segments);
    }
    pipeline.finish(segments);
    json list = json::array();
    for (const auto &segment : segments) {
        list.push_back(json::array({segment.token_class, segment.text}));
    }
    return list.dump_safe();
}

} // namespace

} // namespace paddler

extern "C" int32_t pdl_chat_render(const pdl_chat_templates *templates, const char *request,
                                   char **rendered, pdl_error *error) {
    *rendered = nullptr;
    return paddler::guarded(error, PDL_BAD_TEMPLATE, [&] {
        *rendered = paddler::copy_string(paddler::render(*templates, request));
    });
}

extern "C" int32_t pdl_chat_parser_open(const char *description, pdl_chat_parser **parser,
                                        pdl_error *error) {
    *parser = nullptr;
    return paddler::guarded(error, PDL_INVALID_ARGUMENT,
                            [&] { *parser = paddler::load_parser(description).release(); });
}

extern "C" void pdl_chat_parser_free(pdl_chat_parser *parser) {
    delete parser;
}

extern "C" int32_t pdl_chat_parse(const pdl_chat_parser *parser, const char *text, int32_t n_bytes,
                                  int32_t is_partial, char **message, pdl_error *error) {
    *message = nullptr;
    return paddler::guarded(error, PDL_UNPARSABLE, [&] {
        const std::string output(text, static_cast<size_t>(std::max(n_bytes, 0)));
        *message = paddler::copy_string(paddler::parse(parser->params, output, is_partial != 0));
    });
}

extern "C" int32_t pdl_chat_classify(const char *classification, const char *text, int32_t n_bytes,
                                     char **segments, pdl_error *error) {
    *segments = nullptr;
    return paddler::guarded(error, PDL_INVALID_ARGUMENT, [&] {
        const std::string output(text, static_cast<size_t>(std::max(n_bytes, 0)));
        *segments = paddler::copy_string(paddler::classify(classification, output));
    });
}
