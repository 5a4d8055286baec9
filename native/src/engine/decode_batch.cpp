#include "engine/decode_batch.h"

#include <algorithm>

namespace paddler {

void DecodeBatch::clear() {
    tokens_.clear();
    parts_.clear();
}

BatchPart DecodeBatch::take_last(const Slot &slot) {
    const auto found = std::find_if(parts_.begin(), parts_.end(),
                                    [&slot](const BatchPart &part) { return part.slot == &slot; });
    if (found == parts_.end()) {
        return {};
    }
    BatchPart last = *found;
    if (found->tokens.size() == 1) {
        parts_.erase(found);
        return last;
    }
    last.tokens = {found->tokens.back()};
    found->tokens.pop_back();
    found->output = found->checkpoint_after = false;
    return last;
}

void DecodeBatch::sort() {
    std::sort(parts_.begin(), parts_.end(),
              [](const BatchPart &a, const BatchPart &b) { return a.slot->seq < b.slot->seq; });
}

void DecodeBatch::lay_out() {
    sort();
    tokens_.clear();
    for (auto &part : parts_) {
        llama_pos position = part.slot->n_held();
        for (size_t i = 0; i < part.tokens.size(); i++) {
            tokens_.add(part.tokens[i], position++, part.slot->seq,
                        part.output && i + 1 == part.tokens.size());
        }
        part.output_index = part.output ? tokens_.size() - 1 : -1;
    }
}

int32_t DecodeBatch::n_tokens() const {
    size_t n = 0;
    for (const auto &part : parts_) {
        n += part.tokens.size();
    }
    return static_cast<int32_t>(n);
}

} // namespace paddler
