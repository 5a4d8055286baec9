// Events on their way from the decode thread to whoever drains them.
//
// Written by the decode thread only, drained by one other thread. Bounded:
// the decode thread waits for room once `capacity` events are not drained, as
// then nobody reads the tokens it would make.
#pragma once

#include "paddler_engine.h"
#include "platform/wakeup.h"

#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace paddler {

class EventRing {
public:
    explicit EventRing(size_t capacity) : capacity_(capacity) {}

    int32_t fd() const { return wakeup_.fd(); }

    // Decode thread: collected until publish, so that a step costs one wake-up.
    // `raw` follows `text`.
    void add(pdl_event event, std::string_view text, const std::vector<pdl_logprob> &logprobs = {},
             std::string_view raw = {});
    void publish();
    // Returns once there is room, or the ring was opened for good by release.
    void wait_for_room();

    // Any thread: wait_for_room no longer waits.
    void release();

    void drain(pdl_event *events, int32_t events_capacity, char *text, int32_t text_capacity,
               pdl_logprob *logprobs, int32_t logprobs_capacity, pdl_drained *drained);
    int32_t max_text() const;

private:
    struct Entry {
        pdl_event event;
        std::string text; // and raw text after it
        size_t n_raw_bytes;
        std::vector<pdl_logprob> logprobs;
    };

    size_t capacity_;
    Wakeup wakeup_;
    std::vector<Entry> unpublished_;
    mutable std::mutex mutex_;
    std::condition_variable drained_;
    std::vector<Entry> published_;
    size_t n_taken_ = 0;
    bool released_ = false;
};

} // namespace paddler
