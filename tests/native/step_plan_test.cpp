// What a step computes, for slots in every state. Takes model files, whose
// memories differ in what can be padded and where checkpoints are needed.
#include "engine/step_plan.h"

#include "check.h"
#include "engine/model_runner.h"
#include "model/model.h"

#include <atomic>
#include <memory>
#include <vector>

using paddler::BatchPart;
using paddler::Clock;
using paddler::DecodeBatch;
using paddler::Generation;
using paddler::KvStore;
using paddler::MediaPrompt;
using paddler::ModelRunner;
using paddler::Request;
using paddler::Slot;
using paddler::StepPlan;

namespace {

constexpr int32_t n_slots = 5;
constexpr int32_t n_ctx_slot = 256;
constexpr int32_t n_batch = 128;
constexpr llama_token first_token = 40;
constexpr llama_token generated = 77;

// Slots of an engine that has no thread: nothing changes but by the test.
class Fixture {
public:
    explicit Fixture(const pdl_model &model)
        : runner_(model, params(), abort_), store(runner_.context(), 4),
          plan(store, n_ctx_slot, n_batch, 80), slots(n_slots) {
        for (size_t i = 0; i < slots.size(); i++) {
            slots[i].seq = static_cast<llama_seq_id>(i);
        }
    }

    // A prompt of which the slot holds n_held tokens.
    Generation &prefill(size_t slot, int32_t n_prompt, int32_t n_held = 0) {
        auto request = std::make_unique<Request>();
        request->id = 100 + slot;
        for (int32_t i = 0; i < n_prompt; i++) {
            request->prompt.push_back(first_token + i);
        }
        request->max_tokens = 10;
        hold(slot, n_held);
        slots[slot].generation =
            std::make_unique<Generation>(std::move(request), n_held, n_started_++, Clock::now());
        return *slots[slot].generation;
    }

    void decode(size_t slot, int32_t n_prompt) {
        Generation &generation = prefill(slot, n_prompt, n_prompt);
        generation.decoding = true;
        generation.next = generated;
    }

    void hold(size_t slot, int32_t n_tokens) {
        slots[slot].state.tokens.clear();
        for (int32_t i = 0; i < n_tokens; i++) {
            slots[slot].state.tokens.push_back(first_token + i);
        }
    }

private:
    static pdl_engine_params params() {
        pdl_engine_params params{};
        params.n_slots = n_slots;
        params.n_ctx_slot = n_ctx_slot;
        params.n_batch = n_batch;
        // ggml's own threads are not instrumented and would look like races.
        params.n_threads = 1;
        params.type_k = params.type_v = 1; // F16
        return params;
    }

    std::atomic<bool> abort_{false};
    ModelRunner runner_;
    uint64_t n_started_ = 0;

public:
    KvStore store;
    StepPlan plan;
    std::vector<Slot> slots;
};

std::vector<llama_seq_id> slots_of(const DecodeBatch &batch) {
    std::vector<llama_seq_id> slots;
    for (const auto &part : batch.parts()) {
        slots.push_back(part.slot->seq);
    }
    return slots;
}

const BatchPart &part_of(const DecodeBatch &batch, llama_seq_id slot) {
    for (const auto &part : batch.parts()) {
        if (part.slot->seq == slot) {
            return part;
        }
    }
    CHECK(!"the slot is not in the batch");
}

void test_nothing_runs_nothing_is_computed(const pdl_model &model) {
    Fixture engine(model);
    engine.hold(1, 30);
    engine.plan.form(engine.slots);
    CHECK(engine.plan.empty());
    CHECK(!engine.plan.lone_request());
}

void test_every_decoding_slot_gives_its_token(const pdl_model &model) {
    Fixture engine(model);
    engine.decode(1, 20);
    engine.decode(0, 10);
    engine.plan.form(engine.slots);
    CHECK(engine.plan.prompts().empty());
    CHECK((slots_of(engine.plan.outputs()) == std::vector<llama_seq_id>{0, 1}));
    for (const auto &part : engine.plan.outputs().parts()) {
        CHECK(part.tokens == std::vector<llama_token>{generated});
        CHECK(part.output && !part.padding);
    }
    CHECK(!engine.plan.lone_request());
}

void test_a_prompt_alone_is_computed_in_one_piece(const pdl_model &model) {
    Fixture engine(model);
    engine.prefill(2, 20, 5);
    engine.plan.form(engine.slots);
    CHECK(engine.plan.outputs().empty());
    const BatchPart &part = part_of(engine.plan.prompts(), 2);
    CHECK(part.tokens.size() == 15);
    CHECK(part.tokens.front() == first_token + 5);
    CHECK(part.output && part.checkpoint_after);
    CHECK(engine.plan.lone_request() == 102);
}

void test_the_last_token_of_a_prompt_goes_with_those_that_decode(const pdl_model &model) {
    Fixture engine(model);
    engine.decode(0, 10);
    engine.prefill(1, 4);
    engine.plan.form(engine.slots);
    CHECK(part_of(engine.plan.prompts(), 1).tokens.size() == 3);
    CHECK(!part_of(engine.plan.prompts(), 1).output);
    CHECK(part_of(engine.plan.outputs(), 1).tokens == std::vector<llama_token>{first_token + 3});
    CHECK(part_of(engine.plan.outputs(), 1).output);
    CHECK(!engine.plan.lone_request());
}

void test_a_prompt_stops_where_a_checkpoint_is_wanted(const pdl_model &model) {
    Fixture engine(model);
    engine.prefill(0, 100).request->checkpoints = {60};
    engine.plan.form(engine.slots);
    const BatchPart &part = part_of(engine.plan.prompts(), 0);
    if (engine.store.needs_checkpoints()) {
        CHECK(part.tokens.size() <= 60);
        CHECK(part.checkpoint_after == (part.tokens.size() == 60));
    } else {
        CHECK(part.tokens.size() <= 100);
        CHECK(part.checkpoint_after == part.output);
    }
}

void test_a_short_gap_is_padded_and_a_long_one_is_not(const pdl_model &model) {
    Fixture engine(model);
    engine.decode(0, 10);
    engine.hold(1, 20);
    engine.decode(3, 10);
    engine.plan.form(engine.slots);
    const bool can_pad = engine.store.can_pad(engine.slots[1].state);
    CHECK(engine.plan.outputs().parts().size() == (can_pad ? 4 : 2));
    if (can_pad) {
        CHECK(part_of(engine.plan.outputs(), 1).padding &&
              !part_of(engine.plan.outputs(), 1).output);
    }

    Fixture wider(model);
    wider.decode(0, 10);
    wider.decode(4, 10);
    wider.plan.form(wider.slots);
    CHECK((slots_of(wider.plan.outputs()) == std::vector<llama_seq_id>{0, 4}));
}

void test_a_prompt_in_a_gap_gives_its_next_token(const pdl_model &model) {
    Fixture engine(model);
    engine.decode(0, 10);
    engine.prefill(1, 100);
    engine.decode(2, 10);
    engine.plan.form(engine.slots);
    const BatchPart &bridge = part_of(engine.plan.outputs(), 1);
    const size_t n_before = part_of(engine.plan.prompts(), 1).tokens.size();
    CHECK(bridge.tokens == std::vector<llama_token>{first_token + static_cast<int32_t>(n_before)});
    CHECK(!bridge.output && !bridge.padding);
}

void test_a_batch_is_never_exceeded(const pdl_model &model) {
    Fixture engine(model);
    engine.decode(0, 10);
    for (size_t slot = 1; slot < n_slots; slot++) {
        engine.prefill(slot, 200);
    }
    for (int i = 0; i < 30; i++) {
        engine.plan.form(engine.slots);
        CHECK(engine.plan.prompts().n_tokens() <= n_batch);
        engine.plan.observe(1.0); // so fast that all would be taken
    }
    CHECK(engine.plan.prompts().n_tokens() > n_batch / 2);
}

void test_images_are_computed_oldest_request_first(const pdl_model &model) {
    Fixture engine(model);
    const auto media = std::make_shared<MediaPrompt>();
    media->images.resize(1);
    media->images.front().begin = 5;
    media->images.front().n_positions = 3;
    engine.prefill(3, 20, 5).request->media = media;
    engine.prefill(1, 20, 5).request->media = media;
    engine.prefill(2, 20, 2).request->media = media; // text before it is missing
    CHECK(StepPlan::next_image(engine.slots) == &engine.slots[3]);
    engine.hold(3, 8);
    CHECK(StepPlan::next_image(engine.slots) == &engine.slots[1]);
    engine.hold(1, 8);
    CHECK(StepPlan::next_image(engine.slots) == nullptr);
    engine.plan.form(engine.slots);
    size_t n_text = 0; // up to the image
    for (DecodeBatch *batch : {&engine.plan.prompts(), &engine.plan.outputs()}) {
        for (const auto &part : batch->parts()) {
            n_text += part.slot->seq == 2 ? part.tokens.size() : 0;
        }
    }
    CHECK(n_text <= 3);
}

void test_model(const char *path) {
    pdl_model_params params{};
    params.path = path;
    params.use_mmap = 1;
    pdl_model *model = nullptr;
    pdl_error error;
    CHECK(pdl_model_load(&params, nullptr, &model, &error) == PDL_OK);
    test_nothing_runs_nothing_is_computed(*model);
    test_every_decoding_slot_gives_its_token(*model);
    test_a_prompt_alone_is_computed_in_one_piece(*model);
    test_the_last_token_of_a_prompt_goes_with_those_that_decode(*model);
    test_a_prompt_stops_where_a_checkpoint_is_wanted(*model);
    test_a_short_gap_is_padded_and_a_long_one_is_not(*model);
    test_a_prompt_in_a_gap_gives_its_next_token(*model);
    test_a_batch_is_never_exceeded(*model);
    test_images_are_computed_oldest_request_first(*model);
    pdl_model_free(model);
}

} // namespace

int main(int argc, char **argv) {
    CHECK(argc >= 2);
    for (int i = 1; i < argc; i++) {
        test_model(argv[i]);
    }
    return 0;
}
