/* Chat templates, JSON Schema to grammar, and parsing of a model's output.
 *
 * Thin C functions over llama.cpp's common/chat.h and
 * common/json-schema-to-grammar.h; JSON in, JSON out. Same rules as
 * paddler_engine.h: no exception crosses, every failure has a message.
 * Any thread may call them; one template set may be used by several at once.
 */
#ifndef PADDLER_CHAT_H
#define PADDLER_CHAT_H

#include "paddler_engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cffi:begin */

typedef struct pdl_chat_templates pdl_chat_templates;

/* The model's template, or override_source instead if it is not NULL.
 * PDL_NOT_FOUND: neither is there. PDL_BAD_TEMPLATE: does not compile. */
int32_t pdl_chat_open(const pdl_model *model, const char *override_source,
                      pdl_chat_templates **templates, pdl_error *error);
void pdl_chat_free(pdl_chat_templates *templates);

/* Compiles a template without a model. */
int32_t pdl_chat_check(const char *source, pdl_error *error);

/* Renders a conversation. request: JSON object with
 *   messages (OpenAI shape), tools (OpenAI shape), tool_choice ("auto",
 *   "required", "none"), parallel_tool_calls, add_generation_prompt,
 *   enable_thinking, template_arguments (object of JSON texts), json_schema.
 * rendered: JSON object with
 *   prompt, grammar, grammar_lazy, grammar_trigger_patterns [str],
 *   grammar_trigger_tokens [int], grammar_prefix, preserved_tokens [int],
 *   additional_stops [str], supports_thinking, thinking_start, thinking_ends
 *   [str], thinking_forced_open, tool_call_markers [str], format, parser
 *   (opaque: pass to pdl_chat_parse), message_starts [byte offsets into
 *   prompt where a user message begins]. */
int32_t pdl_chat_render(const pdl_chat_templates *templates, const char *request,
                        char **rendered, pdl_error *error);

/* Parses the whole output of a generation. parser: the object that
 * pdl_chat_render returned as `parser`. message: JSON object with content,
 * reasoning_content, tool_calls [{id, name, arguments}]. PDL_UNPARSABLE: the
 * text does not fit the format. */
int32_t pdl_chat_parse(const char *parser, const char *text, int32_t is_partial,
                       char **message, pdl_error *error);

/* GBNF for a JSON Schema (text); PDL_BAD_SCHEMA says what is wrong with it. */
int32_t pdl_schema_to_grammar(const char *schema, char **grammar, pdl_error *error);

/* cffi:end */

#ifdef __cplusplus
}
#endif

#endif
