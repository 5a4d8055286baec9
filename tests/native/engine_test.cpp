// The engine under load from several threads: submitting, cancelling,
// draining, reading statistics and closing at any moment. Takes model files.
#include "check.h"
#include "paddler_engine.h"

#include <atomic>
#include <chrono>
#include <poll.h>
#include <random>
#include <set>
#include <thread>
#include <vector>

namespace {

pdl_engine *open_engine(pdl_model *model, int64_t prompt_cache_bytes) {
    pdl_engine_params params{};
    params.n_slots = 3;
    params.n_ctx_slot = 512;
    params.n_batch = 256;
    // ggml's own threads are not instrumented and would look like races.
    params.n_threads = 1;
    params.type_k = params.type_v = 1; // F16
    params.prefill_budget_ms = 50;
    params.prefix_wait_ms = 1000;
    params.reuse_cache = 1;
    params.n_checkpoints = 2;
    params.prompt_cache_bytes = prompt_cache_bytes;
    pdl_engine *engine = nullptr;
    pdl_error error;
    CHECK(pdl_engine_open(model, &params, &engine, &error) == PDL_OK);
    return engine;
}

void submit(pdl_engine *engine, uint64_t id, std::mt19937 &random) {
    std::vector<int32_t> tokens(1 + random() % 150);
    const auto base = static_cast<int32_t>(random() % 3);
    for (size_t i = 0; i < tokens.size(); i++) {
        tokens[i] = 100 + base * 50 + static_cast<int32_t>(i % 37);
    }
    const char *stops[] = {"zebra", "the end"};
    const pdl_class_marker marker = {"<x>", -1, 1, 1};
    pdl_request request{};
    request.id = id;
    request.tokens = tokens.data();
    request.n_tokens = static_cast<int32_t>(tokens.size());
    request.max_tokens = 1 + static_cast<int32_t>(random() % 8);
    request.ignore_end = 1;
    request.sampling.temperature = 0.7f;
    request.sampling.top_k = 20;
    request.sampling.top_p = 0.9f;
    request.sampling.penalty_repeat = 1.1f;
    request.sampling.penalty_last_n = -1;
    request.sampling.n_logprobs = random() % 4 == 0 ? 2 : -1;
    request.stops = stops;
    request.n_stops = 2;
    request.markers = &marker;
    request.n_markers = 1;
    if (random() % 3 == 0) {
        request.grammar = "root ::= [a-z ]+";
        request.grammar_root = "root";
    }
    pdl_error error;
    CHECK(pdl_engine_submit(engine, &request, &error) == PDL_OK);
}

struct Drainer {
    std::vector<pdl_event> events = std::vector<pdl_event>(64);
    std::vector<char> text = std::vector<char>(4096);
    std::vector<pdl_logprob> logprobs = std::vector<pdl_logprob>(256);
    std::set<uint64_t> ended;

    void drain(pdl_engine *engine) {
        pollfd waiting = {pdl_engine_event_fd(engine), POLLIN, 0};
        poll(&waiting, 1, 50);
        pdl_drained drained;
        pdl_engine_drain(engine, events.data(), static_cast<int32_t>(events.size()), text.data(),
                         static_cast<int32_t>(text.size()), logprobs.data(),
                         static_cast<int32_t>(logprobs.size()), &drained);
        for (int32_t i = 0; i < drained.n_events; i++) {
            const pdl_event &event = events[static_cast<size_t>(i)];
            CHECK(event.text_offset + event.text_bytes <= drained.n_text_bytes);
            if (event.kind == PDL_EVENT_END) {
                CHECK(ended.insert(event.id).second);
                CHECK(event.end_reason != PDL_END_ERROR || event.status == PDL_GRAMMAR_DEAD_END);
            }
        }
    }
};

void test_every_request_ends_exactly_once(pdl_model *model) {
    constexpr uint64_t n_requests = 60;
    pdl_engine *engine = open_engine(model, 64 << 20);
    std::atomic<uint64_t> n_submitted{0};
    std::thread submitter([&] {
        std::mt19937 random(1);
        for (uint64_t id = 1; id <= n_requests; id++) {
            submit(engine, id, random);
            n_submitted = id;
            std::this_thread::yield();
        }
    });
    std::atomic<bool> finished{false};
    std::thread canceller([&] {
        std::mt19937 random(2);
        while (!finished) {
            if (n_submitted > 0) {
                pdl_engine_cancel(engine, 1 + random() % (2 * n_submitted));
            }
            pdl_engine_stats stats;
            pdl_slot_info slots[3];
            pdl_engine_get_stats(engine, &stats, slots);
            CHECK(stats.n_running <= 3);
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
    });
    Drainer drainer;
    while (drainer.ended.size() < n_requests) {
        drainer.drain(engine);
    }
    finished = true;
    submitter.join();
    canceller.join();
    pdl_engine_close(engine);
}

void test_closing_at_any_moment(pdl_model *model) {
    std::mt19937 random(3);
    for (int round = 0; round < 6; round++) {
        pdl_engine *engine = open_engine(model, 0);
        for (uint64_t id = 1; id <= 6; id++) {
            submit(engine, id, random);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(random() % 200));
        pdl_engine_close(engine);
    }
}

} // namespace

int main(int argc, char **argv) {
    CHECK(argc >= 2);
    for (int i = 1; i < argc; i++) {
        pdl_model_params params{};
        params.path = argv[i];
        params.use_mmap = 1;
        pdl_model *model = nullptr;
        pdl_error error;
        CHECK(pdl_model_load(&params, nullptr, &model, &error) == PDL_OK);
        test_every_request_ends_exactly_once(model);
        test_closing_at_any_moment(model);
        pdl_model_free(model);
    }
    return 0;
}
