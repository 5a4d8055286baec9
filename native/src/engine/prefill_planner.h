// How many prompt tokens go into the next batch, and whose.
//
// Pure arithmetic over measured times; knows neither llama.cpp nor slots.
// In a step that also decodes, the prefill part gets `budget_ms`, and the whole
// step a fifth more; where decoding alone takes most of it,
// prefill still gets half as much time as decoding, as a busy machine must not
// stop taking new requests. A step that only prefills may take longer, so that
// a newcomer is not kept waiting, but its share still ends after eight budgets.
//
// Every step that decodes a few slots costs nearly as much as one that decodes
// many: small shares keep prompts waiting and few slots decoding. They are worth
// it where prefill goes on for long. So the prefill part grows, together up to
// eight times,
// - in a crowd: who waits for a first token behind another prompt counts twice
//   as much as who waits for the next token;
// - for short prompts, up to five times: the less all that is being prefilled
//   takes as a whole, the fewer pauses are made of it. From a hundred budgets on
//   there is no such growth.
// A prompt that waits alone is nobody's crowd: for it a step stays within two
// budgets. One whose beginning others wait for counts for all of them, and as
// short as what they wait for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace paddler {

struct PrefillDemand {
    int32_t slot = 0;
    int32_t n_remaining = 0;       // prompt tokens still to decode
    int32_t n_whole = 0;           // and when the request started
    uint64_t arrival = 0;          // smaller: came earlier
    int32_t n_behind = 0;          // requests that wait for its beginning
    int32_t n_awaited = INT32_MAX; // tokens until the first of them can go on

    // Who it is as short as.
    int32_t n_next() const { return n_remaining < n_awaited ? n_remaining : n_awaited; }
};

struct PrefillShare {
    int32_t slot;
    int32_t n_tokens;
};

class PrefillPlanner {
public:
    PrefillPlanner(int32_t budget_ms, int32_t n_batch);

    // Shares for a batch that already holds n_decoding tokens. Shortest
    // remaining prompt first, which gives the lowest mean time to first token;
    // every fourth batch begins with the oldest, so that none starves.
    std::vector<PrefillShare> plan(int32_t n_decoding, std::vector<PrefillDemand> demands);

    // What the batch planned last took.
    void observe(int32_t n_decoding, int32_t n_prefill, double elapsed_ms);

    // Moving average; 0 before the first prefill.
    double prefill_tokens_per_s() const;

private:
    double available_ms(int32_t n_decoding, const std::vector<PrefillDemand> &demands) const;
    static int32_t count_waiting(const std::vector<PrefillDemand> &demands);
    double for_short_prompts(const std::vector<PrefillDemand> &demands) const;
    double decode_ms(int32_t n_decoding) const;

    struct Plan {
        double available_ms;
        int32_t n_tokens;
        bool filled;                        // more would have been taken
        std::vector<PrefillDemand> demands; // that got a share
    };

    struct Pace {
        uint64_t arrival; // whose it is
        double tokens_per_ms;
    };

    // The pace that a prompt's next share is sized with.
    double &tokens_per_ms(int32_t n_decoding, const PrefillDemand &demand);

    int32_t budget_ms_;
    int32_t n_batch_;
    uint64_t n_plans_ = 0;
    Plan planned_{}; // the last one
    // Paces are grown and shrunk until a share takes the time that is available,
    // so that a step's fixed cost is never taken for a cost per token. Beside
    // decoding slots every prompt has its own: the further it has come, the
    // more a token costs.
    std::vector<Pace> paces_;    // by slot
    double fresh_tokens_per_ms_; // of a prompt's first share
    double alone_tokens_per_ms_; // where nothing decodes
    double recent_tokens_ = 0.0; // decaying sums: their ratio is the speed
    double recent_ms_ = 0.0;
    std::vector<double> decode_ms_; // by number of decoding slots, 0: not measured
};

} // namespace paddler
