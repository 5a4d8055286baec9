// The planner keeps its budget, serves short prompts first and starves nobody.
#include "prefill_planner.h"

#include "check.h"

#include <numeric>

using paddler::PrefillDemand;
using paddler::PrefillPlanner;
using paddler::PrefillShare;

namespace {

constexpr double decode_step_ms = 20.0;
constexpr double prefill_token_ms = 3.0;

int32_t total(const std::vector<PrefillShare> &shares) {
    return std::accumulate(shares.begin(), shares.end(), 0,
                           [](int32_t sum, const PrefillShare &share) { return sum + share.n_tokens; });
}

PrefillPlanner measured(int32_t budget_ms) {
    PrefillPlanner planner(budget_ms, 2048);
    for (int i = 0; i < 50; i++) {
        planner.observe(4, 0, decode_step_ms);
        planner.observe(4, 16, decode_step_ms + 16 * prefill_token_ms);
    }
    return planner;
}

void test_the_prefill_part_keeps_the_budget() {
    PrefillPlanner planner = measured(80);
    const auto shares = planner.plan(4, {{0, 4000, 0}});
    CHECK(total(shares) == static_cast<int32_t>(80 / prefill_token_ms));
}

void test_a_mixed_batch_stays_within_twice_the_budget() {
    PrefillPlanner planner = measured(16);
    const auto shares = planner.plan(4, {{0, 4000, 0}});
    CHECK(decode_step_ms + total(shares) * prefill_token_ms <= 2 * 16);
}

void test_slow_decoding_leaves_prefill_its_share() {
    PrefillPlanner planner = measured(10);
    for (int i = 0; i < 50; i++) {
        planner.observe(4, 0, 300.0);
    }
    CHECK(total(planner.plan(4, {{0, 4000, 0}})) * prefill_token_ms > 140.0);
}

void test_prefill_alone_takes_more() {
    PrefillPlanner planner = measured(80);
    CHECK(total(planner.plan(0, {{0, 4000, 0}})) > 4 * total(planner.plan(4, {{0, 4000, 0}})));
}

void test_progress_is_made_even_when_decoding_uses_up_the_budget() {
    PrefillPlanner planner = measured(10);
    CHECK(total(planner.plan(4, {{0, 4000, 0}})) >= 4);
}

void test_the_batch_is_never_exceeded() {
    PrefillPlanner planner(1000, 32);
    planner.observe(0, 100, 1.0);
    CHECK(total(planner.plan(8, {{0, 4000, 0}, {1, 4000, 1}})) == 24);
}

void test_the_shortest_prompt_goes_first_and_the_oldest_never_starves() {
    PrefillPlanner planner = measured(80);
    int n_oldest_first = 0;
    for (int i = 0; i < 40; i++) {
        const auto shares = planner.plan(4, {{0, 4000, 0}, {1, 30, 1}});
        CHECK(shares.front().slot == 0 || shares.front().slot == 1);
        n_oldest_first += shares.front().slot == 0;
    }
    CHECK(n_oldest_first == 10);
}

} // namespace

int main() {
    test_the_prefill_part_keeps_the_budget();
    test_a_mixed_batch_stays_within_twice_the_budget();
    test_slow_decoding_leaves_prefill_its_share();
    test_prefill_alone_takes_more();
    test_progress_is_made_even_when_decoding_uses_up_the_budget();
    test_the_batch_is_never_exceeded();
    test_the_shortest_prompt_goes_first_and_the_oldest_never_starves();
    return 0;
}
