// The planner keeps its budget, serves short prompts first and starves nobody.
#include "engine/prefill_planner.h"

#include "check.h"

#include <numeric>

using paddler::PrefillDemand;
using paddler::PrefillPlanner;
using paddler::PrefillShare;

namespace {

constexpr double decode_step_ms = 20.0;
constexpr double prefill_token_ms = 3.0;
constexpr double batch_ms = 15.0;

int32_t total(const std::vector<PrefillShare> &shares) {
    return std::accumulate(
        shares.begin(), shares.end(), 0,
        [](int32_t sum, const PrefillShare &share) { return sum + share.n_tokens; });
}

// A machine with a fixed cost per batch besides the cost per token.
double step_ms(int32_t n_decoding, int32_t n_prefill, double decoding_ms = decode_step_ms) {
    return (n_decoding > 0 ? decoding_ms : batch_ms) + n_prefill * prefill_token_ms;
}

// A planner that has seen such a machine for a while.
PrefillPlanner settled(int32_t budget_ms, double decoding_ms = decode_step_ms) {
    PrefillPlanner planner(budget_ms, 2048);
    for (int i = 0; i < 60; i++) {
        planner.observe(4, 0, decoding_ms);
        const int32_t n_mixed = total(planner.plan(4, {{0, 4000, 4000, 0}}));
        planner.observe(4, n_mixed, step_ms(4, n_mixed, decoding_ms));
        const int32_t n_alone = total(planner.plan(0, {{0, 4000, 4000, 0}}));
        planner.observe(0, n_alone, step_ms(0, n_alone));
    }
    return planner;
}

bool is_about(double value, double expected) {
    return value > 0.8 * expected && value < 1.2 * expected;
}

void test_the_prefill_part_keeps_the_budget() {
    PrefillPlanner planner = settled(80);
    CHECK(is_about(total(planner.plan(4, {{0, 4000, 4000, 0}})) * prefill_token_ms, 80));
}

void test_a_step_that_decodes_takes_a_fifth_more_than_the_budget() {
    PrefillPlanner planner = settled(26);
    CHECK(is_about(step_ms(4, total(planner.plan(4, {{0, 4000, 4000, 0}}))), 1.2 * 26));
}

void test_slow_decoding_leaves_prefill_its_share() {
    PrefillPlanner planner = settled(10, 300.0);
    CHECK(is_about(total(planner.plan(4, {{0, 4000, 4000, 0}})) * prefill_token_ms, 150.0));
}

void test_prefill_alone_takes_more() {
    PrefillPlanner planner = settled(80);
    CHECK(total(planner.plan(0, {{0, 4000, 4000, 0}})) >
          4 * total(planner.plan(4, {{0, 4000, 4000, 0}})));
}

void test_a_crowd_of_prompts_gets_more() {
    PrefillPlanner planner(40, 2048);
    const std::vector<PrefillDemand> crowd(6, {0, 4000, 4000, 0});
    for (int i = 0; i < 60; i++) {
        planner.observe(4, 0, decode_step_ms);
        const int32_t n_tokens = total(planner.plan(4, crowd));
        planner.observe(4, n_tokens, step_ms(4, n_tokens));
    }
    CHECK(is_about(total(planner.plan(4, crowd)) * prefill_token_ms,
                   2.5 * (1.2 * 40 - decode_step_ms)));
}

void test_short_prompts_are_cut_less() {
    PrefillPlanner planner = settled(40);
    const int32_t n_usual = total(planner.plan(4, {{0, 4000, 4000, 0}}));
    const int32_t n_short = 2 * n_usual;
    const auto at_once = planner.plan(4, {{1, n_short, n_short, 1}, {2, n_short, n_short, 2}});
    CHECK(total(at_once) == 2 * n_short);
    const auto end_of_a_long_one = planner.plan(4, {{0, n_short, 4000, 0}});
    CHECK(total(end_of_a_long_one) == n_usual);
    CHECK(
        is_about(total(planner.plan(4, {{0, 4000, 4000, 0}, {1, n_short, n_short, 1}})), n_usual));
}

void test_a_prompt_that_waits_alone_keeps_the_step_within_two_budgets() {
    PrefillPlanner planner = settled(40);
    const int32_t n_tokens = total(planner.plan(4, {{1, 300, 300, 1}}));
    CHECK(is_about(n_tokens * prefill_token_ms, 2 * 40 - decode_step_ms));
}

void test_whom_others_wait_for_is_as_short_as_what_they_wait_for() {
    PrefillPlanner planner = settled(80);
    PrefillDemand awaited = {0, 4000, 4000, 1};
    awaited.n_behind = 2;
    awaited.n_awaited = 50;
    CHECK(planner.plan(4, {{1, 100, 100, 0}, awaited}).front().slot == 0);
    CHECK(planner.plan(4, {{1, 40, 40, 0}, awaited}).front().slot == 1);
}

void test_counts_that_were_never_measured_do_not_shrink_the_share() {
    PrefillPlanner planner(80, 2048);
    planner.observe(1, 0, 12.0);
    for (int i = 0; i < 20; i++) {
        const int32_t n_tokens = total(planner.plan(8, {{0, 4000, 4000, 0}}));
        planner.observe(8, n_tokens, step_ms(8, n_tokens, 60.0));
    }
    CHECK(total(planner.plan(8, {{0, 4000, 4000, 0}})) * prefill_token_ms > 30);
}

void test_a_stall_is_forgotten() {
    PrefillPlanner planner = settled(80);
    for (int i = 0; i < 20; i++) {
        planner.observe(4, total(planner.plan(4, {{0, 4000, 4000, 0}})), 5000.0);
    }
    CHECK(total(planner.plan(4, {{0, 4000, 4000, 0}})) >= 4);
    for (int i = 0; i < 8; i++) {
        const int32_t n_tokens = total(planner.plan(4, {{0, 4000, 4000, 0}}));
        planner.observe(4, n_tokens, step_ms(4, n_tokens));
    }
    CHECK(is_about(total(planner.plan(4, {{0, 4000, 4000, 0}})) * prefill_token_ms, 80));
}

void test_short_prompts_do_not_shrink_the_share() {
    PrefillPlanner planner = settled(80);
    const int32_t before = total(planner.plan(4, {{0, 4000, 4000, 0}}));
    for (int i = 0; i < 20; i++) {
        const int32_t n_tokens = total(planner.plan(4, {{0, 3, 3, 0}}));
        planner.observe(4, n_tokens, step_ms(4, n_tokens));
    }
    CHECK(total(planner.plan(4, {{0, 4000, 4000, 0}})) == before);
}

void test_the_batch_is_never_exceeded() {
    PrefillPlanner planner(1000, 32);
    for (int i = 0; i < 5; i++) {
        planner.observe(8, total(planner.plan(8, {{0, 4000, 4000, 0}})), 1.0);
    }
    CHECK(total(planner.plan(8, {{0, 4000, 4000, 0}, {1, 4000, 4000, 1}})) == 24);
}

void test_the_shortest_prompt_goes_first_and_the_oldest_never_starves() {
    PrefillPlanner planner = settled(80);
    int n_oldest_first = 0;
    for (int i = 0; i < 40; i++) {
        const auto shares = planner.plan(4, {{0, 4000, 4000, 0}, {1, 30, 30, 1}});
        CHECK(shares.front().slot == 0 || shares.front().slot == 1);
        n_oldest_first += shares.front().slot == 0;
    }
    CHECK(n_oldest_first == 10); // every fourth
}

} // namespace

int main() {
    test_the_prefill_part_keeps_the_budget();
    test_a_step_that_decodes_takes_a_fifth_more_than_the_budget();
    test_slow_decoding_leaves_prefill_its_share();
    test_prefill_alone_takes_more();
    test_a_crowd_of_prompts_gets_more();
    test_short_prompts_are_cut_less();
    test_a_prompt_that_waits_alone_keeps_the_step_within_two_budgets();
    test_whom_others_wait_for_is_as_short_as_what_they_wait_for();
    test_counts_that_were_never_measured_do_not_shrink_the_share();
    test_a_stall_is_forgotten();
    test_short_prompts_do_not_shrink_the_share();
    test_the_batch_is_never_exceeded();
    test_the_shortest_prompt_goes_first_and_the_oldest_never_starves();
    return 0;
}
