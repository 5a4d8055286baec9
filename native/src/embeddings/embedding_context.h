// The llama_context that embeds, and how a batch of documents goes through it.
//
// Belongs to one thread. Models differ: an encoder sees a document at once; a
// causal model reads it piece by piece, which bounds the memory for logits
// that llama.cpp computes for every output whether they are wanted or not.
#pragma once

#include "model/compute.h"
#include "model/context.h"
#include "paddler_embeddings.h"

#include "llama.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace paddler {

// n_rows * dimensions floats; empty: not computed.
struct DocumentRows {
    int32_t n_rows = 0;
    std::vector<float> values;
};

class EmbeddingContext {
public:
    // Throws Failure.
    EmbeddingContext(const pdl_model &model, const pdl_embedder_params &params);

    int32_t dimensions() const { return dimensions_; }
    int32_t pooling_type() const { return pooling_; }
    int32_t max_tokens() const { return max_tokens_; }
    int32_t max_sequences() const { return max_sequences_; }

    // Tokens of several documents that are computed together at most.
    int32_t shared_batch_tokens() const { return shared_batch_tokens_; }

    // Embeds up to max_sequences documents of max_tokens together at most.
    // Throws Failure, with PDL_CANCELLED once `abort` was called.
    std::vector<DocumentRows> embed(const std::vector<const std::vector<int32_t> *> &documents);

    // Any thread: the batch that is computed ends soon. Stays so until rearm.
    void abort() { aborted_.store(true); }
    void rearm() { aborted_.store(false); }

private:
    struct Item {
        int32_t token;
        int32_t position;
        int32_t sequence;
    };

    // Tokens of the next piece, so that generations do not wait long for their turn.
    size_t next_piece(int32_t at_most);
    void run(const std::vector<Item> &items, bool output);
    void run_in_pieces(const std::vector<Item> &items);
    std::vector<DocumentRows>
    embed_at_once(const std::vector<const std::vector<int32_t> *> &documents);
    std::vector<DocumentRows>
    embed_one_position(const std::vector<const std::vector<int32_t> *> &documents);
    std::vector<DocumentRows>
    embed_every_token(const std::vector<const std::vector<int32_t> *> &documents);
    DocumentRows pooled_row(int32_t sequence) const;

    Compute &compute_;
    std::shared_ptr<ThreadPool> threads_;
    ContextPointer context_;
    std::unique_ptr<Batch> batch_;
    std::atomic<bool> aborted_{false};
    bool encodes_ = false; // llama_encode instead of llama_decode
    bool causal_ = false;
    int32_t pooling_ = 0;
    int32_t dimensions_ = 0;
    int32_t max_tokens_ = 0;
    int32_t max_sequences_ = 0;
    int32_t shared_batch_tokens_ = 0;
    int32_t output_piece_tokens_ = 0; // outputs per llama_decode of a causal model
    double tokens_per_s_ = 0.0;       // of the last pieces
};

} // namespace paddler
