#include "slots/kv_store.h"

#include <algorithm>

namespace paddler {

int32_t common_prefix(const std::vector<llama_token> &a, const std::vector<llama_token> &b) {
    const size_t longest = std::min(a.size(), b.size());
    const auto end = a.begin() + static_cast<std::ptrdiff_t>(longest);
    return static_cast<int32_t>(std::mismatch(a.begin(), end, b.begin()).first - a.begin());
}

KvStore::KvStore(llama_context *context, int32_t max_checkpoints)
    : context_(context), memory_(llama_get_memory(context)), max_checkpoints_(max_checkpoints) {
    const llama_model *model = llama_get_model(context);
    window_ = llama_model_n_swa(model);
    kind_ = llama_model_is_recurrent(model) || llama_model_is_hybrid(model) ? Kind::recurrent
            : window_ > 0                                                   ? Kind::sliding_window
                                                                            : Kind::plain;
}

bool KvStore::can_cut(int32_t pos_min, int32_t n_in_memory, int32_t n_wanted) const {
    if (n_wanted == 0) {
        return true;
    }
    switch (kind_) {
    case Kind::plain:
        return true;
    case Kind::sliding_window:
        // The next token looks back over the whole window. Also where nothing
        // is cut: a failed batch may have taken the oldest positions.
        return pos_min <= std::max(0, n_wanted - window_);
    case Kind::recurrent:
        return n_wanted == n_in_memory;
    }
    return false;
}

int32_t KvStore::reachable_from(int32_t pos_min, int32_t n_in_memory, const SequenceState &state,
                                int32_t n_wanted) const {
    n_wanted = std::min(n_wanted, static_cast<int32_t>(state.tokens.size()));
    if (can_cut(pos_min, n_in_memory, n_wanted)) {
        return n_wanted;
    }
    for (auto checkpoint = state.checkpoints.rbegin(); checkpoint != state.checkpoints.rend();
         ++checkpoint) {
        if (checkpoint->n_tokens <= n_wanted) {
            return checkpoint->n_tokens;
        }
    }
    return 0;
}

int32_t KvStore::reachable(llama_seq_id seq, const SequenceState &state, int32_t n_wanted) const {
    return state.tokens.empty() ? 0
                                : reachable_from(pos_min(seq), n_in_memory(seq), state, n_wanted);
}

int32_t KvStore::reachable_saved(const SequenceState &state, int32_t n_wanted) const {
    return reachable_from(state.pos_min, static_cast<int32_t>(state.tokens.size()), state,
                          n_wanted);
}

int32_t KvStore::n_in_memory(llama_seq_id seq) const {
    return llama_memory_seq_pos_max(memory_, seq) + 1;
}

int32_t KvStore::pos_min(llama_seq_id seq) const {
    return llama_memory_seq_pos_min(memory_, seq);
}

int32_t KvStore::roll_back(llama_seq_id seq, SequenceState &state, int32_t n_wanted) {
    return cut(seq, state, n_in_memory(seq), n_wanted);
}

void KvStore::recover(llama_seq_id seq, SequenceState &state) {
    // llama.cpp takes the failed tokens' positions back, but a recurrent state
    // may have advanced all the same: as if an unknown number were in memory.
    cut(seq, state, INT32_MAX, static_cast<int32_t>(state.tokens.size()));
}

int32_t KvStore::cut(llama_seq_id seq, SequenceState &state, int32_t n_in_memory,
                     int32_t n_wanted) {
    const int32_t n_kept =
        state.tokens.empty() ? 0 : reachable_from(pos_min(seq), n_in_memory, state, n_wanted);
    if (n_kept == 0) {
        clear(seq, state);
        return 0;
    }
    if (!can_cut(pos_min(seq), n_in_memory, n_kept)) {
        const auto checkpoint =
            std::find_if(state.checkpoints.begin(), state.checkpoints.end(),
                         [&](const Checkpoint &candidate) { return candidate.n_tokens == n_kept; });
        const StateBytes data = checkpoint->data;
        if (llama_state_seq_set_data_ext(context_, data->data(), data->size(), seq,
                                         LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY) != data->size()) {
            clear(seq, state);
            return 0;
        }
    }
    if (!llama_memory_seq_rm(memory_, seq, n_kept, -1)) {
        clear(seq, state);
        return 0;
    }
    state.tokens.resize(static_cast<size_t>(n_kept));
    while (!state.checkpoints.empty() && state.checkpoints.back().n_tokens > n_kept) {
        state.checkpoints.pop_back();
    }
    if (!is_consistent(seq, state)) {
        clear(seq, state);
        return 0;
    }
    return n_kept;
}

void KvStore::clear(llama_seq_id seq, SequenceState &state) {
    llama_memory_seq_rm(memory_, seq, -1, -1);
    state = SequenceState();
}

bool KvStore::is_consistent(llama_seq_id seq, const SequenceState &state) const {
    return n_in_memory(seq) == static_cast<int32_t>(state.tokens.size());
}

void KvStore::add_checkpoint(llama_seq_id seq, SequenceState &state) {
    const auto n_tokens = static_cast<int32_t>(state.tokens.size());
    if (!needs_checkpoints() || max_checkpoints_ <= 0 || n_tokens == 0) {
        return;
    }
    if (!state.checkpoints.empty() && state.checkpoints.back().n_tokens >= n_tokens) {
        return;
    }
    const size_t size =
        llama_state_seq_get_size_ext(context_, seq, LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY);
    auto data = std::make_shared<std::vector<uint8_t>>(size);
    if (size == 0 || llama_state_seq_get_data_ext(context_, data->data(), size, seq,
                                                  LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY) != size) {
        return;
    }
    // The first one often marks the end of a shared system prompt, the last
    // ones where the next turn continues: what goes is the oldest but one.
    if (static_cast<int32_t>(state.checkpoints.size()) >= max_checkpoints_) {
        state.checkpoints.erase(state.checkpoints.begin() + (max_checkpoints_ > 1 ? 1 : 0));
    }
    state.checkpoints.push_back({n_tokens, std::move(data)});
}

bool KvStore::can_pad(const SequenceState &state) const {
    return (kind_ != Kind::recurrent || state.tokens.empty()) && !state.has_images;
}

bool KvStore::take_back_padding(llama_seq_id seq, const SequenceState &state) {
    const auto n_held = static_cast<int32_t>(state.tokens.size());
    return llama_memory_seq_rm(memory_, seq, n_held, -1) && is_consistent(seq, state);
}

bool KvStore::copy(llama_seq_id from, const SequenceState &source, llama_seq_id to,
                   SequenceState &target) {
    if (kind_ == Kind::plain) {
        llama_memory_seq_rm(memory_, to, -1, -1);
        llama_memory_seq_cp(memory_, from, to, -1, -1);
        target = source;
        return true;
    }
    // A checkpoint may have to be laid over the copy at once, and a pending one
    // would then overwrite it.
    restore(to, target, source, save(from));
    return false;
}

size_t KvStore::saved_bytes(llama_seq_id seq) const {
    return llama_state_seq_get_size(context_, seq);
}

std::vector<uint8_t> KvStore::save(llama_seq_id seq) const {
    std::vector<uint8_t> data(llama_state_seq_get_size(context_, seq));
    if (llama_state_seq_get_data(context_, data.data(), data.size(), seq) != data.size()) {
        data.clear();
    }
    return data;
}

bool KvStore::restore(llama_seq_id seq, SequenceState &target, const SequenceState &saved,
                      const std::vector<uint8_t> &data) {
    clear(seq, target);
    if (llama_state_seq_set_data(context_, data.data(), data.size(), seq) != data.size()) {
        clear(seq, target);
        return false;
    }
    target = saved;
    if (!is_consistent(seq, target)) {
        clear(seq, target);
        return false;
    }
    return true;
}

} // namespace paddler
