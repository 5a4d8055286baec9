#include "engine/admission_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace paddler {

void AdmissionQueue::add(std::vector<std::unique_ptr<Request>> requests) {
    std::move(requests.begin(), requests.end(), std::back_inserter(waiting_));
}

std::unique_ptr<Request> AdmissionQueue::remove(uint64_t id) {
    const auto found =
        std::find_if(waiting_.begin(), waiting_.end(),
                     [id](const std::unique_ptr<Request> &request) { return request->id == id; });
    if (found == waiting_.end()) {
        return nullptr;
    }
    std::unique_ptr<Request> removed = std::move(*found);
    waiting_.erase(found);
    return removed;
}

std::vector<Admission> AdmissionQueue::admit(std::vector<Slot> &slots) {
    std::vector<Admission> admissions;
    const auto now = Clock::now();
    int32_t n_free = 0;
    for (auto &slot : slots) {
        if (slot.is_free()) {
            n_free++;
        } else {
            slot.generation->behind = Behind();
        }
    }
    // Every request that waits for a beginning keeps a slot.
    for (auto next = waiting_.begin(); next != waiting_.end() && n_free > 0; n_free--) {
        if (const auto awaited = placer_.awaited(slots, **next, now)) {
            Behind &behind = awaited->slot->generation->behind;
            behind.n_requests++;
            behind.n_tokens = std::min(behind.n_tokens, awaited->n_tokens);
            ++next;
            continue;
        }
        Admission &admission = admissions.emplace_back();
        admission.placement = placer_.place(slots, **next, admission.dropped);
        Slot &slot = *admission.placement.slot;
        slot.generation = std::make_unique<Generation>(
            std::move(*next), admission.placement.n_cached, n_started_++, Clock::now());
        slot.state.owner = slot.generation->request->id;
        next = waiting_.erase(next);
        // The copied keys and values move with the next llama_decode; nothing
        // else may touch either slot's memory before.
        if (admission.placement.copy_pending) {
            break;
        }
    }
    return admissions;
}

} // namespace paddler
