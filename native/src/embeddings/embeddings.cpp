// The embedder: a queue of documents, the thread that computes them, and the
// results that wait to be taken.

#include "embeddings/embedding_context.h"
#include "model/model.h"
#include "paddler_embeddings.h"
#include "platform/errors.h"
#include "platform/wakeup.h"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <set>
#include <thread>

struct pdl_embedder {
public:
    pdl_embedder(const pdl_model &model, const pdl_embedder_params &params)
        : context(model, params), n_vocab_(llama_vocab_n_tokens(model.vocab)),
          max_documents_(static_cast<size_t>(params.max_documents)), thread_([this] { work(); }) {}

    ~pdl_embedder() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            closing_ = true;
            context.abort();
        }
        queue_changed_.notify_all();
        thread_.join();
    }

    pdl_embedder(const pdl_embedder &) = delete;
    pdl_embedder &operator=(const pdl_embedder &) = delete;

    void submit(uint64_t id, const int32_t *tokens, int32_t n_tokens) {
        using paddler::Failure;
        if (n_tokens < 1) {
            throw Failure(PDL_INVALID_ARGUMENT, "the document has no tokens");
        }
        if (n_tokens > context.max_tokens()) {
            throw Failure(PDL_PROMPT_TOO_LONG,
                          "the document has " + std::to_string(n_tokens) + " tokens, but only " +
                              std::to_string(context.max_tokens()) + " fit a batch");
        }
        if (std::any_of(tokens, tokens + n_tokens,
                        [&](int32_t token) { return token < 0 || token >= n_vocab_; })) {
            throw Failure(PDL_INVALID_ARGUMENT, "a token is not in the model's vocabulary");
        }
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (known_.size() >= max_documents_) {
                throw Failure(PDL_INVALID_ARGUMENT, "too many documents are queued");
            }
            if (!known_.insert(id).second) {
                throw Failure(PDL_INVALID_ARGUMENT, "a document with this id is already queued");
            }
            queue_.push_back({id, std::vector<int32_t>(tokens, tokens + n_tokens)});
        }
        queue_changed_.notify_one();
    }

    void cancel(uint64_t id) {
        const auto has_id = [id](const auto &entry) { return entry.id == id; };
        const std::lock_guard<std::mutex> lock(mutex_);
        if (known_.erase(id) == 0) {
            return;
        }
        queue_.erase(std::remove_if(queue_.begin(), queue_.end(), has_id), queue_.end());
        results_.erase(std::remove_if(results_.begin(), results_.end(), has_id), results_.end());
        if (!running_.empty() && std::none_of(running_.begin(), running_.end(), [&](uint64_t one) {
                return known_.count(one) != 0;
            })) {
            context.abort();
        }
    }

    bool take(pdl_embedding &embedding) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (results_.empty()) {
            wakeup_.clear();
            return false;
        }
        auto &result = results_.front();
        embedding = {};
        embedding.id = result.id;
        embedding.error = result.error;
        if (result.error.status == PDL_OK) {
            const size_t n_bytes = result.rows.values.size() * sizeof(float);
            embedding.n_rows = result.rows.n_rows;
            embedding.values = static_cast<float *>(std::malloc(n_bytes));
            if (embedding.values == nullptr) {
                paddler::fill_error(&embedding.error, PDL_OUT_OF_MEMORY, "not enough memory");
            } else {
                std::memcpy(embedding.values, result.rows.values.data(), n_bytes);
            }
        }
        known_.erase(result.id);
        results_.pop_front();
        return true;
    }

    int32_t event_fd() const { return wakeup_.fd(); }

    paddler::EmbeddingContext context;

private:
    struct Document {
        uint64_t id;
        std::vector<int32_t> tokens;
    };
    struct Result {
        uint64_t id;
        paddler::DocumentRows rows;
        pdl_error error;
    };

    // Waits for documents; empty: closing.
    std::vector<Document> next_batch() {
        std::unique_lock<std::mutex> lock(mutex_);
        queue_changed_.wait(lock, [&] { return closing_ || !queue_.empty(); });
        std::vector<Document> batch;
        size_t n_tokens = 0;
        while (!closing_ && !queue_.empty() &&
               batch.size() < static_cast<size_t>(context.max_sequences())) {
            n_tokens += queue_.front().tokens.size();
            if (!batch.empty() && n_tokens > static_cast<size_t>(context.shared_batch_tokens())) {
                break;
            }
            running_.push_back(queue_.front().id);
            batch.push_back(std::move(queue_.front()));
            queue_.pop_front();
        }
        if (!closing_) {
            context.rearm();
        }
        return batch;
    }

    void finish(const std::vector<Document> &batch, std::vector<paddler::DocumentRows> rows,
                const pdl_error &error) {
        bool delivered = false;
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            running_.clear();
            for (size_t i = 0; i < batch.size(); i++) {
                if (known_.count(batch[i].id) == 0) {
                    continue; // cancelled meanwhile
                }
                results_.push_back({batch[i].id,
                                    rows.empty() ? paddler::DocumentRows() : std::move(rows[i]),
                                    error});
                delivered = true;
            }
            if (delivered) {
                wakeup_.notify();
            }
        }
    }

    void work() {
        while (true) {
            const auto batch = next_batch();
            if (batch.empty()) {
                return;
            }
            std::vector<const std::vector<int32_t> *> documents;
            documents.reserve(batch.size());
            for (const auto &document : batch) {
                documents.push_back(&document.tokens);
            }
            std::vector<paddler::DocumentRows> rows;
            pdl_error error;
            paddler::guarded(&error, PDL_DECODE_FAILED, [&] { rows = context.embed(documents); });
            finish(batch, std::move(rows), error);
        }
    }

    const int32_t n_vocab_;
    const size_t max_documents_;
    paddler::Wakeup wakeup_;
    std::mutex mutex_;
    std::condition_variable queue_changed_;
    bool closing_ = false;
    std::deque<Document> queue_;
    std::deque<Result> results_;
    std::vector<uint64_t> running_;
    std::set<uint64_t> known_; // queued, running or finished, and not cancelled
    std::thread thread_;       // last: the rest exists when it starts
};

extern "C" {

int32_t pdl_embedder_open(pdl_model *model, const pdl_embedder_params *params,
                          pdl_embedder **embedder, pdl_error *error) {
    *embedder = nullptr;
    return paddler::guarded(error, PDL_INTERNAL,
                            [&] { *embedder = new pdl_embedder(*model, *params); });
}

void pdl_embedder_close(pdl_embedder *embedder) {
    delete embedder;
}

int32_t pdl_embedder_event_fd(const pdl_embedder *embedder) {
    return embedder->event_fd();
}

int32_t pdl_embedder_dimensions(const pdl_embedder *embedder) {
    return embedder->context.dimensions();
}

int32_t pdl_embedder_pooling_type(const pdl_embedder *embedder) {
    return embedder->context.pooling_type();
}

int32_t pdl_embedder_max_tokens(const pdl_embedder *embedder) {
    return embedder->context.max_tokens();
}

int32_t pdl_embedder_submit(pdl_embedder *embedder, uint64_t id, const int32_t *tokens,
                            int32_t n_tokens, pdl_error *error) {
    return paddler::guarded(error, PDL_INTERNAL, [&] { embedder->submit(id, tokens, n_tokens); });
}

void pdl_embedder_cancel(pdl_embedder *embedder, uint64_t id) {
    embedder->cancel(id);
}

int32_t pdl_embedder_take(pdl_embedder *embedder, pdl_embedding *embedding) {
    return embedder->take(*embedding) ? 1 : 0;
}

void pdl_embedding_free(pdl_embedding *embedding) {
    std::free(embedding->values);
    embedding->values = nullptr;
}

} // extern "C"
