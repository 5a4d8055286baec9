#include "engine/prefill_planner.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace paddler {

namespace {

constexpr double smoothing = 0.2;
constexpr double first_tokens_per_ms = 0.25; // before anything was measured
constexpr int32_t least_mixed_tokens = 4;
constexpr int32_t least_alone_tokens = 32;
constexpr int32_t least_further_tokens = 8; // of a prompt that gets what another leaves
constexpr double most_growth = 2.0;         // of a share, from one step to the next
constexpr double most_shrinking = 0.5;
constexpr double batch_exponent = 0.7; // how decoding n slots at once grows with n
constexpr double speed_decay = 0.9;
constexpr double least_share = 0.5;  // of the decode part: slow machines prefill, too
constexpr double step_budgets = 1.2; // that a step may take, decoding included
constexpr double waiting_weight = 2.0;
constexpr double long_backlog_budgets = 100.0;
constexpr double most_for_short = 5.0;
constexpr double most_budgets = 8.0;      // that a share may take
constexpr double most_step_budgets = 2.0; // that a step may take where one prompt waits
constexpr uint64_t oldest_first_every = 4;

void blend(double &average, double sample) {
    average = average == 0.0 ? sample : average + smoothing * (sample - average);
}

} // namespace

PrefillPlanner::PrefillPlanner(int32_t budget_ms, int32_t n_batch)
    : budget_ms_(budget_ms), n_batch_(n_batch), fresh_tokens_per_ms_(first_tokens_per_ms),
      alone_tokens_per_ms_(first_tokens_per_ms) {}

double PrefillPlanner::decode_ms(int32_t n_decoding) const {
    if (n_decoding <= 0) {
        return 0.0;
    }
    // Where this count was not measured yet, the nearest one that was, scaled.
    const auto wanted = static_cast<size_t>(n_decoding);
    size_t nearest = 0;
    for (size_t n = 1; n < decode_ms_.size(); n++) {
        const auto distance = [wanted](size_t count) {
            return count > wanted ? count - wanted : wanted - count;
        };
        if (decode_ms_[n] > 0.0 && (nearest == 0 || distance(n) < distance(nearest))) {
            nearest = n;
        }
    }
    if (nearest == 0) {
        return 0.0;
    }
    const double times = static_cast<double>(wanted) / static_cast<double>(nearest);
    return decode_ms_[nearest] * std::pow(times, batch_exponent);
}

double PrefillPlanner::available_ms(int32_t n_decoding,
                                    const std::vector<PrefillDemand> &demands) const {
    if (n_decoding == 0) {
        return budget_ms_ * most_budgets;
    }
    const double decoding_ms = decode_ms(n_decoding);
    const double base_ms =
        std::max(std::min<double>(budget_ms_, step_budgets * budget_ms_ - decoding_ms),
                 decoding_ms * least_share);
    const int32_t n_waiting = count_waiting(demands);
    const double crowd = std::max(waiting_weight * (n_waiting - 1) / n_decoding, 1.0);
    const double grown_ms = base_ms * std::min(crowd * for_short_prompts(demands), most_budgets);
    const double lone_ms = std::max(most_step_budgets * budget_ms_ - decoding_ms, base_ms);
    return n_waiting > 1 ? grown_ms : std::min(grown_ms, lone_ms);
}

int32_t PrefillPlanner::count_waiting(const std::vector<PrefillDemand> &demands) {
    return std::accumulate(
        demands.begin(), demands.end(), 0,
        [](int32_t sum, const PrefillDemand &demand) { return sum + 1 + demand.n_behind; });
}

double PrefillPlanner::for_short_prompts(const std::vector<PrefillDemand> &demands) const {
    double n_tokens = 0.0;
    for (const auto &demand : demands) {
        n_tokens += demand.n_whole;
    }
    const double tokens_per_ms = prefill_tokens_per_s() / 1000.0;
    const double allowed_tokens = long_backlog_budgets * budget_ms_ * tokens_per_ms;
    return std::clamp(allowed_tokens / std::max(n_tokens, 1.0), 1.0, most_for_short);
}

double &PrefillPlanner::tokens_per_ms(int32_t n_decoding, const PrefillDemand &demand) {
    if (n_decoding == 0) {
        return alone_tokens_per_ms_;
    }
    const auto slot = static_cast<size_t>(demand.slot);
    if (paces_.size() <= slot) {
        paces_.resize(slot + 1, {UINT64_MAX, 0.0});
    }
    Pace &pace = paces_[slot];
    if (pace.arrival != demand.arrival) {
        pace = {demand.arrival, fresh_tokens_per_ms_};
    }
    return pace.tokens_per_ms;
}

std::vector<PrefillShare> PrefillPlanner::plan(int32_t n_decoding,
                                               std::vector<PrefillDemand> demands) {
    std::vector<PrefillShare> shares;
    if (demands.empty()) {
        return shares;
    }
    std::sort(demands.begin(), demands.end(), [](const PrefillDemand &a, const PrefillDemand &b) {
        return a.n_next() != b.n_next() ? a.n_next() < b.n_next() : a.arrival < b.arrival;
    });
    if (++n_plans_ % oldest_first_every == 0) {
        const auto oldest = std::min_element(
            demands.begin(), demands.end(),
            [](const PrefillDemand &a, const PrefillDemand &b) { return a.arrival < b.arrival; });
        std::rotate(demands.begin(), oldest, oldest + 1);
    }
    planned_ = {available_ms(n_decoding, demands), 0, false, {}};
    int32_t room = n_batch_ - n_decoding;
    double left_ms = planned_.available_ms;
    for (const auto &demand : demands) {
        const double pace = tokens_per_ms(n_decoding, demand);
        const int32_t least = !shares.empty()  ? 0
                              : n_decoding > 0 ? least_mixed_tokens
                                               : least_alone_tokens;
        const auto affordable = static_cast<int32_t>(std::min<double>(left_ms * pace, n_batch_));
        const int32_t n_tokens = std::min({demand.n_remaining, std::max(affordable, least), room});
        planned_.filled = n_tokens < demand.n_remaining;
        if (n_tokens <= 0 ||
            (planned_.filled && !shares.empty() && n_tokens < least_further_tokens)) {
            break;
        }
        shares.push_back({demand.slot, n_tokens});
        planned_.demands.push_back(demand);
        planned_.n_tokens += n_tokens;
        room -= n_tokens;
        left_ms = std::max(left_ms - n_tokens / pace, 0.0);
    }
    return shares;
}

void PrefillPlanner::observe(int32_t n_decoding, int32_t n_prefill, double elapsed_ms) {
    if (n_prefill == 0) {
        if (n_decoding > 0) {
            if (decode_ms_.size() <= static_cast<size_t>(n_decoding)) {
                decode_ms_.resize(static_cast<size_t>(n_decoding) + 1, 0.0);
            }
            blend(decode_ms_[static_cast<size_t>(n_decoding)], elapsed_ms);
        }
        return;
    }
    const double decoding_ms = decode_ms(n_decoding);
    const double prefill_ms = n_decoding > 0 && decoding_ms == 0.0
                                  ? elapsed_ms * n_prefill / (n_prefill + n_decoding)
                                  : std::max(elapsed_ms - decoding_ms, elapsed_ms * 0.1);
    recent_tokens_ = recent_tokens_ * speed_decay + n_prefill;
    recent_ms_ = recent_ms_ * speed_decay + prefill_ms;
    const double change =
        std::clamp(planned_.available_ms / prefill_ms, most_shrinking, most_growth);
    // A step that was not filled tells nothing about a larger one.
    if (change >= 1.0 && (!planned_.filled || n_prefill < planned_.n_tokens)) {
        return;
    }
    const double least =
        (n_decoding > 0 ? least_mixed_tokens : least_alone_tokens) / planned_.available_ms;
    const double most = std::max(n_batch_ / planned_.available_ms, least);
    for (const auto &demand : planned_.demands) {
        double &pace = tokens_per_ms(n_decoding, demand);
        pace = std::clamp(pace * change, least, most);
        if (n_decoding > 0 && demand.n_remaining == demand.n_whole) {
            fresh_tokens_per_ms_ = pace;
        }
        if (n_decoding == 0) {
            break; // one pace for all
        }
    }
}

double PrefillPlanner::prefill_tokens_per_s() const {
    return recent_ms_ > 0.0 ? recent_tokens_ * 1000.0 / recent_ms_ : 0.0;
}

} // namespace paddler
