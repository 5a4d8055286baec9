// The CPU as several contexts of one model share it.
//
// Two gangs of compute threads on the same cores make each other wait at every
// operation of a graph: both then run many times slower than by turns. So the
// contexts of a model compute one at a time, and with the same threads.
#pragma once

#include "llama.h"

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

namespace paddler {

// The CPU threads that compute the graphs; without them ggml starts new ones
// for every graph. Used by one context at a time.
class ThreadPool {
public:
    explicit ThreadPool(int32_t n_threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool &) = delete;
    ThreadPool &operator=(const ThreadPool &) = delete;

    void attach(llama_context *context) const;

private:
    ggml_threadpool *pool_ = nullptr;
};

// n_threads, or one per physical core if it is 0.
int32_t resolve_threads(int32_t n_threads);

class Compute {
public:
    // Held while a context computes; first come, first served.
    class Turn {
    public:
        explicit Turn(Compute &compute) : compute_(compute) { compute_.enter(); }
        ~Turn() { compute_.leave(); }
        Turn(const Turn &) = delete;
        Turn &operator=(const Turn &) = delete;

    private:
        Compute &compute_;
    };

    // The threads, shared by those who ask for the same number.
    std::shared_ptr<ThreadPool> threads(int32_t n_threads);

    // Whether another has waited for a turn since the last call.
    bool take_contended();

private:
    void enter();
    void leave();

    std::mutex mutex_;
    std::condition_variable next_;
    uint64_t n_tickets_ = 0;
    uint64_t n_served_ = 0;
    bool contended_ = false;
    std::weak_ptr<ThreadPool> pool_;
    int32_t pool_threads_ = 0;
};

} // namespace paddler
