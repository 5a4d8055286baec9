// The continuous-batching engine: one context, n slots, one thread.
//
// Owns the decode thread and the order of a step: take commands, admit, plan,
// run, postprocess, publish. submit, cancel, get_stats, events().drain and the
// destructor are for other threads; everything else happens on the decode
// thread, which alone touches the context.
#pragma once

#include "engine/admission_queue.h"
#include "engine/event_ring.h"
#include "engine/event_writer.h"
#include "engine/mailbox.h"
#include "engine/model_runner.h"
#include "engine/postprocessor.h"
#include "engine/step_plan.h"
#include "paddler_engine.h"
#include "slots/kv_store.h"
#include "slots/prompt_cache.h"
#include "slots/slot.h"

#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace paddler {

class Engine {
public:
    // Throws Failure. The model must outlive the engine.
    Engine(const pdl_model &model, const pdl_engine_params &params);
    // Cancels everything and joins the thread.
    ~Engine();
    Engine(const Engine &) = delete;
    Engine &operator=(const Engine &) = delete;

    // Throws Failure, as copy_request does, and PDL_CLOSED.
    void submit(const pdl_request &request);
    void cancel(uint64_t id);
    EventRing &events() { return ring_; }
    int32_t context_tokens() const { return runner_.n_ctx_slot(); }
    // slots: null, or [n_slots].
    void get_stats(pdl_engine_stats &stats, pdl_slot_info *slots) const;

private:
    void run() noexcept;
    void step();
    bool is_busy() const;
    void take_commands();
    void decode_next_image();
    void decode_batches();
    // False: it failed, and was dealt with.
    bool decode(const Compute::Turn &turn, DecodeBatch &batch);
    void publish_stats();

    const pdl_model &model_;
    Mailbox mailbox_;
    EventRing ring_;
    ModelRunner runner_;
    KvStore store_;
    PromptCache prompt_cache_;
    std::vector<Slot> slots_;
    EventWriter events_;
    AdmissionQueue queue_;
    StepPlan plan_;
    Postprocessor postprocessor_;
    int64_t n_steps_ = 0;

    mutable std::mutex stats_mutex_; // guards what follows
    pdl_engine_stats stats_{};
    std::vector<pdl_slot_info> slot_infos_;

    std::thread thread_; // last: the rest exists when it starts
};

} // namespace paddler

struct pdl_engine {
    pdl_engine(const pdl_model &model, const pdl_engine_params &params) : engine(model, params) {}
    paddler::Engine engine;
};
