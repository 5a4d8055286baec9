#include "prefill_planner.h"

#include <algorithm>
#include <cmath>

namespace paddler {

namespace {

constexpr double smoothing = 0.2;
constexpr double first_tokens_per_ms = 0.25; // before anything was measured
constexpr double least_mixed_tokens = 4.0;
constexpr double least_alone_tokens = 32.0;
constexpr double most_growth = 2.0; // of a share, from one step to the next
constexpr double most_shrinking = 0.5;
constexpr double batch_exponent = 0.7; // how decoding n slots at once grows with n
constexpr double speed_decay = 0.9;
constexpr double least_share = 0.5;  // of the decode part: slow machines prefill, too
constexpr double step_budgets = 1.5; // that a batch may take, decoding included
constexpr double waiting_weight = 2.0;
constexpr double long_backlog_budgets = 100.0;
constexpr double most_for_short = 5.0; // budgets
constexpr double most_budgets = 8.0;
constexpr uint64_t oldest_first_every = 4;

void blend(double &average, double sample) {
    average = average == 0.0 ? sample : average + smoothing * (sample - average);
}

} // namespace

PrefillPlanner::PrefillPlanner(int32_t budget_ms, int32_t n_batch)
    : budget_ms_(budget_ms), n_batch_(n_batch), mixed_tokens_per_ms_(first_tokens_per_ms),
      alone_tokens_per_ms_(first_tokens_per_ms) {}

double PrefillPlanner::decode_ms(int32_t n_decoding) const {
    if (n_decoding <= 0) {
        return 0.0;
    }
    // Where this count was not measured yet, the nearest one that was, scaled.
    const auto wanted = static_cast<size_t>(n_decoding);
    size_t nearest = 0;
    for (size_t n = 1; n < decode_ms_.size(); n++) {
        const auto distance = [wanted](size_t count) { return count > wanted ? count - wanted : wanted - count; };
        if (decode_ms_[n] > 0.0 && (nearest == 0 || distance(n) < distance(nearest))) {
            nearest = n;
        }
    }
    return nearest == 0 ? 0.0 : decode_ms_[nearest] * std::pow(static_cast<double>(wanted) / nearest, batch_exponent);
}

double PrefillPlanner::available_ms(int32_t n_decoding, const std::vector<PrefillDemand> &demands) const {
    if (n_decoding == 0) {
        return budget_ms_ * most_budgets;
    }
    const double decoding_ms = decode_ms(n_decoding);
    const double base_ms = std::max(std::min<double>(budget_ms_, step_budgets * budget_ms_ - decoding_ms),
                                    decoding_ms * least_share);
    const double crowd = std::max(waiting_weight * static_cast<double>(demands.size()) / n_decoding, 1.0);
    return base_ms * std::min(crowd * for_short_prompts(demands), most_budgets);
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

std::vector<PrefillShare> PrefillPlanner::plan(int32_t n_decoding, std::vector<PrefillDemand> demands) {
    std::vector<PrefillShare> shares;
    if (demands.empty()) {
        return shares;
    }
    const double tokens_per_ms = n_decoding > 0 ? mixed_tokens_per_ms_ : alone_tokens_per_ms_;
    const double least = n_decoding > 0 ? least_mixed_tokens : least_alone_tokens;
    planned_.available_ms = available_ms(n_decoding, demands);
    planned_.n_allowed = static_cast<int32_t>(std::max(tokens_per_ms * planned_.available_ms, least));
    planned_.n_allowed = std::min(planned_.n_allowed, n_batch_ - n_decoding);
    std::sort(demands.begin(), demands.end(), [](const PrefillDemand &a, const PrefillDemand &b) {
        return a.n_remaining != b.n_remaining ? a.n_remaining < b.n_remaining : a.arrival < b.arrival;
    });
    if (++n_plans_ % oldest_first_every == 0) {
        const auto oldest = std::min_element(
            demands.begin(), demands.end(),
            [](const PrefillDemand &a, const PrefillDemand &b) { return a.arrival < b.arrival; });
        std::rotate(demands.begin(), oldest, oldest + 1);
    }
    int32_t left = planned_.n_allowed;
    for (const auto &demand : demands) {
        if (left <= 0) {
            break;
        }
        const int32_t n_tokens = std::min(demand.n_remaining, left);
        shares.push_back({demand.slot, n_tokens});
        left -= n_tokens;
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
    double &tokens_per_ms = n_decoding > 0 ? mixed_tokens_per_ms_ : alone_tokens_per_ms_;
    const double change = std::clamp(planned_.available_ms / prefill_ms, most_shrinking, most_growth);
    // A step that was not filled tells nothing about a larger one.
    if (change < 1.0 || n_prefill >= planned_.n_allowed) {
        const double least = n_decoding > 0 ? least_mixed_tokens : least_alone_tokens;
        tokens_per_ms = std::clamp(tokens_per_ms * change, least / planned_.available_ms,
                                   static_cast<double>(n_batch_) / planned_.available_ms);
    }
}

double PrefillPlanner::prefill_tokens_per_s() const {
    return recent_ms_ > 0.0 ? recent_tokens_ * 1000.0 / recent_ms_ : 0.0;
}

} // namespace paddler
