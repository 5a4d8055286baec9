// Properties of the text pipeline: however a text is cut into pieces, the same
// comes out, nothing is lost but stops and silent markers, and all is UTF-8.
#include "sampling/text_pipeline.h"

#include "check.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

using paddler::ClassMarker;
using paddler::TextPipeline;
using paddler::TextSegment;
using paddler::Utf8Assembler;

namespace {

std::string joined(const std::vector<TextSegment> &segments) {
    std::string text;
    for (const auto &segment : segments) {
        text += "[" + std::to_string(segment.token_class) + "]" + segment.text;
    }
    return text;
}

// Neighbours of the same class belong together however they were cut.
std::vector<TextSegment> merged(const std::vector<TextSegment> &segments) {
    std::vector<TextSegment> result;
    for (const auto &segment : segments) {
        if (!result.empty() && result.back().token_class == segment.token_class) {
            result.back().text += segment.text;
        } else {
            result.push_back(segment);
        }
    }
    return result;
}

std::string run(TextPipeline pipeline, const std::string &text, std::mt19937 &random,
                size_t longest) {
    std::vector<TextSegment> all;
    size_t at = 0;
    while (at < text.size()) {
        const size_t n = std::min(text.size() - at, 1 + random() % longest);
        std::vector<TextSegment> segments;
        pipeline.push(text.substr(at, n), segments);
        all.insert(all.end(), segments.begin(), segments.end());
        at += n;
    }
    std::vector<TextSegment> segments;
    pipeline.finish(segments);
    all.insert(all.end(), segments.begin(), segments.end());
    return joined(merged(all));
}

void test_cutting_does_not_matter() {
    std::mt19937 random(1);
    const std::vector<std::string> stops = {"STOP", "</s>"};
    const std::vector<ClassMarker> markers = {{"<think>", 0, 1, false},
                                              {"</think>", 1, 0, false},
                                              {"<tool>", -1, 2, true},
                                              {"</tool>", 2, 0, true}};
    const std::vector<std::string> parts = {
        "<think>", "</think>", "<tool>", "</tool>", "<",  "</", "thi", "ST",
        "STOP",    "é",        "日本",   "🙂",      "ab", " ",  "</s", "\xFF"};
    for (int round = 0; round < 3000; round++) {
        std::string text;
        const size_t n_parts = random() % 12;
        for (size_t i = 0; i < n_parts; i++) {
            text += parts[random() % parts.size()];
        }
        const std::string whole = run({stops, markers, 0}, text, random, 1000);
        CHECK(run({stops, markers, 0}, text, random, 1) == whole);
        CHECK(run({stops, markers, 0}, text, random, 5) == whole);
        CHECK(whole.find("STOP") == std::string::npos);
    }
}

void test_text_is_not_held_longer_than_needed() {
    TextPipeline pipeline({"stop"}, {}, 0);
    std::vector<TextSegment> segments;
    pipeline.push("a sto", segments);
    CHECK(joined(segments) == "[0]a ");
    segments.clear();
    pipeline.push("ry", segments);
    CHECK(joined(segments) == "[0]story");
}

void test_a_marker_applies_only_in_its_class() {
    TextPipeline pipeline({}, {{"</think>", 1, 0, false}}, 0);
    std::vector<TextSegment> segments;
    pipeline.push("a</think>b", segments);
    pipeline.finish(segments);
    CHECK(joined(segments) == "[0]a</think>b");
}

void test_the_longest_marker_applies_however_the_text_is_cut() {
    const std::vector<ClassMarker> markers = {
        {"</think>", 1, 0, false}, {"</think>\n", 1, 0, false}, {"</think>\n\n", 1, 0, false}};
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"a</think>b", "[1]a[0]b"},
        {"a</think>\nb", "[1]a[0]b"},
        {"a</think>\n\n\nb", "[1]a[0]\nb"},
        {"a</think>", "[1]a"},
        {"a</think>\n", "[1]a"},
    };
    for (const auto &[text, expected] : cases) {
        TextPipeline pipeline({}, markers, 1);
        std::vector<TextSegment> segments;
        for (const char byte : text) {
            pipeline.push(std::string_view(&byte, 1), segments);
        }
        pipeline.finish(segments);
        CHECK(joined(segments) == expected);
    }
}

void test_an_unfinished_code_point_is_dropped_at_the_end() {
    TextPipeline pipeline({"x"}, {}, 0);
    std::vector<TextSegment> segments;
    pipeline.push("a\xF0\x9F\x99", segments);
    pipeline.finish(segments);
    CHECK(joined(segments) == "[0]a");
}

void test_bytes_that_are_no_text_become_replacements() {
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"\xFF", "\uFFFD"},
        {"a\x80z", "a\uFFFDz"},
        {"\xC0\xAF", "\uFFFD\uFFFD"},           // overlong
        {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"}, // surrogate
        {"\xF5\x80", "\uFFFD\uFFFD"},           // beyond U+10FFFF
        {"\xE2\x82\x41", "\uFFFD\x41"},         // cut off by another character
        {"\xE2\x82\xAC", "\u20AC"},
    };
    for (const auto &[bytes, expected] : cases) {
        Utf8Assembler assembler;
        std::string whole;
        for (const char byte : bytes) {
            assembler.push(std::string_view(&byte, 1), whole);
        }
        CHECK(whole == expected);
    }
}

} // namespace

int main() {
    test_cutting_does_not_matter();
    test_text_is_not_held_longer_than_needed();
    test_a_marker_applies_only_in_its_class();
    test_the_longest_marker_applies_however_the_text_is_cut();
    test_an_unfinished_code_point_is_dropped_at_the_end();
    test_bytes_that_are_no_text_become_replacements();
    return 0;
}
