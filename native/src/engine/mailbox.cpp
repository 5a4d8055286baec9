#include "engine/mailbox.h"

#include "platform/errors.h"

#include <algorithm>
#include <utility>

namespace paddler {

void Mailbox::submit(std::unique_ptr<Request> request) {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (closed_) {
            throw Failure(PDL_CLOSED, "the engine is closing");
        }
        commands_.submitted.push_back(std::move(request));
    }
    changed_.notify_one();
}

void Mailbox::cancel(uint64_t id) {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        commands_.cancelled.push_back(id);
        if (abortable_ == id) {
            abort_ = true;
        }
    }
    changed_.notify_one();
}

void Mailbox::close() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        closed_ = true;
        abort_ = true;
    }
    changed_.notify_one();
}

int32_t Mailbox::n_submitted() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return static_cast<int32_t>(commands_.submitted.size());
}

bool Mailbox::wait(bool is_busy) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!is_busy) {
        changed_.wait(lock, [this] {
            return closed_ || !commands_.submitted.empty() || !commands_.cancelled.empty();
        });
    }
    return !closed_;
}

Commands Mailbox::take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    abortable_.reset();
    abort_ = closed_;
    return std::exchange(commands_, {});
}

void Mailbox::let_abort(uint64_t id) {
    const std::lock_guard<std::mutex> lock(mutex_);
    abortable_ = id;
    // A cancellation that came since the commands were taken.
    const auto &cancelled = commands_.cancelled;
    abort_ = closed_ || std::find(cancelled.begin(), cancelled.end(), id) != cancelled.end();
}

} // namespace paddler
