#include "prefill_planner.h"

#include <algorithm>

namespace paddler {

namespace {

constexpr double smoothing = 0.2;
constexpr int32_t first_guess_mixed = 16;  // tokens, before anything was measured
constexpr int32_t first_guess_alone = 64;
constexpr int32_t least_tokens = 4;        // below, a batch's fixed cost dominates
constexpr double least_share = 0.5;        // of the decode part: slow machines prefill, too
constexpr double alone_factor = 8.0;       // a batch without decoding slots may take this many budgets
constexpr uint64_t oldest_first_every = 4;

void blend(double &average, double sample) {
    average = average == 0.0 ? sample : average + smoothing * (sample - average);
}

} // namespace

PrefillPlanner::PrefillPlanner(int32_t budget_ms, int32_t n_batch)
    : budget_ms_(budget_ms), n_batch_(n_batch) {}

double PrefillPlanner::decode_ms(int32_t n_decoding) const {
    if (n_decoding <= 0) {
        return 0.0;
    }
    // The nearest smaller count that was measured: an underestimate at worst
    // by the slots that joined since.
    for (size_t n = std::min<size_t>(static_cast<size_t>(n_decoding) + 1, decode_ms_.size()); n-- > 0;) {
        if (decode_ms_[n] > 0.0) {
            return decode_ms_[n];
        }
    }
    return 0.0;
}

int32_t PrefillPlanner::allowance(int32_t n_decoding) const {
    const int32_t room = n_batch_ - n_decoding;
    if (ms_per_prefill_token_ == 0.0) {
        return std::min(room, n_decoding > 0 ? first_guess_mixed : first_guess_alone);
    }
    double available_ms = budget_ms_ * alone_factor;
    if (n_decoding > 0) {
        const double decoding_ms = decode_ms(n_decoding);
        available_ms = std::min<double>(budget_ms_, 2.0 * budget_ms_ - decoding_ms);
        available_ms = std::max(available_ms, decoding_ms * least_share);
    }
    const auto n_tokens = static_cast<int32_t>(std::min(available_ms / ms_per_prefill_token_, 1e6));
    return std::min(room, std::max(n_tokens, least_tokens));
}

std::vector<PrefillShare> PrefillPlanner::plan(int32_t n_decoding, std::vector<PrefillDemand> demands) {
    std::vector<PrefillShare> shares;
    if (demands.empty()) {
        return shares;
    }
    std::sort(demands.begin(), demands.end(), [](const PrefillDemand &a, const PrefillDemand &b) {
        return a.n_remaining != b.n_remaining ? a.n_remaining < b.n_remaining : a.arrival < b.arrival;
    });
    if (++n_plans_ % oldest_first_every == 0) {
        const auto oldest = std::min_element(
            demands.begin(), demands.end(),
            [](const PrefillDemand &a, const PrefillDemand &b) { return a.arrival < b.arrival; });
        std::rotate(demands.begin(), oldest, oldest + 1);
    }
    int32_t left = allowance(n_decoding);
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
    // Tiny shares say more about a batch's fixed cost than about prefill speed.
    if (n_prefill < least_tokens && ms_per_prefill_token_ > 0.0) {
        return;
    }
    const double prefill_ms = std::max(elapsed_ms - decode_ms(n_decoding), elapsed_ms * 0.1);
    blend(ms_per_prefill_token_, prefill_ms / n_prefill);
}

double PrefillPlanner::prefill_tokens_per_s() const {
    return ms_per_prefill_token_ > 0.0 ? 1000.0 / ms_per_prefill_token_ : 0.0;
}

} // namespace paddler
