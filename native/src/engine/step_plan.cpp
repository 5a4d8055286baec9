#include "engine/step_plan.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace paddler {

namespace {

// Checkpoints closer than this to the one before save less than they cost.
constexpr int32_t min_checkpoint_distance = 48;
// A free slot that holds more than this and than the streams beside it is not
// computed along: its row would read more than it saves.
constexpr int32_t most_padded_tokens = 2048;
constexpr llama_token padding_token = 0; // any: nobody sees what comes of it

} // namespace

StepPlan::StepPlan(const KvStore &store, int32_t n_ctx_slot, int32_t n_batch,
                   int32_t prefill_budget_ms)
    : store_(store), n_ctx_slot_(n_ctx_slot), planner_(prefill_budget_ms, n_batch),
      prompts_(n_batch), outputs_(n_batch) {}

Slot *StepPlan::next_image(std::vector<Slot> &slots) {
    Slot *next = nullptr;
    for (auto &slot : slots) {
        if (slot.image_to_decode() != nullptr &&
            (next == nullptr || slot.generation->arrival < next->generation->arrival)) {
            next = &slot;
        }
    }
    return next;
}

void StepPlan::form(std::vector<Slot> &slots) {
    prompts_.clear();
    outputs_.clear();
    lone_request_.reset();
    std::vector<PrefillDemand> demands;
    for (auto &slot : slots) {
        if (slot.is_decoding()) {
            outputs_.add({&slot, {slot.generation->next}, true});
        } else if (const int32_t n_left = slot.n_text_left(); n_left > 0) {
            const Generation &generation = *slot.generation;
            demands.push_back({slot.seq, n_left, generation.n_to_prefill, generation.arrival,
                               generation.behind.n_requests, generation.behind.n_tokens});
        }
    }
    const int32_t n_decoding = outputs_.n_tokens();
    const auto shares = planner_.plan(n_decoding, std::move(demands));
    const bool alone = n_decoding == 0 && shares.size() == 1;
    for (const auto &share : shares) {
        add_prompt_part(slots[static_cast<size_t>(share.slot)], share.n_tokens, alone);
    }
    bridge_gaps(slots);
    if (alone) {
        lone_request_ = prompts_.parts().front().slot->generation->request->id;
    }
    count();
}

void StepPlan::count() {
    n_decoding_ = 0;
    n_prefill_ = prompts_.n_tokens();
    for (const auto &part : outputs_.parts()) {
        n_decoding_ += part.slot->is_decoding() ? 1 : 0;
        n_prefill_ += part.slot->is_prefilling() ? 1 : 0;
    }
}

void StepPlan::observe(double elapsed_ms) {
    planner_.observe(n_decoding_, n_prefill_, elapsed_ms);
}

// The next tokens of a prompt, up to the next place for a checkpoint.
BatchPart StepPlan::prompt_part(Slot &slot, int32_t n_tokens) const {
    const Request &request = *slot.generation->request;
    const int32_t n_held = slot.n_held();
    bool checkpoint_after = false;
    if (store_.needs_checkpoints()) {
        const auto &taken = slot.state.checkpoints;
        const int32_t least = (taken.empty() ? 0 : taken.back().n_tokens) + min_checkpoint_distance;
        for (const int32_t position : request.checkpoints) {
            if (position > n_held && position <= n_held + n_tokens && position >= least) {
                n_tokens = position - n_held;
                checkpoint_after = true;
                break;
            }
        }
    }
    const bool completes = n_held + n_tokens == static_cast<int32_t>(request.prompt.size());
    const auto begin = request.prompt.begin() + n_held;
    return {&slot, {begin, begin + n_tokens}, completes, checkpoint_after || completes};
}

// llama.cpp computes sequences that add different numbers of tokens one after
// the other, and logits are dear: each time all output weights are read. So the
// last token of a prompt goes with the tokens of decoding slots, of which each
// adds one.
void StepPlan::add_prompt_part(Slot &slot, int32_t n_tokens, bool alone) {
    BatchPart part = prompt_part(slot, n_tokens);
    const bool completes = part.output;
    prompts_.add(std::move(part));
    if (completes && !alone) {
        outputs_.add(prompts_.take_last(slot));
    }
}

// Slots without a token of their own between two that have one would split
// the outputs (see DecodeBatch::sort), and each piece would read all weights
// again. A row more costs far less: a prompt gives its next token, a free slot
// one that is computed for nobody.
void StepPlan::bridge_gaps(std::vector<Slot> &slots) {
    outputs_.sort();
    int32_t most_held = most_padded_tokens;
    for (const auto &part : outputs_.parts()) {
        most_held = std::max(most_held, part.slot->n_held());
    }
    std::vector<Slot *> bridges;
    for (size_t i = 1; i < outputs_.parts().size(); i++) {
        const auto begin = slots.begin() + outputs_.parts()[i - 1].slot->seq + 1;
        const auto end = slots.begin() + outputs_.parts()[i].slot->seq;
        if (end - begin <= most_bridged && std::all_of(begin, end, [&](const Slot &slot) {
                return can_bridge(slot, most_held);
            })) {
            std::transform(begin, end, std::back_inserter(bridges),
                           [](Slot &slot) { return &slot; });
        }
    }
    for (Slot *slot : bridges) {
        bridge(*slot);
    }
}

bool StepPlan::can_bridge(const Slot &slot, int32_t most_held) const {
    if (!slot.is_free()) {
        return slot.n_text_left() > 0;
    }
    return slot.n_held() <= most_held && slot.n_held() < n_ctx_slot_ && store_.can_pad(slot.state);
}

void StepPlan::bridge(Slot &slot) {
    if (slot.is_free()) {
        outputs_.add({&slot, {padding_token}, false, false, true});
        return;
    }
    BatchPart part = prompts_.take_last(slot);
    outputs_.add(part.tokens.empty() ? prompt_part(slot, 1) : std::move(part));
}

} // namespace paddler
