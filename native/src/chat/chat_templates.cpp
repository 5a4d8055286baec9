#include "chat/chat_templates.h"

#include "model/model.h"
#include "platform/errors.h"
#include "platform/nesting.h"

#include "common.h"
#include "log.h"

namespace paddler {

namespace {

constexpr size_t max_template_bytes = size_t{512} * 1024;
constexpr size_t max_template_nesting = 200;

// llama.cpp patches two known templates that would refuse valid conversations;
// its own initialisation does that.
std::string patched_source(const std::string &source) {
    const auto templates = common_chat_templates_init(nullptr, source);
    return common_chat_templates_source(templates.get());
}

autoparser::generation_params probe_params() {
    autoparser::generation_params params;
    params.messages = common_json::array({common_json{{"role", "user"}, {"content", "Hello"}}});
    params.tools = common_json::array({common_json{
        {"type", "function"},
        {"function",
         {{"name", tool_name_placeholder},
          {"description", "A tool"},
          {"parameters",
           {{"type", "object"}, {"properties", {{"value", {{"type", "string"}}}}}}}}}}});
    params.add_generation_prompt = true;
    params.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    params.extra_context = common_json::object();
    return params;
}

std::vector<std::string> trigger_words(const common_chat_params &rendered) {
    std::vector<std::string> words;
    for (const auto &trigger : rendered.grammar_triggers) {
        if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD) {
            words.push_back(string_strip(trigger.value));
        }
    }
    return words;
}

std::string tool_call_start(const autoparser::autoparser &analysis) {
    const auto &format = analysis.tools.format;
    return string_strip(format.section_start.empty() ? format.per_call_start
                                                     : format.section_start);
}

// Whether the parser made from the analysis reads a call as the template
// itself writes it. True where that cannot be tried.
bool reads_own_calls(const common_chat_template &compiled, const autoparser::autoparser &analysis) {
    const auto start = tool_call_start(analysis);
    if (start.empty()) {
        return true;
    }
    constexpr const char *value = "paddler_probe_value";
    try {
        auto params = probe_params();
        const auto rendered =
            autoparser::peg_generator::generate_parser(compiled, params, analysis);
        common_chat_parser_params parser(rendered);
        parser.reasoning_format = params.reasoning_format;
        parser.parser.load(rendered.parser);

        const common_json arguments = common_json{{"value", value}};
        const bool as_object = compiled.original_caps().supports_object_arguments;
        params.messages.push_back(
            {{"role", "assistant"},
             {"content", ""},
             {"tool_calls",
              common_json::array({common_json{
                  {"type", "function"},
                  {"id", "a1b2c3d4e"},
                  {"function",
                   {{"name", tool_name_placeholder},
                    {"arguments", as_object ? arguments : common_json(arguments.dump())}}}}})}});
        params.add_generation_prompt = false;
        const auto text = common_chat_template_direct_apply(compiled, params);
        const auto from = text.rfind(start);
        const auto last = text.rfind(value);
        if (from == std::string::npos || last == std::string::npos || last < from) {
            return true;
        }
        // How much of the rest belongs to the call is not known.
        for (auto end = last + std::string(value).size(); end <= text.size(); end++) {
            try {
                const auto message =
                    common_chat_parse(text.substr(from, end - from), /*is_partial=*/false, parser);
                if (message.tool_calls.size() == 1 &&
                    message.tool_calls.front().name == tool_name_placeholder &&
                    common_json::parse(message.tool_calls.front().arguments) == arguments) {
                    return true;
                }
            } catch (const std::exception &) {
                continue;
            }
        }
        return false;
    } catch (const std::exception &) {
        return true;
    }
}

// Comparing renderings sometimes goes astray over the end token (Mistral Small
// 3.2), so an analysis has to prove itself, and there is a second without it.
void analyse_by_comparison(ChatTemplate &chat_template) {
    const auto &real = *chat_template.compiled;
    for (const auto &end_token : {real.eos_token(), std::string()}) {
        auto compiled =
            std::make_unique<common_chat_template>(real.source(), real.bos_token(), end_token);
        auto analysis = std::make_unique<autoparser::autoparser>();
        try {
            analysis->analyze_template(*compiled);
        } catch (const std::exception &) {
            continue;
        }
        const bool proven = reads_own_calls(real, *analysis);
        if (proven || chat_template.analysis == nullptr) {
            chat_template.analysed = std::move(compiled);
            chat_template.analysis = std::move(analysis);
        }
        if (proven) {
            return;
        }
    }
}

// A template that no parser can be made for still renders.
void analyse(ChatTemplate &chat_template) {
    auto params = probe_params();
    try {
        const auto rendered = common_chat_try_specialized_template(*chat_template.compiled,
                                                                   chat_template.source(), params);
        if (rendered) {
            chat_template.specialized = true;
            chat_template.tool_call_starts = trigger_words(*rendered);
        }
    } catch (const std::exception &) {
        // The probe does not suit the template; the format is known all the same.
        chat_template.specialized = true;
    }
    if (chat_template.specialized) {
        try {
            chat_template.user_start =
                autoparser::autoparser().detect_user_start_marker(*chat_template.compiled);
        } catch (const std::exception &) {
            chat_template.user_start.clear();
        }
        if (chat_template.mentions("<|im_user|>")) {
            // Kimi K2's default system message misleads the detection.
            chat_template.user_start = "<|im_user|>";
        }
        return;
    }
    analyse_by_comparison(chat_template);
    if (chat_template.analysis != nullptr) {
        const auto start = tool_call_start(*chat_template.analysis);
        if (!start.empty()) {
            chat_template.tool_call_starts.push_back(start);
        }
        chat_template.user_start = chat_template.analysis->user_start;
    }
}

} // namespace

ChatTemplate open_template(const std::string &source, const std::string &bos_token,
                           const std::string &eos_token) {
    if (source.empty()) {
        throw Failure(PDL_BAD_TEMPLATE, "the chat template is empty");
    }
    if (source.size() > max_template_bytes) {
        throw Failure(PDL_BAD_TEMPLATE, "the chat template is larger than " +
                                            std::to_string(max_template_bytes) + " bytes");
    }
    if (bracket_nesting(source) > max_template_nesting) {
        throw Failure(PDL_BAD_TEMPLATE, "the chat template nests its brackets more than " +
                                            std::to_string(max_template_nesting) + " levels deep");
    }
    ChatTemplate chat_template;
    try {
        // First by itself: common_chat_templates_init loses the reason of a failure.
        chat_template.compiled =
            std::make_unique<common_chat_template>(source, bos_token, eos_token);
        chat_template.compiled =
            std::make_unique<common_chat_template>(patched_source(source), bos_token, eos_token);
    } catch (const std::exception &exception) {
        throw Failure(PDL_BAD_TEMPLATE, exception.what());
    }
    analyse(chat_template);
    return chat_template;
}

} // namespace paddler

extern "C" int32_t pdl_chat_open(const pdl_model *model, const char *override_source,
                                 pdl_chat_templates **templates, pdl_error *error) {
    *templates = nullptr;
    return paddler::guarded(error, PDL_BAD_TEMPLATE, [&] {
        // common/ logs to stderr, from a thread of its own; whatever matters
        // here comes back as an error.
        static const bool quiet = (common_log_set_verbosity_thold(-1), true);
        (void)quiet;

        auto opened = std::make_unique<pdl_chat_templates>();
        std::string bos;
        std::string eos;
        if (model != nullptr) {
            opened->vocab = model->vocab;
            const auto text_of = [&](llama_token token) {
                return token == LLAMA_TOKEN_NULL ? std::string()
                                                 : common_token_to_piece(model->vocab, token, true);
            };
            bos = text_of(llama_vocab_bos(model->vocab));
            eos = text_of(llama_vocab_eos(model->vocab));
            opened->add_bos = llama_vocab_get_add_bos(model->vocab);
            opened->add_eos = llama_vocab_get_add_eos(model->vocab);
        }
        if (override_source != nullptr) {
            opened->main = paddler::open_template(override_source, bos, eos);
        } else {
            const char *source =
                model == nullptr ? nullptr : llama_model_chat_template(model->model, nullptr);
            if (source == nullptr) {
                throw paddler::Failure(PDL_NOT_FOUND, "the model has no chat template");
            }
            opened->main = paddler::open_template(source, bos, eos);
            const char *tool_use = llama_model_chat_template(model->model, "tool_use");
            if (tool_use != nullptr && std::string(source) != tool_use) {
                opened->tool_use = std::make_unique<paddler::ChatTemplate>(
                    paddler::open_template(tool_use, bos, eos));
            }
        }
        *templates = opened.release();
    });
}

extern "C" void pdl_chat_free(pdl_chat_templates *templates) {
    delete templates;
}

extern "C" int32_t pdl_chat_source(const pdl_chat_templates *templates, char **source,
                                   pdl_error *error) {
    *source = nullptr;
    return paddler::guarded(error, PDL_INTERNAL,
                            [&] { *source = paddler::copy_string(templates->main.source()); });
}
