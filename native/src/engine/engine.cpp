#include "engine/engine.h"

#include "engine/engine_params.h"
#include "model/model.h"
#include "platform/clock.h"
#include "platform/errors.h"

#include <algorithm>
#include <exception>
#include <iterator>
#include <memory>
#include <utility>

namespace paddler {

namespace {

constexpr size_t ring_capacity = 65536;

std::vector<Slot> make_slots(int32_t n_slots) {
    std::vector<Slot> slots(static_cast<size_t>(n_slots));
    for (size_t i = 0; i < slots.size(); i++) {
        slots[i].seq = static_cast<llama_seq_id>(i);
    }
    return slots;
}

pdl_slot_state state_of(const Slot &slot) {
    if (slot.is_free()) {
        return PDL_SLOT_FREE;
    }
    return slot.is_decoding() ? PDL_SLOT_DECODE : PDL_SLOT_PREFILL;
}

} // namespace

Engine::Engine(const pdl_model &model, const pdl_engine_params &params)
    : model_(model), ring_(ring_capacity), runner_(model, checked(model, params), mailbox_.abort()),
      store_(runner_.context(), params.n_checkpoints), prompt_cache_(params.prompt_cache_bytes),
      slots_(make_slots(params.n_slots)), events_(ring_),
      queue_(Placer(store_, prompt_cache_, params.reuse_cache != 0, params.prefix_wait_ms)),
      plan_(store_, runner_.n_ctx_slot(), runner_.limits().n_batch, params.prefill_budget_ms),
      postprocessor_(runner_, model.vocab, store_, events_), slot_infos_(slots_.size()),
      thread_([this] { run(); }) {}

Engine::~Engine() {
    mailbox_.close();
    ring_.release();
    thread_.join();
}

void Engine::submit(const pdl_request &request) {
    mailbox_.submit(copy_request(request, model_, runner_.n_ctx_slot(), runner_.limits()));
}

void Engine::cancel(uint64_t id) {
    mailbox_.cancel(id);
}

void Engine::run() noexcept {
    while (mailbox_.wait(is_busy())) {
        try {
            step();
        } catch (const std::exception &exception) {
            postprocessor_.abandon(slots_, exception);
        }
        ring_.publish();
        ring_.wait_for_room();
    }
}

bool Engine::is_busy() const {
    return queue_.size() > 0 || std::any_of(slots_.begin(), slots_.end(),
                                            [](const Slot &slot) { return !slot.is_free(); });
}

void Engine::step() {
    take_commands();
    for (const auto &admission : queue_.admit(slots_)) {
        postprocessor_.started(admission);
    }
    decode_next_image();
    plan_.form(slots_);
    decode_batches();
    publish_stats();
}

void Engine::take_commands() {
    Commands commands = mailbox_.take();
    queue_.add(std::move(commands.submitted));
    for (const uint64_t id : commands.cancelled) {
        if (const auto waiting = queue_.remove(id)) {
            events_.cancelled(*waiting);
        }
        for (auto &slot : slots_) {
            if (!slot.is_free() && slot.generation->request->id == id) {
                postprocessor_.end(slot, {PDL_END_CANCELLED});
            }
        }
    }
}

void Engine::decode_next_image() {
    Slot *slot = StepPlan::next_image(slots_);
    if (slot == nullptr) {
        return;
    }
    const PlacedImage &image = *slot->image_to_decode();
    const Compute::Turn turn = runner_.turn();
    const int32_t code = runner_.decode_image(turn, *slot, image);
    postprocessor_.image(*slot, image, code);
    n_steps_ += code == decode_done ? 1 : 0;
}

void Engine::decode_batches() {
    if (plan_.empty()) {
        return;
    }
    if (const auto id = plan_.lone_request()) {
        mailbox_.let_abort(*id);
    }
    const Compute::Turn turn = runner_.turn();
    const auto started = Clock::now();
    if (!decode(turn, plan_.prompts())) {
        return; // the outputs are formed anew: nothing of them is lost
    }
    postprocessor_.computed(plan_.prompts());
    if (!decode(turn, plan_.outputs())) {
        return;
    }
    plan_.observe(milliseconds(Clock::now() - started));
    n_steps_++;
    postprocessor_.computed(plan_.outputs());
}

bool Engine::decode(const Compute::Turn &turn, DecodeBatch &batch) {
    const int32_t code = batch.empty() ? decode_done : runner_.decode(turn, batch);
    if (code != decode_done) {
        postprocessor_.failed(batch, code);
    }
    return code == decode_done;
}

void Engine::publish_stats() {
    const EventCounts &counts = events_.counts();
    pdl_engine_stats stats{};
    stats.n_queued = queue_.size();
    stats.n_running = static_cast<int32_t>(std::count_if(
        slots_.begin(), slots_.end(), [](const Slot &slot) { return !slot.is_free(); }));
    stats.n_prompt_tokens = counts.n_prompt_tokens;
    stats.n_cached_tokens = counts.n_cached_tokens;
    stats.n_generated_tokens = counts.n_generated_tokens;
    stats.n_steps = n_steps_;
    std::copy(std::begin(counts.n_hits), std::end(counts.n_hits), stats.n_hits);
    stats.n_evictions = prompt_cache_.n_evictions();
    stats.prompt_cache_bytes = prompt_cache_.n_bytes();
    stats.prefill_tokens_per_s = static_cast<float>(plan_.prefill_tokens_per_s());

    const std::lock_guard<std::mutex> lock(stats_mutex_);
    stats_ = stats;
    for (size_t i = 0; i < slots_.size(); i++) {
        slot_infos_[i] = {state_of(slots_[i]), slots_[i].n_held(), slots_[i].state.owner};
    }
}

void Engine::get_stats(pdl_engine_stats &stats, pdl_slot_info *slots) const {
    const int32_t n_submitted = mailbox_.n_submitted();
    const std::lock_guard<std::mutex> lock(stats_mutex_);
    stats = stats_;
    stats.n_queued += n_submitted;
    if (slots != nullptr) {
        std::copy(slot_infos_.begin(), slot_infos_.end(), slots);
    }
}

} // namespace paddler

using paddler::guarded;

extern "C" {

int32_t pdl_engine_open(pdl_model *model, const pdl_engine_params *params, pdl_engine **engine,
                        pdl_error *error) {
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
    engine->engine.events().drain(events, events_capacity, text, text_capacity, logprobs,
                                  logprobs_capacity, drained);
}

int32_t pdl_engine_max_text(pdl_engine *engine) {
    return engine->engine.events().max_text();
}

void pdl_engine_get_stats(pdl_engine *engine, pdl_engine_stats *stats, pdl_slot_info *slots) {
    engine->engine.get_stats(*stats, slots);
}

} // extern "C"
