// A compiled chat template and what llama.cpp finds out about its format.
#pragma once

#include "paddler_chat.h"

#include "chat-auto-parser.h"
#include "chat.h"
#include "llama.h"

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace paddler {

// One template. Analysing it takes milliseconds (it is rendered dozens of
// times), so that happens once, here, and not with every conversation.
struct ChatTemplate {
    std::unique_ptr<common_chat_template> compiled;

    // llama.cpp has a hand-written parser for this template's format.
    bool specialized = false;

    // The format as found by comparing renderings; null if specialized or if
    // that failed (then output is content only).
    std::unique_ptr<autoparser::autoparser> analysis;
    std::unique_ptr<common_chat_template> analysed; // what the analysis points to

    // How tool calls begin, with the tool's name as `tool_name_placeholder`.
    std::vector<std::string> tool_call_starts;

    // Text that begins a user message, where rendering names no delimiters.
    std::string user_start;

    const std::string &source() const { return compiled->source(); }
    bool mentions(const char *text) const { return source().find(text) != std::string::npos; }
};

constexpr const char *tool_name_placeholder = "paddler_probe_tool";

// Compiles and analyses. Throws Failure(PDL_BAD_TEMPLATE).
ChatTemplate open_template(const std::string &source, const std::string &bos_token,
                           const std::string &eos_token);

} // namespace paddler

struct pdl_chat_templates {
    paddler::ChatTemplate main;
    std::unique_ptr<paddler::ChatTemplate> tool_use; // used when there are tools
    const llama_vocab *vocab = nullptr;              // null: opened without a model
    bool add_bos = false;                            // the tokenizer adds it: left out of prompts
    bool add_eos = false;

    // Rendering touches shared values of the compiled template.
    mutable std::mutex rendering;
};
