// The continuous-batching engine: one context, n slots, one thread.
//
// submit, cancel, drain, stats and close come from other threads; everything
// else runs on the decode thread, which alone touches the context.
#pragma once

#include "model/compute.h"
#include "model/context.h"
#include "engine/decode_batch.h"
#include "engine/event_ring.h"
#include "slots/kv_store.h"
#include "model/model.h"
#include "paddler_engine.h"
#include "slots/placement.h"
#include "engine/prefill_planner.h"
#include "slots/prompt_cache.h"
#include "slots/request.h"
#include "slots/slot.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
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

    void submit(const pdl_request &request);
    void cancel(uint64_t id);
    EventRing &events() { return events_; }
    int32_t context_tokens() const { return n_ctx_slot_; }
    void get_stats(pdl_engine_stats &stats, pdl_slot_info *slots) const;

private:
    // Requests that wait for what a slot prefills.
    struct Behind {
        int32_t n_requests = 0;
        int32_t n_tokens = INT32_MAX; // until the first can go on
    };

    static bool should_abort(void *self);

    void run() noexcept;
    bool wait_for_work(); // false: closing
    void end_all(const std::exception &exception);
    void take_commands();
    void end_cancelled();
    void start_waiting();
    void start(std::unique_ptr<Request> request);
    void emit_started(const Slot &slot, const Placement &placement);
    void replay(Slot &slot);
    int32_t advance(Generation &generation, llama_token token, std::vector<TextSegment> &segments,
                    std::string &raw) const;
    void decode_next_image();
    void fill_batches();
    BatchPart prompt_part(Slot &slot, int32_t n_tokens);
    void add_prompt_part(Slot &slot, int32_t n_tokens, bool alone);
    void bridge_gaps();
    bool can_bridge(const Slot &slot, int32_t most_held) const;
    void bridge(Slot &slot);
    void step();
    bool decode(DecodeBatch &batch); // false: it failed, and was dealt with
    void after_failed_decode(const DecodeBatch &batch, int32_t code);
    void after_decode(const BatchPart &part);
    void drop(Slot &slot);
    void sample(Slot &slot, int32_t output_index);
    void take_token(Slot &slot, const Choice &choice);
    void emit(const Slot &slot, std::vector<TextSegment> &segments, llama_token token, int32_t token_class,
              const std::vector<pdl_logprob> &logprobs, std::string_view raw = {});
    void end(Slot &slot, pdl_end_reason reason, pdl_status status = PDL_OK, const std::string &message = "");
    void end_waiting(const Request &request);
    void report_dropped(const std::vector<uint64_t> &owners);
    void publish_stats();
    std::string piece(llama_token token, const Request &request) const;

    const pdl_model &model_;
    pdl_engine_params params_;
    std::shared_ptr<ThreadPool> threads_;
    ContextPointer context_;
    int32_t n_ctx_slot_;
    BatchLimits limits_;
    int32_t n_vocab_;
    EventRing events_;
    KvStore store_;
    PromptCache prompt_cache_;
    Placer placer_;
    PrefillPlanner planner_;
    std::vector<Slot> slots_;
    // A step computes prompts_, then outputs_: one token of every decoding slot
    // and the last token of every prompt that ends.
    DecodeBatch prompts_;
    DecodeBatch outputs_;
    std::deque<std::unique_ptr<Request>> waiting_; // decode thread only
    uint64_t n_started_ = 0;
    uint64_t n_ended_ = 0;
    pdl_engine_stats stats_{}; // decode thread only
    std::vector<uint64_t> arrivals_; // by slot: order of starting
    std::vector<Behind> behind_;     // by slot

    mutable std::mutex mutex_; // guards what follows
    std::condition_variable commands_;
    std::deque<std::unique_ptr<Request>> submitted_;
    std::vector<uint64_t> cancelled_;
    bool closing_ = false;
    pdl_engine_stats stats_published_{};
    std::vector<pdl_slot_info> slot_infos_;

    std::atomic<bool> abort_{false};
    std::atomic<uint64_t> prefilling_alone_{0}; // id, while a batch holds only that request's prompt
    std::thread thread_;
};

} // namespace paddler

struct pdl_engine {
    pdl_engine(const pdl_model &model, const pdl_engine_params &params) : engine(model, params) {}
    paddler::Engine engine;
};
