#include "model/compute.h"

#include "common.h"
#include "ggml-backend.h"

#include <algorithm>
#include <utility>

namespace paddler {

namespace {

ggml_backend_reg_t cpu_registry() {
    ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    return device == nullptr ? nullptr : ggml_backend_dev_backend_reg(device);
}

} // namespace

int32_t resolve_threads(int32_t n_threads) {
    return n_threads > 0 ? n_threads : std::max(common_cpu_get_num_math(), 1);
}

ThreadPool::ThreadPool(int32_t n_threads) {
    ggml_backend_reg_t registry = cpu_registry();
    if (registry == nullptr) {
        return;
    }
    using NewPool = ggml_threadpool *(*)(ggml_threadpool_params *);
    const auto make = reinterpret_cast<NewPool>(
        ggml_backend_reg_get_proc_address(registry, "ggml_threadpool_new"));
    if (make != nullptr) {
        ggml_threadpool_params params = ggml_threadpool_params_default(n_threads);
        pool_ = make(&params);
    }
}

ThreadPool::~ThreadPool() {
    if (pool_ != nullptr) {
        using FreePool = void (*)(ggml_threadpool *);
        const auto free_pool = reinterpret_cast<FreePool>(
            ggml_backend_reg_get_proc_address(cpu_registry(), "ggml_threadpool_free"));
        free_pool(pool_);
    }
}

void ThreadPool::attach(llama_context *context) const {
    if (pool_ != nullptr) {
        llama_attach_threadpool(context, pool_, nullptr);
    }
}

std::shared_ptr<ThreadPool> Compute::threads(int32_t n_threads) {
    const int32_t resolved = resolve_threads(n_threads);
    const std::lock_guard<std::mutex> lock(mutex_);
    auto pool = pool_.lock();
    if (pool == nullptr || pool_threads_ != resolved) {
        pool = std::make_shared<ThreadPool>(resolved);
        pool_ = pool;
        pool_threads_ = resolved;
    }
    return pool;
}

bool Compute::take_contended() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return std::exchange(contended_, false);
}

void Compute::enter() {
    std::unique_lock<std::mutex> lock(mutex_);
    const uint64_t ticket = n_tickets_++;
    if (ticket != n_served_) {
        contended_ = true;
        next_.wait(lock, [&] { return ticket == n_served_; });
    }
}

void Compute::leave() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        n_served_++;
    }
    next_.notify_all();
}

} // namespace paddler
