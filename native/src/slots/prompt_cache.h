// Conversations whose slot was needed by another one, kept in host memory.
//
// Used by the decode thread only. Bounded in bytes; the least recently used
// conversation goes first.
#pragma once

#include "slots/kv_store.h"

#include <cstdint>
#include <list>
#include <vector>

namespace paddler {

struct SavedSequence {
    SequenceState state;
    std::vector<uint8_t> data;

    size_t n_bytes() const;
};

class PromptCache {
public:
    explicit PromptCache(int64_t capacity_bytes) : capacity_bytes_(capacity_bytes) {}

    bool enabled() const { return capacity_bytes_ > 0; }
    int64_t n_bytes() const { return n_bytes_; }
    int64_t n_evictions() const { return n_evictions_; } // pushed out by the bound
    bool could_hold(size_t n_bytes) const;

    // Keeps a sequence; what it replaces or pushes out is appended to dropped
    // by owner. An entry that is a prefix of the new one is replaced by it.
    void put(SavedSequence saved, std::vector<uint64_t> &dropped);

    std::list<SavedSequence> &entries() { return entries_; }

    SavedSequence take(std::list<SavedSequence>::iterator entry);
    void touch(std::list<SavedSequence>::iterator entry);

private:
    void erase(std::list<SavedSequence>::iterator entry, std::vector<uint64_t> &dropped);

    int64_t capacity_bytes_;
    int64_t n_bytes_ = 0;
    int64_t n_evictions_ = 0;
    std::list<SavedSequence> entries_; // most recently used first
};

} // namespace paddler
