// The contexts of one model compute by turns. Takes model files.
#include "model/compute.h"

#include "check.h"
#include "model/model.h"

#include <atomic>
#include <thread>
#include <vector>

using paddler::Compute;

namespace {

void wait_until_contended(Compute &compute) {
    while (!compute.take_contended()) {
        std::this_thread::yield();
    }
}

void test_turns_are_taken_one_at_a_time_first_come_first_served() {
    Compute compute;
    std::atomic<int> n_inside{0};
    std::vector<int> order;
    std::vector<std::thread> threads;
    {
        const Compute::Turn turn(compute);
        for (int i = 0; i < 3; i++) {
            threads.emplace_back([&, i] {
                const Compute::Turn inner(compute);
                CHECK(++n_inside == 1);
                order.push_back(i);
                n_inside--;
            });
            wait_until_contended(compute); // the next one comes after it
        }
    }
    for (auto &thread : threads) {
        thread.join();
    }
    CHECK((order == std::vector<int>{0, 1, 2}));
    CHECK(!compute.take_contended());
}

// Also what an engine computes while it opens.
void test_an_engine_opens_in_its_turn(pdl_model *model) {
    pdl_engine_params params{};
    params.n_slots = 1;
    params.n_ctx_slot = 64;
    params.n_batch = 64;
    // ggml's own threads are not instrumented and would look like races.
    params.n_threads = 1;
    params.type_k = params.type_v = 1; // F16
    params.prefill_budget_ms = 50;
    pdl_engine *engine = nullptr;
    std::thread opener;
    {
        const Compute::Turn turn(model->compute);
        opener = std::thread([&] {
            pdl_error error;
            CHECK(pdl_engine_open(model, &params, &engine, &error) == PDL_OK);
        });
        wait_until_contended(model->compute);
    }
    opener.join();
    pdl_engine_close(engine);
}

} // namespace

int main(int argc, char **argv) {
    CHECK(argc >= 2);
    test_turns_are_taken_one_at_a_time_first_come_first_served();
    for (int i = 1; i < argc; i++) {
        pdl_model_params params{};
        params.path = argv[i];
        params.use_mmap = 1;
        pdl_model *model = nullptr;
        pdl_error error;
        CHECK(pdl_model_load(&params, nullptr, &model, &error) == PDL_OK);
        test_an_engine_opens_in_its_turn(model);
        pdl_model_free(model);
    }
    return 0;
}
