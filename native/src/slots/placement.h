// Which slot a prompt gets, and what of its KV cache it finds there.
//
// Decode thread only. Prefers, in this order of cached tokens: the free slot
// that holds the longest usable prefix, a conversation kept in host memory, a
// prefix copied from any slot. What a slot loses is kept in host memory if it
// is worth more than the copy costs.
#pragma once

#include "paddler_engine.h"
#include "slots/kv_store.h"
#include "slots/prompt_cache.h"
#include "slots/slot.h"

#include <chrono>
#include <cstdint>
#include <list>
#include <optional>
#include <vector>

namespace paddler {

struct Placement {
    Slot *slot = nullptr;
    int32_t n_cached = 0;
    pdl_cache_kind kind = PDL_CACHE_NONE;
    bool copy_pending = false; // until the next llama_decode
};

// A slot that prefills the beginning of another request's prompt, too.
struct Awaited {
    Slot *slot;
    int32_t n_tokens; // until that beginning is there
};

class Placer {
public:
    Placer(KvStore &store, PromptCache &cache, bool reuse, int32_t prefix_wait_ms)
        : store_(store), cache_(cache), reuse_(reuse), prefix_wait_(prefix_wait_ms) {}

    // A slot that a request had better wait for: the prompt it prefills has more
    // of the request's beginning than anything that is held now. None: start it.
    // Each waits for one prompt at most, and prefix_wait_ms at most; what is there
    // then is copied.
    std::optional<Awaited> awaited(std::vector<Slot> &slots, Request &request,
                                   Clock::time_point now);

    // Readies a free slot for the prompt: its state is then a prefix of the
    // prompt, shorter by at least one token. At least one slot must be free.
    // Owners whose state is gone are appended to dropped. Where the prompt
    // parts from another one that could not be cut there, it gets a
    // checkpoint: the next prompt that begins the same way finds it.
    Placement place(std::vector<Slot> &slots, Request &request, std::vector<uint64_t> &dropped);

private:
    struct Source {
        pdl_cache_kind kind = PDL_CACHE_NONE;
        int32_t n_tokens = 0; // that can be reused
        int32_t n_common = 0; // of any sequence that was looked at, reusable or not
        Slot *slot = nullptr;
        std::list<SavedSequence>::iterator entry;
    };

    int32_t most_held(std::vector<Slot> &slots, const Request &request);
    Source best_free_slot(std::vector<Slot> &slots, const Request &request);
    Source best_saved(const Request &request);
    Source best_shared(std::vector<Slot> &slots, const Request &request);
    Placement find(std::vector<Slot> &slots, const Request &request, std::vector<uint64_t> &dropped,
                   int32_t &n_common);
    Placement share(Slot &from, Slot &to, int32_t n_tokens, std::vector<uint64_t> &dropped);
    Placement restore(std::list<SavedSequence>::iterator entry, Slot &to, int32_t n_tokens,
                      std::vector<uint64_t> &dropped);
    // The free slot whose content is missed least; null: there is none.
    Slot *least_valuable(std::vector<Slot> &slots, const Slot *besides) const;
    void vacate(Slot &slot, std::vector<uint64_t> &dropped);
    void keep_in_memory(Slot &slot, std::vector<uint64_t> &dropped);

    KvStore &store_;
    PromptCache &cache_;
    bool reuse_;
    std::chrono::milliseconds prefix_wait_;
};

} // namespace paddler
