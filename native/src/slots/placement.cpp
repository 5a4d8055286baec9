#include "slots/placement.h"

#include <algorithm>
#include <cstdlib>
#include <tuple>

namespace paddler {

namespace {

// A prefix shorter than this is prefilled faster than it is moved.
constexpr int32_t min_gain_tokens = 32;

// How much of what a sequence holds the prompt could begin with: at least one
// token is left to decode, and images are whole.
int32_t usable_prefix(const std::vector<llama_token> &tokens, const Request &request) {
    const auto limit = static_cast<int32_t>(request.prompt.size()) - 1;
    return request.cut_before_image(std::min(common_prefix(tokens, request.prompt), limit));
}

int32_t usable_prefix(const SequenceState &state, const Request &request) {
    return usable_prefix(state.tokens, request);
}

// Free slots between this one and the nearest that is busy; 0 if none is.
int32_t gap_to_busy(const std::vector<Slot> &slots, const Slot &slot) {
    auto least = static_cast<int32_t>(slots.size());
    bool any = false;
    for (const auto &other : slots) {
        if (!other.is_free()) {
            any = true;
            least = std::min(least, std::abs(other.seq - slot.seq) - 1);
        }
    }
    return any ? least : 0;
}

bool prefills(const Slot &slot, uint64_t id) {
    return slot.is_prefilling() && slot.generation->request->id == id;
}

} // namespace

Placer::Source Placer::best_free_slot(std::vector<Slot> &slots, const Request &request) {
    Source best;
    for (auto &slot : slots) {
        if (!slot.is_free()) {
            continue;
        }
        const int32_t common = usable_prefix(slot.state, request);
        best.n_common = std::max(best.n_common, common);
        const int32_t n_tokens = store_.reachable(slot.seq, slot.state, common);
        if (n_tokens > best.n_tokens) {
            best.kind = PDL_CACHE_SLOT;
            best.n_tokens = n_tokens;
            best.slot = &slot;
        }
    }
    return best;
}

Placer::Source Placer::best_saved(const Request &request) {
    Source best;
    auto &entries = cache_.entries();
    for (auto entry = entries.begin(); entry != entries.end(); ++entry) {
        const int32_t common = usable_prefix(entry->state, request);
        best.n_common = std::max(best.n_common, common);
        const int32_t n_tokens = store_.reachable_saved(entry->state, common);
        if (n_tokens > best.n_tokens) {
            best.kind = PDL_CACHE_RAM;
            best.n_tokens = n_tokens;
            best.entry = entry;
        }
    }
    return best;
}

Placer::Source Placer::best_shared(std::vector<Slot> &slots, const Request &request) {
    Source best;
    for (auto &slot : slots) {
        const int32_t common = usable_prefix(slot.state, request);
        best.n_common = std::max(best.n_common, common);
        const int32_t n_tokens = store_.reachable(slot.seq, slot.state, common);
        if (n_tokens > best.n_tokens) {
            best.kind = PDL_CACHE_SHARED;
            best.n_tokens = n_tokens;
            best.slot = &slot;
        }
    }
    return best;
}

int32_t Placer::most_held(std::vector<Slot> &slots, const Request &request) {
    return std::max(best_shared(slots, request).n_tokens, best_saved(request).n_tokens);
}

std::optional<Awaited> Placer::awaited(std::vector<Slot> &slots, Request &request,
                                       Clock::time_point now) {
    if (!reuse_) {
        return std::nullopt;
    }
    if (!request.ahead) {
        Slot *ahead = nullptr;
        int32_t n_ahead = min_gain_tokens - 1;
        for (auto &slot : slots) {
            const int32_t n_tokens =
                slot.is_prefilling() ? usable_prefix(slot.generation->request->prompt, request) : 0;
            if (n_tokens > n_ahead) {
                ahead = &slot;
                n_ahead = n_tokens;
            }
        }
        if (ahead == nullptr || most_held(slots, request) + min_gain_tokens > n_ahead) {
            return std::nullopt;
        }
        request.ahead = PrefixAhead{ahead->generation->request->id, n_ahead, now + prefix_wait_};
        if (store_.needs_checkpoints()) {
            ahead->generation->request->add_checkpoint(n_ahead);
        }
    }
    const auto slot = std::find_if(slots.begin(), slots.end(), [&request](const Slot &each) {
        return prefills(each, request.ahead->id);
    });
    if (slot == slots.end() || now >= request.ahead->until) {
        return std::nullopt;
    }
    const int32_t n_left = request.ahead->n_tokens - slot->n_held();
    return n_left > 0 ? std::optional(Awaited{&*slot, n_left}) : std::nullopt;
}

Slot *Placer::least_valuable(std::vector<Slot> &slots, const Slot *besides) const {
    Slot *least = nullptr;
    const auto rank = [&](const Slot &slot) {
        // Slots that stand apart decode apart, each time with all weights. Where
        // nothing is reused, the nearest is best; else any that padding reaches.
        const int32_t gap = gap_to_busy(slots, slot);
        return std::make_tuple(reuse_ ? (gap > most_bridged ? 1 : 0) : gap,
                               !slot.state.tokens.empty(), slot.last_used);
    };
    for (auto &slot : slots) {
        if (slot.is_free() && &slot != besides && (least == nullptr || rank(slot) < rank(*least))) {
            least = &slot;
        }
    }
    return least;
}

void Placer::keep_in_memory(Slot &slot, std::vector<uint64_t> &dropped) {
    const uint64_t owner = slot.state.owner;
    if (cache_.enabled() && static_cast<int32_t>(slot.state.tokens.size()) >= min_gain_tokens &&
        cache_.could_hold(store_.saved_bytes(slot.seq))) {
        SavedSequence saved{slot.state, store_.save(slot.seq)};
        if (!saved.data.empty()) {
            saved.state.pos_min = store_.pos_min(slot.seq);
            cache_.put(std::move(saved), dropped);
            return;
        }
    }
    if (owner != 0) {
        dropped.push_back(owner);
    }
}

void Placer::vacate(Slot &slot, std::vector<uint64_t> &dropped) {
    if (!slot.state.tokens.empty()) {
        keep_in_memory(slot, dropped);
    }
    store_.clear(slot.seq, slot.state);
}

Placement Placer::share(Slot &from, Slot &to, int32_t n_tokens, std::vector<uint64_t> &dropped) {
    vacate(to, dropped);
    const bool is_pending = store_.copy(from.seq, from.state, to.seq, to.state);
    to.state.owner = 0;
    const int32_t n_cached = store_.roll_back(to.seq, to.state, n_tokens);
    return {&to, n_cached, n_cached > 0 ? PDL_CACHE_SHARED : PDL_CACHE_NONE, is_pending};
}

Placement Placer::restore(std::list<SavedSequence>::iterator entry, Slot &to, int32_t n_tokens,
                          std::vector<uint64_t> &dropped) {
    SavedSequence saved;
    // Where only the beginning is wanted, the conversation itself stays.
    if (n_tokens < static_cast<int32_t>(entry->state.tokens.size()) / 2) {
        cache_.touch(entry);
        saved = *entry;
    } else {
        saved = cache_.take(entry);
        if (saved.state.owner != 0) {
            dropped.push_back(saved.state.owner);
        }
    }
    // It is the state of the request that is placed from here on.
    saved.state.owner = 0;
    vacate(to, dropped);
    if (!store_.restore(to.seq, to.state, saved.state, saved.data)) {
        return {&to, 0, PDL_CACHE_NONE, false};
    }
    const int32_t n_cached = store_.roll_back(to.seq, to.state, n_tokens);
    return {&to, n_cached, n_cached > 0 ? PDL_CACHE_RAM : PDL_CACHE_NONE, false};
}

Placement Placer::place(std::vector<Slot> &slots, Request &request,
                        std::vector<uint64_t> &dropped) {
    int32_t n_common = 0;
    const Placement placement = find(slots, request, dropped, n_common);
    if (store_.needs_checkpoints() && n_common - placement.n_cached >= min_gain_tokens) {
        request.add_checkpoint(n_common);
    }
    return placement;
}

Placement Placer::find(std::vector<Slot> &slots, const Request &request,
                       std::vector<uint64_t> &dropped, int32_t &n_common) {
    if (!reuse_) {
        Slot *slot = least_valuable(slots, nullptr);
        store_.clear(slot->seq, slot->state);
        return {slot, 0, PDL_CACHE_NONE, false};
    }
    Source best = best_free_slot(slots, request);
    const Source saved = best_saved(request);
    if (saved.n_tokens >= best.n_tokens + min_gain_tokens) {
        best = saved;
    }
    const Source shared = best_shared(slots, request);
    n_common = std::max(saved.n_common, shared.n_common);
    if (shared.n_tokens >= best.n_tokens + min_gain_tokens) {
        best = shared;
    }
    if (best.kind == PDL_CACHE_SLOT && best.n_tokens < min_gain_tokens) {
        // A few common tokens, such as BOS, are no reason to take the slot of
        // another conversation rather than the one that is missed least.
        const int32_t n_lost = static_cast<int32_t>(best.slot->state.tokens.size()) - best.n_tokens;
        if (n_lost > best.n_tokens && least_valuable(slots, nullptr) != best.slot) {
            best = Source();
        }
    }
    switch (best.kind) {
    case PDL_CACHE_SLOT: {
        Slot &holder = *best.slot;
        const int32_t n_lost = static_cast<int32_t>(holder.state.tokens.size()) - best.n_tokens;
        // Another conversation that merely begins the same way keeps its slot
        // if a free one can take a copy of the beginning.
        if (n_lost > best.n_tokens / 2 && best.n_tokens >= min_gain_tokens) {
            Slot *target = least_valuable(slots, &holder);
            if (target != nullptr) {
                return share(holder, *target, best.n_tokens, dropped);
            }
        }
        // A tail that is cut by much is worth the copy; a few tokens off the
        // end are the same conversation going on.
        if (n_lost >= min_gain_tokens && n_lost > best.n_tokens / 8) {
            keep_in_memory(holder, dropped);
        } else if (holder.state.owner != 0) {
            dropped.push_back(holder.state.owner);
        }
        const int32_t n_cached = store_.roll_back(holder.seq, holder.state, best.n_tokens);
        return {&holder, n_cached, n_cached > 0 ? PDL_CACHE_SLOT : PDL_CACHE_NONE, false};
    }
    case PDL_CACHE_RAM:
        return restore(best.entry, *least_valuable(slots, nullptr), best.n_tokens, dropped);
    case PDL_CACHE_SHARED:
        return share(*best.slot, *least_valuable(slots, best.slot), best.n_tokens, dropped);
    case PDL_CACHE_NONE:
        break;
    }
    Slot *slot = least_valuable(slots, nullptr);
    vacate(*slot, dropped);
    return {slot, 0, PDL_CACHE_NONE, false};
}

} // namespace paddler
