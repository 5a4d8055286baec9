// Images that were encoded lately, by content: a conversation brings its images
// along with every turn, and encoding one takes seconds on a CPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <vector>

namespace paddler {

using Embeddings = std::shared_ptr<const std::vector<float>>; // [n_tokens, n_embd]

// Not thread-safe. Bounded by bytes; what was used longest ago goes first.
class EncodedImages {
public:
    explicit EncodedImages(size_t max_bytes = size_t{32} * 1024 * 1024) : max_bytes_(max_bytes) {}

    // Null: not held. `part` counts the pieces that a projector cut an image into.
    Embeddings find(uint64_t content_hash, int32_t part);
    void keep(uint64_t content_hash, int32_t part, Embeddings embeddings);
    size_t n_bytes() const { return n_bytes_; }

private:
    struct Entry {
        uint64_t content_hash;
        int32_t part;
        Embeddings embeddings;
    };

    static size_t size_of(const Entry &entry) { return entry.embeddings->size() * sizeof(float); }

    size_t max_bytes_;
    size_t n_bytes_ = 0;
    std::list<Entry> entries_; // newest first; few, so they are searched one by one
};

} // namespace paddler
