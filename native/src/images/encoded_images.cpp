#include "images/encoded_images.h"

#include <algorithm>
#include <utility>

namespace paddler {

Embeddings EncodedImages::find(uint64_t content_hash, int32_t part) {
    const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry &entry) {
        return entry.content_hash == content_hash && entry.part == part;
    });
    if (found == entries_.end()) {
        return nullptr;
    }
    entries_.splice(entries_.begin(), entries_, found);
    return found->embeddings;
}

void EncodedImages::keep(uint64_t content_hash, int32_t part, Embeddings embeddings) {
    entries_.push_front({content_hash, part, std::move(embeddings)});
    n_bytes_ += size_of(entries_.front());
    while (n_bytes_ > max_bytes_) {
        n_bytes_ -= size_of(entries_.back());
        entries_.pop_back();
    }
}

} // namespace paddler
