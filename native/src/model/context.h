// A llama_context and a llama_batch that free themselves.
//
// Both belong to one thread at a time.
#pragma once

#include "llama.h"

#include <cstdint>
#include <memory>

namespace paddler {

struct ContextDeleter {
    void operator()(llama_context *context) const { llama_free(context); }
};

using ContextPointer = std::unique_ptr<llama_context, ContextDeleter>;

// Tokens for one llama_decode or llama_encode, each of one sequence.
class Batch {
public:
    explicit Batch(int32_t capacity) : native_(llama_batch_init(capacity, 0, 1)) {}
    ~Batch() { llama_batch_free(native_); }
    Batch(const Batch &) = delete;
    Batch &operator=(const Batch &) = delete;

    void clear() { native_.n_tokens = 0; }
    int32_t size() const { return native_.n_tokens; }
    const llama_batch &native() const { return native_; }

    // At most `capacity` times after clear.
    void add(llama_token token, llama_pos position, llama_seq_id seq, bool output) {
        const int32_t i = native_.n_tokens++;
        native_.token[i] = token;
        native_.pos[i] = position;
        native_.n_seq_id[i] = 1;
        native_.seq_id[i][0] = seq;
        native_.logits[i] = output ? 1 : 0;
    }

private:
    llama_batch native_;
};

} // namespace paddler
