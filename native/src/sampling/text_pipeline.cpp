#include "sampling/text_pipeline.h"

#include <algorithm>

namespace paddler {

namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

bool is_continuation(unsigned char byte) {
    return (byte & 0xC0) == 0x80;
}

// Length of the sequence that `lead` opens, 0 if it opens none (RFC 3629).
size_t sequence_length(unsigned char lead) {
    if (lead < 0x80) {
        return 1;
    }
    if (lead >= 0xC2 && lead <= 0xDF) {
        return 2;
    }
    if (lead >= 0xE0 && lead <= 0xEF) {
        return 3;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        return 4;
    }
    return 0;
}

// Whether `second` may follow `lead`: excludes overlong forms, surrogates and
// what lies beyond U+10FFFF.
bool is_second_byte(unsigned char lead, unsigned char second) {
    switch (lead) {
    case 0xE0:
        return second >= 0xA0 && second <= 0xBF;
    case 0xED:
        return second >= 0x80 && second <= 0x9F;
    case 0xF0:
        return second >= 0x90 && second <= 0xBF;
    case 0xF4:
        return second >= 0x80 && second <= 0x8F;
    default:
        return is_continuation(second);
    }
}

// Start of the longest suffix of `text` that is a proper prefix of `pattern`.
size_t partial_match_start(std::string_view text, std::string_view pattern) {
    const size_t longest = std::min(text.size(), pattern.size() - 1);
    for (size_t length = longest; length > 0; length--) {
        if (text.compare(text.size() - length, length, pattern, 0, length) == 0) {
            return text.size() - length;
        }
    }
    return std::string::npos;
}

} // namespace

void Utf8Assembler::push(std::string_view bytes, std::string &whole) {
    held_.append(bytes);
    size_t at = 0;
    while (at < held_.size()) {
        const auto lead = static_cast<unsigned char>(held_[at]);
        const size_t length = sequence_length(lead);
        if (length == 0) {
            whole.append(replacement);
            at++;
            continue;
        }
        size_t n_valid = 1;
        while (n_valid < length && at + n_valid < held_.size()) {
            const auto next = static_cast<unsigned char>(held_[at + n_valid]);
            if (n_valid == 1 ? !is_second_byte(lead, next) : !is_continuation(next)) {
                break;
            }
            n_valid++;
        }
        if (n_valid == length) {
            whole.append(held_, at, length);
        } else if (at + n_valid == held_.size()) {
            break;
        } else {
            whole.append(replacement);
        }
        at += n_valid;
    }
    held_.erase(0, at);
}

TextPipeline::TextPipeline(std::vector<std::string> stops, std::vector<ClassMarker> markers,
                           int32_t initial_class)
    : stops_(std::move(stops)), markers_(std::move(markers)), class_(initial_class) {
    const auto is_empty = [](const auto &entry) {
        if constexpr (std::is_same_v<std::decay_t<decltype(entry)>, std::string>) {
            return entry.empty();
        } else {
            return entry.text.empty();
        }
    };
    stops_.erase(std::remove_if(stops_.begin(), stops_.end(), is_empty), stops_.end());
    markers_.erase(std::remove_if(markers_.begin(), markers_.end(), is_empty), markers_.end());
}

bool TextPipeline::applies(const ClassMarker &marker) const {
    return marker.when_class < 0 || marker.when_class == class_;
}

TextPipeline::Match TextPipeline::first_match() const {
    Match first;
    const auto consider = [&](const std::string &pattern, const ClassMarker *marker) {
        const size_t position = pending_.find(pattern);
        if (position == std::string::npos) {
            return;
        }
        if (position < first.position ||
            (position == first.position && pattern.size() > first.length)) {
            first = {position, pattern.size(), marker};
        }
    };
    for (const auto &stop : stops_) {
        consider(stop, nullptr);
    }
    for (const auto &marker : markers_) {
        if (applies(marker)) {
            consider(marker.text, &marker);
        }
    }
    return first;
}

size_t TextPipeline::first_partial_match() const {
    size_t first = std::string::npos;
    for (const auto &stop : stops_) {
        first = std::min(first, partial_match_start(pending_, stop));
    }
    for (const auto &marker : markers_) {
        if (applies(marker)) {
            first = std::min(first, partial_match_start(pending_, marker.text));
        }
    }
    return first;
}

void TextPipeline::emit(std::string_view text, std::vector<TextSegment> &segments) const {
    if (text.empty()) {
        return;
    }
    if (!segments.empty() && segments.back().token_class == class_) {
        segments.back().text.append(text);
    } else {
        segments.push_back({class_, std::string(text)});
    }
}

void TextPipeline::advance(bool finished, std::vector<TextSegment> &segments) {
    while (!stopped_) {
        const Match match = first_match();
        const size_t partial = finished ? std::string::npos : first_partial_match();
        // A possible match that begins earlier is decided first, and so is a
        // marker that could still turn out to be a longer one.
        const bool may_grow = match.marker != nullptr && partial == match.position;
        if (match.position == std::string::npos || partial < match.position || may_grow) {
            const size_t certain = std::min(partial, pending_.size());
            emit(std::string_view(pending_).substr(0, certain), segments);
            pending_.erase(0, certain);
            return;
        }
        emit(std::string_view(pending_).substr(0, match.position), segments);
        if (match.marker == nullptr) {
            stopped_ = true;
            pending_.clear();
            return;
        }
        class_ = match.marker->next_class;
        if (match.marker->emit) {
            emit(match.marker->text, segments);
        }
        pending_.erase(0, match.position + match.length);
    }
}

void TextPipeline::push(std::string_view bytes, std::vector<TextSegment> &segments) {
    if (stopped_) {
        return;
    }
    if (stops_.empty() && markers_.empty()) {
        std::string whole;
        assembler_.push(bytes, whole);
        emit(whole, segments);
        return;
    }
    assembler_.push(bytes, pending_);
    advance(false, segments);
}

void TextPipeline::finish(std::vector<TextSegment> &segments) {
    advance(true, segments);
}

} // namespace paddler
