// Requests that wait for a slot, and how they get one.
//
// Decode thread only. First come, first served, but for a request whose
// beginning another one is about to have: it lets others pass and keeps a slot
// free meanwhile.
#pragma once

#include "platform/clock.h"
#include "slots/placement.h"
#include "slots/request.h"
#include "slots/slot.h"

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

namespace paddler {

// A request that got its slot.
struct Admission {
    Placement placement;
    std::vector<uint64_t> dropped; // requests whose kept state went for it
};

class AdmissionQueue {
public:
    explicit AdmissionQueue(Placer placer) : placer_(placer) {}

    void add(std::vector<std::unique_ptr<Request>> requests);
    // Takes a request out; null: it does not wait here.
    std::unique_ptr<Request> remove(uint64_t id);

    // Starts generations on free slots. Tells every generation who waits for
    // what it prefills.
    std::vector<Admission> admit(std::vector<Slot> &slots);

    int32_t size() const { return static_cast<int32_t>(waiting_.size()); }

private:
    Placer placer_;
    std::deque<std::unique_ptr<Request>> waiting_;
    uint64_t n_started_ = 0;
};

} // namespace paddler
