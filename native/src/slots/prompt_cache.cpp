#include "slots/prompt_cache.h"

#include <iterator>

namespace paddler {

size_t SavedSequence::n_bytes() const {
    size_t total = data.size() + state.tokens.size() * sizeof(llama_token);
    for (const auto &checkpoint : state.checkpoints) {
        total += checkpoint.data->size();
    }
    return total;
}

bool PromptCache::could_hold(size_t n_bytes) const {
    return static_cast<int64_t>(n_bytes) <= capacity_bytes_;
}

void PromptCache::erase(std::list<SavedSequence>::iterator entry, std::vector<uint64_t> &dropped) {
    n_bytes_ -= static_cast<int64_t>(entry->n_bytes());
    if (entry->state.owner != 0) {
        dropped.push_back(entry->state.owner);
    }
    entries_.erase(entry);
}

void PromptCache::put(SavedSequence saved, std::vector<uint64_t> &dropped) {
    for (auto entry = entries_.begin(); entry != entries_.end();) {
        const auto next = std::next(entry);
        if (common_prefix(entry->state.tokens, saved.state.tokens) ==
            static_cast<int32_t>(entry->state.tokens.size())) {
            erase(entry, dropped);
        }
        entry = next;
    }
    n_bytes_ += static_cast<int64_t>(saved.n_bytes());
    entries_.push_front(std::move(saved));
    while (n_bytes_ > capacity_bytes_ && !entries_.empty()) {
        erase(std::prev(entries_.end()), dropped);
        n_evictions_++;
    }
}

SavedSequence PromptCache::take(std::list<SavedSequence>::iterator entry) {
    n_bytes_ -= static_cast<int64_t>(entry->n_bytes());
    SavedSequence taken = std::move(*entry);
    entries_.erase(entry);
    return taken;
}

void PromptCache::touch(std::list<SavedSequence>::iterator entry) {
    entries_.splice(entries_.begin(), entries_, entry);
}

} // namespace paddler
