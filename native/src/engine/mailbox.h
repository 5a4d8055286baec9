// What other threads tell the decode thread: requests, cancellations, the end.
//
// Any thread submits, cancels and closes; one thread, the decode thread, waits
// and takes. A cancellation also aborts a computation of llama.cpp that serves
// nobody but the cancelled request.
#pragma once

#include "slots/request.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace paddler {

struct Commands {
    std::vector<std::unique_ptr<Request>> submitted; // in order
    std::vector<uint64_t> cancelled;                 // ids, known or not
};

class Mailbox {
public:
    // Any thread. Throws Failure PDL_CLOSED.
    void submit(std::unique_ptr<Request> request);
    void cancel(uint64_t id);
    // Ends waiting for good, and aborts what is computed.
    void close();
    int32_t n_submitted() const; // and not taken yet

    // Decode thread. False: closed. An idle one waits for commands.
    bool wait(bool is_busy);
    // Takes everything; from here on no cancellation aborts.
    Commands take();
    // Until the next take, cancelling this request aborts.
    void let_abort(uint64_t id);

    // True: the computation that runs is to end soon.
    const std::atomic<bool> &abort() const { return abort_; }

private:
    mutable std::mutex mutex_; // guards what follows
    std::condition_variable changed_;
    Commands commands_;
    std::optional<uint64_t> abortable_;
    bool closed_ = false;
    std::atomic<bool> abort_{false}; // written under the mutex, read by llama.cpp's threads
};

} // namespace paddler
