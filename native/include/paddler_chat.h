/* Chat templates, JSON Schema to grammar, and parsing of a model's output.
 *
 * Thin C functions over llama.cpp's common/chat.h and
 * common/json-schema-to-grammar.h; JSON in, JSON out. Same rules as
 * paddler_engine.h: no exception crosses, every failure has a message.
 * Any thread may call them; one template set may be used by several at once
 * (renderings of one set wait for each other).
 */
#ifndef PADDLER_CHAT_H
#define PADDLER_CHAT_H

#include "paddler_engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cffi:begin */

typedef struct pdl_chat_templates pdl_chat_templates;

/* The model's template, or override_source instead if it is not NULL. model
 * may be NULL when there is an override: then no tokens are resolved.
 * PDL_NOT_FOUND: neither is there. PDL_BAD_TEMPLATE: does not compile. */
int32_t pdl_chat_open(const pdl_model *model, const char *override_source,
                      pdl_chat_templates **templates, pdl_error *error);
void pdl_chat_free(pdl_chat_templates *templates);

/* The source in use. */
int32_t pdl_chat_source(const pdl_chat_templates *templates, char **source, pdl_error *error);

/* Renders a conversation. request: JSON object with
 *   messages (OpenAI shape; images as parts of type "media_marker" with text),
 *   tools (OpenAI shape), tool_choice ("auto", "required", "none"),
 *   parallel_tool_calls, add_generation_prompt, enable_thinking,
 *   template_arguments (object of JSON texts), json_schema (JSON text).
 * rendered: JSON object with
 *   prompt: to be tokenized with special tokens added and parsed
 *   message_starts: [byte offsets into prompt where a user message begins]
 *   grammar: GBNF with the root rule "root", or ""
 *   grammar_lazy, grammar_trigger_patterns [str], grammar_trigger_tokens [int]
 *   grammar_prefix: what the grammar accepts before generation starts
 *   preserved_tokens [int], additional_stops [str]
 *   supports_thinking
 *   initial_class, markers [{text, when, becomes, emit}]: as pdl_class_marker
 *   tool_calls_recognizable: pdl_chat_parse understands tool calls
 *   parser: opaque text for pdl_chat_parser_open
 * PDL_BAD_TEMPLATE: the template refuses the conversation. PDL_BAD_SCHEMA: no
 * grammar can be made of json_schema or of a tool's parameters. */
int32_t pdl_chat_render(const pdl_chat_templates *templates, const char *request, char **rendered,
                        pdl_error *error);

/* Reads outputs in one format; any thread may use it. */
typedef struct pdl_chat_parser pdl_chat_parser;

/* description: what pdl_chat_render returned as `parser`. */
int32_t pdl_chat_parser_open(const char *description, pdl_chat_parser **parser, pdl_error *error);
void pdl_chat_parser_free(pdl_chat_parser *parser);

/* Parses the output of a generation (n_bytes of UTF-8). is_partial: more of it
 * follows; then what does not fit is not an error yet. message: JSON object
 * with content, reasoning_content, tool_calls [{id, name, arguments}].
 * PDL_UNPARSABLE: the text does not fit the format. */
int32_t pdl_chat_parse(const pdl_chat_parser *parser, const char *text, int32_t n_bytes,
                       int32_t is_partial, char **message, pdl_error *error);

/* Splits a whole output by class, as an engine does while it generates.
 * classification: JSON object with initial_class and markers, as rendered.
 * segments: JSON array of [class, text]. */
int32_t pdl_chat_classify(const char *classification, const char *text, int32_t n_bytes,
                          char **segments, pdl_error *error);

/* GBNF for a JSON Schema (text); PDL_BAD_SCHEMA says what is wrong with it. */
int32_t pdl_schema_to_grammar(const char *schema, char **grammar, pdl_error *error);

/* cffi:end */

#ifdef __cplusplus
}
#endif

#endif
