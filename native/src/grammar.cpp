// JSON Schema to GBNF.

#include "errors.h"
#include "nesting.h"
#include "paddler_chat.h"

#include "json-schema-to-grammar.h"
#include "json.h"

extern "C" int32_t pdl_schema_to_grammar(const char *schema, char **grammar, pdl_error *error) {
    *grammar = nullptr;
    return paddler::guarded(error, PDL_BAD_SCHEMA, [&] {
        const std::string text = schema;
        paddler::require_shallow_json(text, PDL_BAD_SCHEMA, "the schema");
        const common_json parsed = common_json::parse(text);
        if (!parsed.is_object() && !parsed.is_boolean()) {
            throw paddler::Failure(PDL_BAD_SCHEMA, "a JSON Schema is an object or a boolean");
        }
        *grammar = paddler::copy_string(json_schema_to_grammar(parsed, true));
    });
}
