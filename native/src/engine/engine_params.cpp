#include "engine/engine_params.h"

#include "model/model.h"
#include "platform/errors.h"

#include "llama.h"

#include <algorithm>
#include <string>
#include <unistd.h>

namespace paddler {

namespace {

// With a sliding window most layers hold only the window; this share of the
// layers at full length is a safe lower bound (Gemma 3 has one in six).
constexpr double least_share_of_full_layers = 0.15;

void require(bool condition, const char *what) {
    if (!condition) {
        throw Failure(PDL_INVALID_ARGUMENT, what);
    }
}

double bytes_per_element(int32_t type) {
    const auto ggml = static_cast<ggml_type>(type);
    const auto block = ggml_blck_size(ggml);
    return block > 0 ? static_cast<double>(ggml_type_size(ggml)) / static_cast<double>(block) : 0.0;
}

// At least.
double kv_cache_bytes(const llama_model *model, const pdl_engine_params &params) {
    if (llama_model_is_recurrent(model)) {
        return 0.0;
    }
    const int32_t n_head = std::max(llama_model_n_head(model), 1);
    const double row = static_cast<double>(llama_model_n_embd(model)) / n_head *
                       std::max(llama_model_n_head_kv(model), 0);
    const double layers = llama_model_n_layer(model) *
                          (llama_model_n_swa(model) > 0 ? least_share_of_full_layers : 1.0);
    return layers * row * params.n_slots * params.n_ctx_slot *
           (bytes_per_element(params.type_k) + bytes_per_element(params.type_v));
}

std::string in_mib(double bytes) {
    return std::to_string(static_cast<int64_t>(bytes / (1024.0 * 1024.0))) + " MiB";
}

// llama.cpp and the kernel find out too late. A GPU's memory is its driver's to
// judge.
void check_memory(const pdl_model &model, const pdl_engine_params &params) {
    if (model.on_gpu) {
        return;
    }
    const double needed = kv_cache_bytes(model.model, params);
    const double installed =
        static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
    if (needed > installed) {
        throw Failure(PDL_OUT_OF_MEMORY, "the KV cache of " + std::to_string(params.n_slots) +
                                             " slots of " + std::to_string(params.n_ctx_slot) +
                                             " tokens needs about " + in_mib(needed) +
                                             ", but the machine has " + in_mib(installed));
    }
}

} // namespace

pdl_engine_params checked(const pdl_model &model, const pdl_engine_params &params) {
    require(
        params.n_slots >= 1 &&
            params.n_slots <= static_cast<int32_t>(llama_max_parallel_sequences()),
        "the number of slots must be between 1 and llama.cpp's limit of parallel sequences (256)");
    require(params.n_ctx_slot >= 1, "context_size must be at least 1");
    require(params.n_batch >= 1, "n_batch must be at least 1");
    require(params.n_ubatch >= 0, "n_ubatch must be 0 or more");
    require(params.n_threads >= 0, "n_threads must be 0 or more");
    require(params.prefill_budget_ms >= 1, "prefill_budget_ms must be at least 1");
    require(params.prefix_wait_ms >= 0, "prefix_wait_ms must not be negative");
    require(params.type_k >= 0 && params.type_k < GGML_TYPE_COUNT && params.type_v >= 0 &&
                params.type_v < GGML_TYPE_COUNT,
            "unknown KV cache type");
    require(static_cast<int64_t>(params.n_slots) * params.n_ctx_slot <= INT32_MAX,
            "slots times context_size is more than llama.cpp can count");
    pdl_model_info info;
    pdl_model_get_info(&model, &info);
    if (info.can_generate == 0) {
        throw Failure(
            PDL_UNSUPPORTED,
            "this model cannot generate text: it is made for embeddings, or has no decoder");
    }
    check_memory(model, params);
    return params;
}

} // namespace paddler
