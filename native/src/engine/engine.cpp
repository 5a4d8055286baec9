#include "engine/engine.h"

#include "platform/assertions.h"
#include "common.h"
#include "platform/errors.h"
#include "platform/log_ring.h"

#include <algorithm>
#include <unistd.h>

namespace paddler {

namespace {

constexpr size_t ring_capacity = 65536;
constexpr int32_t default_ubatch = 512;

const pdl_engine_params &checked(const pdl_model &model, const pdl_engine_params &params) {
    const auto require = [](bool condition, const char *what) {
        if (!condition) {
            throw Failure(PDL_INVALID_ARGUMENT, what);
        }
    };
    require(params.n_slots >= 1 && params.n_slots <= static_cast<int32_t>(llama_max_parallel_sequences()),
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
        throw Failure(PDL_UNSUPPORTED, "this model cannot generate text: it is made for embeddings, or has no decoder");
    }
    return params;
}

// What the KV cache needs at most; llama.cpp and the kernel find out too late.
void check_memory(const llama_model *model, const pdl_engine_params &params, bool on_cpu) {
    const int32_t n_head = std::max(llama_model_n_head(model), 1);
    const double row = static_cast<double>(llama_model_n_embd(model)) / n_head *
                       std::max(llama_model_n_head_kv(model), 0);
    const auto bytes_per_element = [](int32_t type) {
        const auto ggml = static_cast<ggml_type>(type);
        const auto block = ggml_blck_size(ggml);
        return block > 0 ? static_cast<double>(ggml_type_size(ggml)) / static_cast<double>(block) : 0.0;
    };
    const int32_t n_swa = llama_model_n_swa(model);
    // With a sliding window most layers hold only the window; a quarter of the
    // layers at full length is a safe lower bound.
    const double layers = llama_model_n_layer(model) * (n_swa > 0 ? 0.15 : 1.0);
    const double needed = llama_model_is_recurrent(model)
                              ? 0.0
                              : layers * row * params.n_slots * params.n_ctx_slot *
                                    (bytes_per_element(params.type_k) + bytes_per_element(params.type_v));
    const double installed = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
    if (on_cpu && needed > installed) {
        throw Failure(PDL_OUT_OF_MEMORY, "the KV cache of " + std::to_string(params.n_slots) + " slots of " +
                                             std::to_string(params.n_ctx_slot) + " tokens needs about " +
                                             std::to_string(static_cast<int64_t>(needed / (1024.0 * 1024.0))) +
                                             " MiB, but the machine has " +
                                             std::to_string(static_cast<int64_t>(installed / (1024.0 * 1024.0))));
    }
}

ContextPointer make_context(const pdl_model &model, const pdl_engine_params &params) {
    check_memory(model.model, params, true);
    llama_context_params native = llama_context_default_params();
    native.n_ctx = static_cast<uint32_t>(params.n_slots) * static_cast<uint32_t>(params.n_ctx_slot);
    // A batch must hold one token of every slot.
    native.n_batch = static_cast<uint32_t>(std::max(params.n_batch, params.n_slots));
    native.n_ubatch = static_cast<uint32_t>(params.n_ubatch > 0 ? params.n_ubatch : default_ubatch);
    native.n_ubatch = std::min(native.n_ubatch, native.n_batch);
    native.n_seq_max = static_cast<uint32_t>(params.n_slots);
    native.n_outputs_max = native.n_seq_max;
    native.n_threads = native.n_threads_batch = resolve_threads(params.n_threads);
    native.type_k = static_cast<ggml_type>(params.type_k);
    native.type_v = static_cast<ggml_type>(params.type_v);
    native.kv_unified = false;
    native.swa_full = false;
    native.no_perf = true;
    LogCapture reasons;
    const AssertionsThrow assertions;
    ContextPointer context(llama_init_from_model(model.model, native));
    if (!context) {
        const std::string reason = reasons.text();
        throw Failure(PDL_INVALID_ARGUMENT, "llama.cpp cannot make a context with these parameters" +
                                                (reason.empty() ? std::string() : ": " + reason));
    }
    return context;
}

// Touches all weights once, so that the first request does not wait for the disk.
void warm_up(llama_context *context, const llama_vocab *vocab) {
    const llama_token bos = llama_vocab_bos(vocab);
    Batch batch(1);
    batch.add(bos == LLAMA_TOKEN_NULL ? 0 : bos, 0, 0, true);
    llama_decode(context, batch.native());
    llama_synchronize(context);
    llama_memory_clear(llama_get_memory(context), false);
}

} // namespace

Engine::Engine(const pdl_model &model, const pdl_engine_params &params)
    : model_(model), params_(checked(model, params)), threads_(model.compute.threads(params.n_threads)),
      context_(make_context(model, params)), n_ctx_slot_(static_cast<int32_t>(llama_n_ctx_seq(context_.get()))),
      limits_{static_cast<int32_t>(llama_n_batch(context_.get())), static_cast<int32_t>(llama_n_ubatch(context_.get()))},
      n_vocab_(llama_vocab_n_tokens(model.vocab)), events_(ring_capacity),
      store_(context_.get(), params.n_checkpoints), prompt_cache_(params.prompt_cache_bytes),
      placer_(store_, prompt_cache_, params.reuse_cache != 0, params.prefix_wait_ms),
      planner_(params.prefill_budget_ms, static_cast<int32_t>(llama_n_batch(context_.get()))),
      slots_(static_cast<size_t>(params.n_slots)), prompts_(limits_.n_batch), outputs_(limits_.n_batch),
      arrivals_(slots_.size()), behind_(slots_.size()), slot_infos_(slots_.size()) {
    // llama.cpp may round a slot's context up; what was asked for is the limit.
    n_ctx_slot_ = std::min(n_ctx_slot_, params.n_ctx_slot);
    threads_->attach(context_.get());
    warm_up(context_.get(), model.vocab);
    llama_set_abort_callback(context_.get(), should_abort, this);
    for (size_t i = 0; i < slots_.size(); i++) {
        slots_[i].seq = static_cast<llama_seq_id>(i);
    }
    thread_ = std::thread([this] { run(); });
}

Engine::~Engine() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        closing_ = true;
    }
    abort_ = true;
    events_.release();
    commands_.notify_one();
    thread_.join();
}

bool Engine::should_abort(void *self) {
    return static_cast<Engine *>(self)->abort_;
}

void Engine::submit(const pdl_request &source) {
    auto request = copy_request(source, model_, n_ctx_slot_, limits_);
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (closing_) {
            throw Failure(PDL_CLOSED, "the engine is closing");
        }
        submitted_.push_back(std::move(request));
    }
    commands_.notify_one();
}

void Engine::cancel(uint64_t id) {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        cancelled_.push_back(id);
        if (prefilling_alone_ == id) {
            abort_ = true;
        }
    }
    commands_.notify_one();
}

void Engine::get_stats(pdl_engine_stats &stats, pdl_slot_info *slots) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    stats = stats_published_;
    stats.n_queued += static_cast<int32_t>(submitted_.size());
    if (slots != nullptr) {
        std::copy(slot_infos_.begin(), slot_infos_.end(), slots);
    }
}

} // namespace paddler

using paddler::guarded;

extern "C" {

int32_t pdl_engine_open(pdl_model *model, const pdl_engine_params *params, pdl_engine **engine, pdl_error *error) {
    return guarded(error, PDL_INTERNAL, [&] { *engine = new pdl_engine(*model, *params); });
}

int32_t pdl_engine_event_fd(const pdl_engine *engine) {
    return const_cast<pdl_engine *>(engine)->engine.events().fd();
}

int32_t pdl_engine_context_tokens(const pdl_engine *engine) {
    return engine->engine.context_tokens();
}

void pdl_engine_close(pdl_engine *engine) {
    delete engine;
}

int32_t pdl_engine_submit(pdl_engine *engine, const pdl_request *request, pdl_error *error) {
    return guarded(error, PDL_INTERNAL, [&] { engine->engine.submit(*request); });
}

void pdl_engine_cancel(pdl_engine *engine, uint64_t id) {
    engine->engine.cancel(id);
}

void pdl_engine_drain(pdl_engine *engine, pdl_event *events, int32_t events_capacity, char *text,
                      int32_t text_capacity, pdl_logprob *logprobs, int32_t logprobs_capacity,
                      pdl_drained *drained) {
    engine->engine.events().drain(events, events_capacity, text, text_capacity, logprobs, logprobs_capacity, drained);
}

int32_t pdl_engine_max_text(pdl_engine *engine) {
    return engine->engine.events().max_text();
}

void pdl_engine_get_stats(pdl_engine *engine, pdl_engine_stats *stats, pdl_slot_info *slots) {
    engine->engine.get_stats(*stats, slots);
}

} // extern "C"
