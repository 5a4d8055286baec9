// One conversation through one template: prompt, grammar and parser.
//
// Follows llama.cpp's private functions as chat_request.h does.
#pragma once

#include "chat/chat_request.h"
#include "chat/chat_templates.h"

#include <cstddef>
#include <string>
#include <vector>

namespace paddler {

// Throws Failure(PDL_BAD_TEMPLATE) if the template refuses the conversation,
// Failure(PDL_BAD_SCHEMA) if a schema has no grammar.
common_chat_params render_conversation(const ChatTemplate &chat_template, ChatRequest &request);

// Byte offsets into the prompt where a user message begins, ascending. Text of
// a message that looks like such a beginning counts as one.
std::vector<size_t> user_message_starts(const ChatTemplate &chat_template,
                                        const common_chat_params &rendered);

} // namespace paddler
