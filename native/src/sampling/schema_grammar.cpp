#include "sampling/schema_grammar.h"

#include "paddler_chat.h"
#include "platform/errors.h"
#include "platform/nesting.h"
#include "sampling/gbnf_check.h"

#include "json-schema-to-grammar.h"
#include "json.h"

#include <cctype>
#include <cstdio>
#include <string_view>

namespace paddler {

namespace {

// As common_chat_schema_converter::_not_strings writes such a rule.
constexpr std::string_view key_rule_name_end = "additional-k ::= ";
constexpr std::string_view key_rule_begin = "[\"] ( ";
constexpr std::string_view rejecting_class_begin = R"([^")";
constexpr std::string_view rejecting_class_end = "] char*";
constexpr std::string_view forbidden_in_strings = R"("\\\x7F\x00-\x1F)";

size_t utf8_length(char lead) {
    const auto byte = static_cast<unsigned char>(lead);
    return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

bool is_plain(std::string_view character) {
    return character.size() > 1 || std::isalnum(static_cast<unsigned char>(character[0])) != 0;
}

std::string hexadecimal(char character) {
    char text[8];
    std::snprintf(text, sizeof(text), "%02X", static_cast<unsigned char>(character));
    return text;
}

bool needs_json_escape(std::string_view character) {
    const auto byte = static_cast<unsigned char>(character[0]);
    return byte == '"' || byte == '\\' || byte < 0x20 || byte == 0x7F;
}

// What matches one character of a key, as JSON writes it.
std::string accepting(std::string_view character) {
    if (!needs_json_escape(character)) {
        return is_plain(character) ? "[" + std::string(character) + "]"
                                   : "[\\x" + hexadecimal(character[0]) + "]";
    }
    switch (character[0]) {
    case '"':
        return R"("\\\"")";
    case '\\':
        return R"("\\\\")";
    case '\n':
        return R"("\\n")";
    case '\r':
        return R"("\\r")";
    case '\t':
        return R"("\\t")";
    default:
        return R"("\\u00)" + hexadecimal(character[0]) + "\"";
    }
}

std::string rejecting(std::string_view characters) {
    std::string text = "[^" + std::string(forbidden_in_strings);
    for (size_t at = 0; at < characters.size();) {
        const auto character = characters.substr(at, utf8_length(characters[at]));
        if (is_plain(character)) {
            text += character;
        } else if (!needs_json_escape(character)) {
            text += "\\x" + hexadecimal(character[0]);
        }
        at += character.size();
    }
    return text + "]";
}

// body: the rule after key_rule_begin.
std::string rewritten_key_rule(std::string_view body) {
    std::string text;
    const size_t end = body.rfind(" )");
    for (size_t at = 0; at < body.size();) {
        const auto rest = body.substr(at);
        if (at >= end || rest[0] != '[') {
            text += rest[0];
            at++;
        } else if (rest.substr(0, rejecting_class_begin.size()) == rejecting_class_begin) {
            const size_t from = rejecting_class_begin.size();
            const size_t to = rest.find(rejecting_class_end, from);
            if (to == std::string_view::npos) {
                return {};
            }
            text += rejecting(rest.substr(from, to - from));
            at += to + 1;
        } else {
            const auto character = rest.substr(1, utf8_length(rest[1]));
            text += accepting(character);
            at += character.size() + 2;
        }
    }
    return text;
}

} // namespace

std::string with_valid_keys(const std::string &grammar) {
    std::string result;
    for (size_t at = 0; at < grammar.size();) {
        // A name may contain a newline: the rule ends with the next rule.
        const size_t name_end = grammar.find(key_rule_name_end, at);
        if (name_end == std::string::npos) {
            return result + grammar.substr(at);
        }
        const size_t body = name_end + key_rule_name_end.size();
        result += grammar.substr(at, body - at);
        at = body;
        if (grammar.compare(body, key_rule_begin.size(), key_rule_begin) != 0) {
            continue;
        }
        size_t rule_end = grammar.find(" [\"]\n", body);
        rule_end = rule_end == std::string::npos ? grammar.size() : rule_end + 4;
        const size_t from = body + key_rule_begin.size();
        const auto rewritten =
            rewritten_key_rule(std::string_view(grammar).substr(from, rule_end - from));
        result += rewritten.empty() ? grammar.substr(body, rule_end - body)
                                    : std::string(key_rule_begin) + rewritten;
        at = rule_end;
    }
    return result;
}

} // namespace paddler

extern "C" int32_t pdl_schema_to_grammar(const char *schema, char **grammar, pdl_error *error) {
    *grammar = nullptr;
    return paddler::guarded(error, PDL_BAD_SCHEMA, [&] {
        const std::string text = schema;
        paddler::require_shallow_json(text, PDL_BAD_SCHEMA, "the schema");
        common_json parsed = common_json::parse(text);
        if (parsed == true) {
            parsed = common_json::object();
        }
        if (!parsed.is_object()) {
            throw paddler::Failure(PDL_BAD_SCHEMA, "a JSON Schema is an object or true");
        }
        const auto made = paddler::with_valid_keys(json_schema_to_grammar(parsed, true));
        const std::string fault = paddler::gbnf_fault(nullptr, made, "root");
        if (!fault.empty()) {
            throw paddler::Failure(PDL_BAD_SCHEMA,
                                   "the schema makes a grammar that cannot be used: " + fault);
        }
        *grammar = paddler::copy_string(made);
    });
}
