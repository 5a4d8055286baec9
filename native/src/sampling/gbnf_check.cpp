#include "sampling/gbnf_check.h"

#include "platform/nesting.h"

#include "llama-grammar.h"

#include <algorithm>
#include <exception>
#include <string_view>
#include <vector>

namespace paddler {

namespace {

constexpr size_t max_bracket_nesting = 256; // the parser is recursive
constexpr size_t max_rule_nesting = 1024;   // so is llama.cpp's search for left recursion,
constexpr size_t max_rule_visits = 1 << 20; // and it visits a rule anew for each use
constexpr size_t max_excerpt_bytes = 32;
// As the parser's complaints begin, and what stands before what it met.
constexpr std::string_view expecting = "expecting ";
constexpr std::string_view before_rest = " at ";

// Past spaces, line ends and comments.
const char *skip_space(const char *at) {
    bool in_comment = false;
    while (*at != '\0') {
        const bool ends_line = *at == '\n' || *at == '\r';
        in_comment = (in_comment || *at == '#') && !ends_line;
        if (!in_comment && !ends_line && *at != ' ' && *at != '\t') {
            break;
        }
        at++;
    }
    return at;
}

size_t lines_between(const char *begin, const char *end) {
    return static_cast<size_t>(std::count(begin, end, '\n'));
}

// Columns count bytes, as editors do for ASCII.
std::string place_of(const std::string &text, size_t offset) {
    const size_t line_end = offset == 0 ? std::string::npos : text.rfind('\n', offset - 1);
    const size_t line_start = line_end == std::string::npos ? 0 : line_end + 1;
    const size_t line = 1 + lines_between(text.data(), text.data() + line_start);
    return "line " + std::to_string(line) + ", column " + std::to_string(offset - line_start + 1);
}

std::string excerpt(std::string_view rest) {
    rest = rest.substr(0, rest.find_first_of("\r\n"));
    if (rest.empty()) {
        return "the end of the line";
    }
    size_t length = std::min(rest.size(), max_excerpt_bytes);
    while (length < rest.size() && length > 0 &&
           (static_cast<unsigned char>(rest[length]) & 0xC0) == 0x80) {
        length--;
    }
    return "`" + std::string(rest.substr(0, length)) + (length < rest.size() ? "…`" : "`");
}

// complaint: of the parser, about the rule that starts in rule_line.
std::string with_place(const std::string &complaint, const std::string &text, size_t rule_line) {
    const size_t found = complaint.find(before_rest);
    if (found != std::string::npos) {
        const std::string_view rest =
            std::string_view(complaint).substr(found + before_rest.size());
        if (rest.size() <= text.size() &&
            text.compare(text.size() - rest.size(), rest.size(), rest) == 0) {
            const size_t offset = text.size() - rest.size();
            const std::string met = rest.empty() ? "the end of the grammar" : excerpt(rest);
            const bool expects = complaint.compare(0, expecting.size(), expecting) == 0;
            return place_of(text, offset) + ": " + complaint.substr(0, found) +
                   (expects ? ", not " : ": ") + met;
        }
    }
    const std::string what =
        complaint == "stoull" || complaint == "stoul" ? "a number is too large" : complaint;
    return "the rule in line " + std::to_string(rule_line) + ": " + what;
}

std::string name_of(const llama_grammar_parser &parser, uint32_t rule) {
    for (const auto &[name, id] : parser.symbol_ids) {
        if (id == rule) {
            return name;
        }
    }
    return {};
}

bool ends_alternative(const llama_grammar_element &element) {
    return element.type == LLAMA_GRETYPE_END || element.type == LLAMA_GRETYPE_ALT;
}

// Follows rules through what they may begin with, each once, as llama.cpp
// does without remembering: what that would cost is added up.
class LeftmostSearch {
public:
    explicit LeftmostSearch(const llama_grammar_parser &parser)
        : parser_(parser), found_(parser.rules.size()) {}

    // Empty: nothing is wrong.
    std::string fault() {
        size_t n_visits = 0;
        for (uint32_t rule = 0; rule < found_.size() && fault_.empty(); rule++) {
            n_visits += found_[rule].state == State::done ? 0 : visit(rule, 0);
            if (n_visits > max_rule_visits && fault_.empty()) {
                fault_ = "too many rules begin with other rules";
            }
        }
        return fault_;
    }

private:
    enum class State { unseen, visiting, done };
    struct Found {
        State state = State::unseen;
        bool may_be_empty = false;
        size_t n_visits = 0;
    };

    // NOLINTNEXTLINE(misc-no-recursion): at most max_rule_nesting deep
    size_t visit(uint32_t rule, size_t depth) {
        Found &found = found_[rule];
        if (found.state == State::done) {
            return found.n_visits;
        }
        if (found.state == State::visiting) {
            fault_ = "rule \"" + name_of(parser_, rule) + "\" begins with itself (left recursion)";
        } else if (depth >= max_rule_nesting) {
            fault_ = "rules begin with each other more than " + std::to_string(max_rule_nesting) +
                     " deep";
        }
        if (!fault_.empty()) {
            return 0;
        }
        found.state = State::visiting;
        found.may_be_empty = has_empty_alternative(parser_.rules[rule]);
        size_t n_visits = 1;
        bool is_leftmost = true;
        for (const auto &element : parser_.rules[rule]) {
            if (ends_alternative(element)) {
                is_leftmost = true;
            } else if (element.type == LLAMA_GRETYPE_RULE_REF && is_leftmost) {
                n_visits =
                    std::min(n_visits + visit(element.value, depth + 1), max_rule_visits + 1);
                is_leftmost = found_[element.value].may_be_empty;
            } else {
                is_leftmost = false;
            }
        }
        found.state = State::done;
        found.n_visits = n_visits;
        return n_visits;
    }

    static bool has_empty_alternative(const llama_grammar_rule &rule) {
        bool at_start = true;
        for (const auto &element : rule) {
            if (ends_alternative(element) && at_start) {
                return true;
            }
            at_start = ends_alternative(element);
        }
        return false;
    }

    const llama_grammar_parser &parser_;
    std::vector<Found> found_;
    std::string fault_;
};

std::string undefined_rule(const llama_grammar_parser &parser,
                           const std::vector<size_t> &first_lines) {
    for (const auto &[name, id] : parser.symbol_ids) {
        if (id >= parser.rules.size() || parser.rules[id].empty()) {
            return "the rule in line " + std::to_string(first_lines[id]) + " names a rule \"" +
                   name + "\" that is not defined";
        }
    }
    return {};
}

} // namespace

std::string gbnf_fault(const llama_vocab *vocab, const std::string &text, const std::string &root) {
    if (bracket_nesting(text) > max_bracket_nesting) {
        return "the grammar's brackets are nested more than " +
               std::to_string(max_bracket_nesting) + " deep";
    }
    llama_grammar_parser parser(vocab);
    std::vector<size_t> first_lines; // by rule: where it was met first
    const char *const begin = text.c_str();
    const char *at = skip_space(begin);
    size_t line = 1 + lines_between(begin, at);
    while (*at != '\0') {
        const char *const rule = at;
        try {
            at = parser.parse_rule(rule);
        } catch (const std::exception &exception) {
            return with_place(exception.what(), text, line);
        }
        first_lines.resize(parser.symbol_ids.size(), line);
        line += lines_between(rule, at);
    }
    if (parser.rules.empty()) {
        return "the grammar has no rules";
    }
    std::string undefined = undefined_rule(parser, first_lines);
    if (!undefined.empty()) {
        return undefined;
    }
    if (parser.symbol_ids.find(root) == parser.symbol_ids.end()) {
        return "the grammar has no rule \"" + root + "\"";
    }
    return LeftmostSearch(parser).fault();
}

} // namespace paddler
