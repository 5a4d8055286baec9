// From token pieces to text a client may see.
//
// Knows bytes, stop strings and class markers; knows neither tokens nor
// llama.cpp. Holds text back while it could still turn out to be part of a
// code point, a stop string or a marker, and never longer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace paddler {

// As messages.generation.TokenClass.
enum OutputClass : int32_t {
    class_any = -1,
    class_content = 0,
    class_reasoning = 1,
    class_tool_call = 2,
    class_undeterminable = 3,
};

constexpr int32_t n_classes = 4;

// Turns bytes into whole UTF-8: an unfinished code point is held, bytes that
// can never be one become U+FFFD.
class Utf8Assembler {
public:
    void push(std::string_view bytes, std::string &whole);

private:
    std::string held_;
};

struct ClassMarker {
    std::string text;
    int32_t when_class; // class_any: whichever is current
    int32_t next_class;
    bool emit;
};

struct TextSegment {
    int32_t token_class;
    std::string text;
};

class TextPipeline {
public:
    TextPipeline(std::vector<std::string> stops, std::vector<ClassMarker> markers,
                 int32_t initial_class);

    // Appends what became certain to segments. After a stop string nothing
    // more comes out.
    void push(std::string_view bytes, std::vector<TextSegment> &segments);

    // No more bytes come: what was held back only as a possible match goes
    // out; an unfinished code point is dropped.
    void finish(std::vector<TextSegment> &segments);

    int32_t current_class() const { return class_; }
    bool stopped() const { return stopped_; }

    // Whether text is held back that could be part of a stop string or a marker.
    bool holds_text() const { return !pending_.empty(); }

private:
    struct Match {
        size_t position = std::string::npos;
        size_t length = 0;
        const ClassMarker *marker = nullptr; // null: a stop string
    };

    Match first_match() const;
    size_t first_partial_match() const;
    bool applies(const ClassMarker &marker) const;
    void emit(std::string_view text, std::vector<TextSegment> &segments) const;
    void advance(bool finished, std::vector<TextSegment> &segments);

    std::vector<std::string> stops_;
    std::vector<ClassMarker> markers_;
    int32_t class_;
    bool stopped_ = false;
    Utf8Assembler assembler_;
    std::string pending_;
};

} // namespace paddler
