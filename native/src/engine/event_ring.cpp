#include "engine/event_ring.h"

#include <algorithm>
#include <iterator>

namespace paddler {

void EventRing::add(pdl_event event, std::string_view text,
                    const std::vector<pdl_logprob> &logprobs, std::string_view raw) {
    std::string both;
    both.reserve(text.size() + raw.size());
    both.append(text).append(raw);
    unpublished_.push_back({event, std::move(both), raw.size(), logprobs});
}

void EventRing::publish() {
    if (unpublished_.empty()) {
        return;
    }
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        std::move(unpublished_.begin(), unpublished_.end(), std::back_inserter(published_));
    }
    unpublished_.clear();
    wakeup_.notify();
}

void EventRing::wait_for_room() {
    std::unique_lock<std::mutex> lock(mutex_);
    drained_.wait(lock, [this] { return released_ || published_.size() - n_taken_ < capacity_; });
}

void EventRing::release() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        released_ = true;
    }
    drained_.notify_all();
}

int32_t EventRing::max_text() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    size_t longest = 0;
    for (size_t i = n_taken_; i < published_.size(); i++) {
        longest = std::max(longest, published_[i].text.size());
    }
    return static_cast<int32_t>(longest);
}

void EventRing::drain(pdl_event *events, int32_t events_capacity, char *text, int32_t text_capacity,
                      pdl_logprob *logprobs, int32_t logprobs_capacity, pdl_drained *drained) {
    *drained = {};
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        wakeup_.clear();
        while (n_taken_ < published_.size() && drained->n_events < events_capacity) {
            const Entry &entry = published_[n_taken_];
            const auto n_text = static_cast<int32_t>(entry.text.size());
            const auto n_logprobs = static_cast<int32_t>(entry.logprobs.size());
            if (n_text > text_capacity - drained->n_text_bytes ||
                n_logprobs > logprobs_capacity - drained->n_logprobs) {
                break;
            }
            pdl_event &event = events[drained->n_events++];
            event = entry.event;
            event.text_offset = drained->n_text_bytes;
            event.text_bytes = n_text - static_cast<int32_t>(entry.n_raw_bytes);
            event.raw_bytes = static_cast<int32_t>(entry.n_raw_bytes);
            event.logprobs_offset = drained->n_logprobs;
            event.n_logprobs = n_logprobs;
            std::copy(entry.text.begin(), entry.text.end(), text + drained->n_text_bytes);
            std::copy(entry.logprobs.begin(), entry.logprobs.end(), logprobs + drained->n_logprobs);
            drained->n_text_bytes += n_text;
            drained->n_logprobs += n_logprobs;
            n_taken_++;
        }
        drained->n_left = static_cast<int32_t>(published_.size() - n_taken_);
        if (drained->n_left == 0) {
            published_.clear();
            n_taken_ = 0;
        } else {
            wakeup_.notify();
        }
    }
    drained_.notify_one();
}

} // namespace paddler
