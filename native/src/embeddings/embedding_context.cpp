#include "embeddings/embedding_context.h"

#include "model/model.h"
#include "platform/assertions.h"
#include "platform/errors.h"

#include "gguf.h"

#include <algorithm>
#include <chrono>
#include <string>

namespace paddler {

namespace {

constexpr int32_t causal_ubatch_tokens = 512;

// Documents share a batch up to this size; a longer one has it to itself. More
// gains little speed, but costs memory for every token (see output_piece).
constexpr int32_t preferred_batch_tokens = 512;
constexpr int64_t logits_bytes_per_piece = 64 << 20;

// While the model generates too: how long a piece of a causal model takes, and
// what a piece is worth at least.
constexpr double contended_piece_s = 0.05;
constexpr double min_contended_tokens = 8.0;

pdl_embedder_params checked(const pdl_model &model, const pdl_embedder_params &params) {
    const auto require = [](bool condition, const char *what) {
        if (!condition) {
            throw Failure(PDL_INVALID_ARGUMENT, what);
        }
    };
    require(params.n_batch >= 1, "the embedding batch must hold at least one token");
    require(params.max_sequences >= 1 &&
                params.max_sequences <= static_cast<int32_t>(llama_max_parallel_sequences()),
            "documents per batch must be between 1 and llama.cpp's limit of sequences");
    require(params.max_documents >= 1, "at least one document must fit the queue");
    require(params.n_threads >= 0, "n_threads must be 0 or more");
    require(params.pooling_type >= LLAMA_POOLING_TYPE_UNSPECIFIED &&
                params.pooling_type <= LLAMA_POOLING_TYPE_RANK,
            "unknown pooling type");
    pdl_model_info info;
    pdl_model_get_info(&model, &info);
    if (info.can_embed == 0) {
        throw Failure(PDL_UNSUPPORTED, "this model cannot make embeddings");
    }
    return params;
}

// Without a classifier llama.cpp would pass off the start of an embedding as a
// score. Of a split model only the first file is looked at, so it is trusted.
bool may_have_classifier(const pdl_model &model) {
    const gguf_init_params params{/*no_alloc=*/true, /*ctx=*/nullptr};
    const std::unique_ptr<gguf_context, void (*)(gguf_context *)> file(
        gguf_init_from_file(model.path.c_str(), params), gguf_free);
    if (!file || gguf_find_key(file.get(), "split.count") >= 0) {
        return true;
    }
    return gguf_find_tensor(file.get(), "cls.weight") >= 0 ||
           gguf_find_tensor(file.get(), "cls.output.weight") >= 0;
}

int32_t resolve_pooling(const pdl_model &model, int32_t requested) {
    if (requested != LLAMA_POOLING_TYPE_UNSPECIFIED) {
        return requested;
    }
    pdl_model_info info;
    pdl_model_get_info(&model, &info);
    return info.pooling_type >= 0 ? info.pooling_type : LLAMA_POOLING_TYPE_NONE;
}

} // namespace

EmbeddingContext::EmbeddingContext(const pdl_model &model, const pdl_embedder_params &params)
    : compute_(model.compute), threads_(model.compute.threads(checked(model, params).n_threads)),
      pooling_(resolve_pooling(model, params.pooling_type)) {
    if (pooling_ == LLAMA_POOLING_TYPE_RANK && !may_have_classifier(model)) {
        throw Failure(PDL_UNSUPPORTED,
                      "rank pooling needs a model with a classifier; this has none");
    }
    encodes_ = llama_model_has_encoder(model.model);
    max_sequences_ = params.max_sequences;
    // Beyond the trained context an encoder has no positions (llama.cpp asserts).
    max_tokens_ = std::min(params.n_batch, std::max(llama_model_n_ctx_train(model.model), 1));
    shared_batch_tokens_ = std::min(max_tokens_, preferred_batch_tokens);
    dimensions_ = pooling_ == LLAMA_POOLING_TYPE_RANK
                      ? static_cast<int32_t>(llama_model_n_cls_out(model.model))
                      : llama_model_n_embd_out(model.model);
    const int64_t n_vocab = std::max(llama_vocab_n_tokens(model.vocab), 1);
    output_piece_tokens_ = static_cast<int32_t>(
        std::clamp<int64_t>(logits_bytes_per_piece / (n_vocab * 4), 16, causal_ubatch_tokens));

    llama_context_params native = llama_context_default_params();
    native.swa_full = false;
    native.n_ctx = static_cast<uint32_t>(max_tokens_);
    native.n_batch = static_cast<uint32_t>(max_tokens_);
    native.n_seq_max = static_cast<uint32_t>(max_sequences_);
    native.n_threads = native.n_threads_batch = resolve_threads(params.n_threads);
    native.embeddings = true;
    // Sequences share the cells: a batch holds max_tokens of them altogether.
    native.kv_unified = true;
    native.no_perf = true;
    native.abort_callback = [](void *self) {
        return static_cast<EmbeddingContext *>(self)->aborted_.load();
    };
    native.abort_callback_data = this;

    // Whether a model is causal is known only from a context: try as if it
    // were, with the small buffers of that; an encoder gets larger ones.
    native.n_ubatch = static_cast<uint32_t>(std::min(max_tokens_, causal_ubatch_tokens));
    native.n_outputs_max = static_cast<uint32_t>(
        std::max(std::min(output_piece_tokens_, max_tokens_), max_sequences_));
    native.n_outputs_max = std::min(native.n_outputs_max, native.n_batch);
    native.pooling_type = static_cast<enum llama_pooling_type>(
        pooling_ == LLAMA_POOLING_TYPE_MEAN ? LLAMA_POOLING_TYPE_NONE : pooling_);
    const AssertionsThrow assertions;
    context_.reset(llama_init_from_model(model.model, native));
    causal_ = context_ != nullptr && !encodes_ && llama_get_memory(context_.get()) != nullptr &&
              llama_get_causal_attn(context_.get());
    if (context_ != nullptr && !causal_) {
        context_.reset();
        native.n_ubatch = native.n_batch;
        native.n_outputs_max = 0;
        native.pooling_type = static_cast<enum llama_pooling_type>(pooling_);
        context_.reset(llama_init_from_model(model.model, native));
    }
    if (context_ == nullptr) {
        throw Failure(PDL_INVALID_ARGUMENT,
                      "llama.cpp cannot make a context for embeddings with these parameters");
    }
    threads_->attach(context_.get());
    batch_ = std::make_unique<Batch>(max_tokens_);
}

std::vector<DocumentRows>
EmbeddingContext::embed(const std::vector<const std::vector<int32_t> *> &documents) {
    if (llama_memory_t memory = llama_get_memory(context_.get())) {
        llama_memory_clear(memory, /*data=*/false);
    }
    if (!causal_) {
        return embed_at_once(documents);
    }
    switch (pooling_) {
    case LLAMA_POOLING_TYPE_NONE:
    case LLAMA_POOLING_TYPE_MEAN:
        return embed_every_token(documents);
    default:
        return embed_one_position(documents);
    }
}

size_t EmbeddingContext::next_piece(int32_t at_most) {
    if (!compute_.take_contended()) {
        return static_cast<size_t>(at_most);
    }
    const double affordable = std::max(tokens_per_s_ * contended_piece_s, min_contended_tokens);
    return static_cast<size_t>(std::min(affordable, static_cast<double>(at_most)));
}

void EmbeddingContext::run(const std::vector<Item> &items, bool output) {
    const Compute::Turn turn(compute_);
    const auto started = std::chrono::steady_clock::now();
    batch_->clear();
    for (const auto &item : items) {
        batch_->add(item.token, item.position, item.sequence, output);
    }
    llama_set_embeddings(context_.get(), output);
    const int32_t result = encodes_ ? llama_encode(context_.get(), batch_->native())
                                    : llama_decode(context_.get(), batch_->native());
    if (result == 2 || (result != 0 && aborted_.load())) {
        throw Failure(PDL_CANCELLED, "cancelled");
    }
    if (result == -2) {
        throw Failure(PDL_OUT_OF_MEMORY, "not enough memory for a batch of documents");
    }
    if (result != 0) {
        throw Failure(PDL_DECODE_FAILED,
                      "llama.cpp could not compute a batch (code " + std::to_string(result) + ")");
    }
    llama_synchronize(context_.get());
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - started;
    tokens_per_s_ = static_cast<double>(items.size()) / std::max(taken.count(), 1e-6);
}

void EmbeddingContext::run_in_pieces(const std::vector<Item> &items) {
    for (size_t from = 0; from < items.size();) {
        const auto to = std::min(from + next_piece(causal_ubatch_tokens), items.size());
        run(std::vector<Item>(items.begin() + static_cast<std::ptrdiff_t>(from),
                              items.begin() + static_cast<std::ptrdiff_t>(to)),
            false);
        from = to;
    }
}

DocumentRows EmbeddingContext::pooled_row(int32_t sequence) const {
    const float *row = llama_get_embeddings_seq(context_.get(), sequence);
    if (row == nullptr) {
        throw Failure(PDL_DECODE_FAILED, "llama.cpp returned no embedding");
    }
    return {1, std::vector<float>(row, row + dimensions_)};
}

std::vector<DocumentRows>
EmbeddingContext::embed_at_once(const std::vector<const std::vector<int32_t> *> &documents) {
    std::vector<Item> items;
    for (size_t i = 0; i < documents.size(); i++) {
        for (size_t at = 0; at < documents[i]->size(); at++) {
            items.push_back(
                {(*documents[i])[at], static_cast<int32_t>(at), static_cast<int32_t>(i)});
        }
    }
    run(items, true);
    std::vector<DocumentRows> rows(documents.size());
    if (pooling_ != LLAMA_POOLING_TYPE_NONE) {
        for (size_t i = 0; i < documents.size(); i++) {
            rows[i] = pooled_row(static_cast<int32_t>(i));
        }
        return rows;
    }
    for (size_t at = 0; at < items.size(); at++) {
        const float *row = llama_get_embeddings_ith(context_.get(), static_cast<int32_t>(at));
        if (row == nullptr) {
            throw Failure(PDL_DECODE_FAILED, "llama.cpp returned no embedding");
        }
        auto &document = rows[static_cast<size_t>(items[at].sequence)];
        document.n_rows++;
        document.values.insert(document.values.end(), row, row + dimensions_);
    }
    return rows;
}

// Causal model; one position of each document is its embedding: the first,
// which depends on nothing else, or the last.
std::vector<DocumentRows>
EmbeddingContext::embed_one_position(const std::vector<const std::vector<int32_t> *> &documents) {
    std::vector<Item> before;
    std::vector<Item> pooled;
    for (size_t i = 0; i < documents.size(); i++) {
        const auto &tokens = *documents[i];
        const auto sequence = static_cast<int32_t>(i);
        const size_t chosen = pooling_ == LLAMA_POOLING_TYPE_CLS ? 0 : tokens.size() - 1;
        for (size_t at = 0; at < chosen; at++) {
            before.push_back({tokens[at], static_cast<int32_t>(at), sequence});
        }
        pooled.push_back({tokens[chosen], static_cast<int32_t>(chosen), sequence});
    }
    run_in_pieces(before);
    run(pooled, true);
    std::vector<DocumentRows> rows;
    rows.reserve(documents.size());
    for (size_t i = 0; i < documents.size(); i++) {
        rows.push_back(pooled_row(static_cast<int32_t>(i)));
    }
    return rows;
}

// Causal model; every token counts. Pooled here, as llama.cpp would pool each
// piece by itself.
std::vector<DocumentRows>
EmbeddingContext::embed_every_token(const std::vector<const std::vector<int32_t> *> &documents) {
    const auto n_floats = static_cast<size_t>(dimensions_);
    const bool mean = pooling_ == LLAMA_POOLING_TYPE_MEAN;
    std::vector<DocumentRows> rows(documents.size());
    std::vector<std::vector<double>> sums(mean ? documents.size() : 0,
                                          std::vector<double>(n_floats, 0.0));
    std::vector<Item> piece;
    size_t piece_tokens = next_piece(output_piece_tokens_);
    const auto flush = [&] {
        run(piece, true);
        for (size_t at = 0; at < piece.size(); at++) {
            const float *row = llama_get_embeddings_ith(context_.get(), static_cast<int32_t>(at));
            if (row == nullptr) {
                throw Failure(PDL_DECODE_FAILED, "llama.cpp returned no embedding");
            }
            const auto sequence = static_cast<size_t>(piece[at].sequence);
            if (mean) {
                for (size_t k = 0; k < n_floats; k++) {
                    sums[sequence][k] += static_cast<double>(row[k]);
                }
            } else {
                rows[sequence].n_rows++;
                rows[sequence].values.insert(rows[sequence].values.end(), row, row + n_floats);
            }
        }
        piece.clear();
        piece_tokens = next_piece(output_piece_tokens_);
    };
    for (size_t i = 0; i < documents.size(); i++) {
        for (size_t at = 0; at < documents[i]->size(); at++) {
            piece.push_back(
                {(*documents[i])[at], static_cast<int32_t>(at), static_cast<int32_t>(i)});
            if (piece.size() == piece_tokens) {
                flush();
            }
        }
    }
    if (!piece.empty()) {
        flush();
    }
    for (size_t i = 0; mean && i < documents.size(); i++) {
        rows[i].n_rows = 1;
        for (const double sum : sums[i]) {
            rows[i].values.push_back(
                static_cast<float>(sum / static_cast<double>(documents[i]->size())));
        }
    }
    return rows;
}

} // namespace paddler
