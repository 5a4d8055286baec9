// The KV cache of each slot: what it holds, how far it can be rolled back,
// how it is copied, saved and restored.
//
// Used by the decode thread only. Knows sequences and tokens, not requests.
#pragma once

#include "llama.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace paddler {

using StateBytes = std::shared_ptr<const std::vector<uint8_t>>;

// The part of a sequence's state that cannot be rolled back (sliding window
// or recurrent state) as it was after n_tokens.
struct Checkpoint {
    int32_t n_tokens;
    StateBytes data;
};

// The tokens whose keys and values a sequence holds, position by position.
struct SequenceState {
    std::vector<llama_token> tokens;
    std::vector<Checkpoint> checkpoints; // ascending by n_tokens
    int32_t pos_min = 0;                 // of a saved state; a live one is asked
    uint64_t owner = 0;                  // request that left it, 0: none
    bool has_images = false;             // or had: they may take more cells than positions
};

int32_t common_prefix(const std::vector<llama_token> &a, const std::vector<llama_token> &b);

class KvStore {
public:
    KvStore(llama_context *context, int32_t max_checkpoints);

    // True if a sequence cannot be cut at any place, so that checkpoints help.
    bool needs_checkpoints() const { return kind_ != Kind::plain; }

    // The greatest length <= n_wanted that the live sequence can be cut to.
    int32_t reachable(llama_seq_id seq, const SequenceState &state, int32_t n_wanted) const;
    // The same for a saved state.
    int32_t reachable_saved(const SequenceState &state, int32_t n_wanted) const;

    // Cuts the sequence to the greatest reachable length <= n_wanted, which is
    // returned; 0 also when anything about the state is in doubt.
    int32_t roll_back(llama_seq_id seq, SequenceState &state, int32_t n_wanted);

    // After a batch with this sequence failed or was aborted: keeps what can be
    // proven to be right, possibly nothing.
    void recover(llama_seq_id seq, SequenceState &state);

    void clear(llama_seq_id seq, SequenceState &state);

    // Whether llama.cpp's memory ends where the tokens say.
    bool is_consistent(llama_seq_id seq, const SequenceState &state) const;

    // Remembers the state after state.tokens.size() tokens.
    void add_checkpoint(llama_seq_id seq, SequenceState &state);

    // Whether a token can be computed behind the sequence's end and taken back.
    bool can_pad(const SequenceState &state) const;
    // False: it could not be taken back, and the sequence is in doubt.
    bool take_back_padding(llama_seq_id seq, const SequenceState &state);

    // Copies all of a sequence. True if the data moves only with the next
    // llama_decode: neither may be overwritten by other means before that.
    bool copy(llama_seq_id from, const SequenceState &source, llama_seq_id to,
              SequenceState &target);

    // The sequence's whole state in host memory; empty if it cannot be had.
    std::vector<uint8_t> save(llama_seq_id seq) const;
    size_t saved_bytes(llama_seq_id seq) const;
    int32_t pos_min(llama_seq_id seq) const;

    // Replaces the sequence by a saved state; false (and an empty sequence) if
    // llama.cpp does not take it.
    bool restore(llama_seq_id seq, SequenceState &target, const SequenceState &saved,
                 const std::vector<uint8_t> &data);

private:
    enum class Kind { plain, sliding_window, recurrent };

    bool can_cut(int32_t pos_min, int32_t n_in_memory, int32_t n_wanted) const;
    int32_t reachable_from(int32_t pos_min, int32_t n_in_memory, const SequenceState &state,
                           int32_t n_wanted) const;
    int32_t cut(llama_seq_id seq, SequenceState &state, int32_t n_in_memory, int32_t n_wanted);
    int32_t n_in_memory(llama_seq_id seq) const;

    llama_context *context_;
    llama_memory_t memory_;
    Kind kind_;
    int32_t window_;
    int32_t max_checkpoints_;
};

} // namespace paddler
