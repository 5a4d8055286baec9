// A request on its slot: how far it has come, and what its tokens mean.
//
// Decode thread only. Knows tokens, text and counts; knows neither the KV
// cache nor events.
#pragma once

#include "platform/clock.h"
#include "platform/errors.h"
#include "sampling/text_pipeline.h"
#include "slots/request.h"

#include "llama.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace paddler {

// What tokens come to for a client.
struct Output {
    int32_t token_class = class_content; // of the last token
    std::vector<TextSegment> segments;   // text that became certain
    std::string raw;                     // text as the model wrote it, if the request wants it
};

// Requests that wait for what this one prefills.
struct Behind {
    int32_t n_requests = 0;
    int32_t n_tokens = INT32_MAX; // until the first of them can go on
};

struct Generation {
    // n_before: requests that started earlier.
    Generation(std::unique_ptr<Request> accepted, int32_t n_cached, uint64_t n_before,
               Clock::time_point now);

    // Takes a generated token into text, sampler and counts; what comes of it
    // is added to the output. Throws Failure PDL_GRAMMAR_DEAD_END.
    void take(llama_token token, const llama_vocab *vocab, Output &output);

    // Takes the tokens that another engine generated, so that text and grammar
    // are where they were there; the output is what the client lacks. A
    // failure is kept in replay_failure, and the output is empty.
    Output replay(const llama_vocab *vocab);

    // Text that was held back; nothing is generated any more.
    Output finish();

    // Why it is over after the tokens so far.
    std::optional<pdl_end_reason> end_reason() const;

    // Puts generated tokens whose class was open into one.
    void count_undecided(int32_t token_class);

    std::unique_ptr<Request> request;
    TextPipeline text;
    uint64_t arrival;     // smaller: started earlier
    Behind behind;        // as of this step
    int32_t n_to_prefill; // when it started
    Clock::time_point started;
    Clock::time_point prefilled; // when the prompt was done
    bool decoding = false;       // the prompt is done; `next` waits to be decoded
    llama_token next = LLAMA_TOKEN_NULL;
    int32_t n_generated = 0;
    int32_t n_by_class[n_classes] = {};
    int32_t n_undecided = 0;                 // generated tokens that are in no class yet
    std::unique_ptr<Failure> replay_failure; // ends it once the prompt is done
};

} // namespace paddler
