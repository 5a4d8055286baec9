#include "engine/model_runner.h"

#include "model/model.h"
#include "platform/assertions.h"
#include "platform/errors.h"
#include "platform/log_ring.h"

#include "mtmd-helper.h"

#include <algorithm>
#include <exception>
#include <string>

namespace paddler {

namespace {

constexpr int32_t default_ubatch = 512;
constexpr int32_t decode_threw = -2; // as where llama.cpp could not allocate

bool is_set(void *flag) {
    return static_cast<const std::atomic<bool> *>(flag)->load();
}

ContextPointer make_context(const pdl_model &model, const pdl_engine_params &params) {
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
    const LogCapture reasons;
    const AssertionsThrow assertions;
    ContextPointer context(llama_init_from_model(model.model, native));
    if (!context) {
        const std::string reason = reasons.text();
        throw Failure(PDL_INVALID_ARGUMENT,
                      "llama.cpp cannot make a context with these parameters" +
                          (reason.empty() ? std::string() : ": " + reason));
    }
    return context;
}

// Touches all weights once, so that the first request does not wait for the disk.
void warm_up(const Compute::Turn &, llama_context *context, const llama_vocab *vocab) {
    const llama_token bos = llama_vocab_bos(vocab);
    Batch batch(1);
    batch.add(bos == LLAMA_TOKEN_NULL ? 0 : bos, 0, 0, true);
    llama_decode(context, batch.native());
    llama_synchronize(context);
    llama_memory_clear(llama_get_memory(context), false);
}

} // namespace

ModelRunner::ModelRunner(const pdl_model &model, const pdl_engine_params &params,
                         const std::atomic<bool> &abort)
    : compute_(model.compute), abort_(abort), threads_(model.compute.threads(params.n_threads)),
      context_(make_context(model, params)),
      // llama.cpp may round a slot's context up; what was asked for is the limit.
      n_ctx_slot_(
          std::min(static_cast<int32_t>(llama_n_ctx_seq(context_.get())), params.n_ctx_slot)),
      limits_{static_cast<int32_t>(llama_n_batch(context_.get())),
              static_cast<int32_t>(llama_n_ubatch(context_.get()))} {
    threads_->attach(context_.get());
    warm_up(turn(), context_.get(), model.vocab);
    llama_set_abort_callback(context_.get(), is_set, const_cast<std::atomic<bool> *>(&abort_));
}

int32_t ModelRunner::decode(const Compute::Turn &, DecodeBatch &batch) {
    batch.lay_out();
    const QuietWhenExpected quiet(abort_);
    try {
        const int32_t code = llama_decode(context_.get(), batch.native());
        llama_synchronize(context_.get());
        return code;
    } catch (const std::exception &) {
        return decode_threw;
    }
}

int32_t ModelRunner::decode_image(const Compute::Turn &, const Slot &slot,
                                  const PlacedImage &image) {
    const QuietWhenExpected quiet(abort_);
    llama_pos next_position = 0;
    return mtmd_helper_decode_image_chunk(
        slot.generation->request->media->projector, context_.get(), image.chunk.get(),
        const_cast<float *>(image.embeddings->data()), image.begin, slot.seq, limits_.n_batch,
        &next_position, nullptr, nullptr);
}

float *ModelRunner::logits(const BatchPart &part) const {
    return llama_get_logits_ith(context_.get(), part.output_index);
}

} // namespace paddler
