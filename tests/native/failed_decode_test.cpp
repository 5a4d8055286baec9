// What a failed llama_decode leaves: requests of that batch end with an error
// or go on from what is proven, and whatever is reused afterwards equals what an
// engine computes that never failed. Takes model files.
//
// The linker sends the engine's calls of llama_decode here (--wrap).
#include "check.h"
#include "paddler_engine.h"

#include "llama.h"

#include <atomic>
#include <cmath>
#include <cstdint>
#include <map>
#include <poll.h>
#include <vector>

namespace {

enum class Fault { none, refused, after_computing, threw };
enum class When { next, decoding, neighbours };

std::atomic<int32_t> fault_code{0};
std::atomic<When> when{When::next};
std::atomic<Fault> fault{Fault::none};
std::atomic<int> n_decoded{0};     // batches of one token
std::atomic<int> n_padded{0};      // batches with a row of padding
constexpr llama_token padding = 0; // as the engine pads; no prompt here has it

bool is_time(const llama_batch &batch) {
    std::map<llama_seq_id, llama_token> rows;
    for (int32_t i = 0; i < batch.n_tokens; i++) {
        rows[batch.seq_id[i][0]] = batch.token[i];
    }
    const bool is_padded = rows.count(1) != 0 && rows[1] == padding;
    n_padded += is_padded ? 1 : 0;
    switch (when.load()) {
    case When::next:
        return true;
    case When::decoding:
        n_decoded += batch.n_tokens == 1 ? 1 : 0;
        return n_decoded > 5;
    case When::neighbours: // the middle slot is free
        return rows.count(0) != 0 && rows.count(2) != 0 && (rows.count(1) == 0 || is_padded);
    }
    return false;
}

} // namespace

// NOLINTBEGIN(bugprone-reserved-identifier, readability-identifier-naming): the linker's names
extern "C" {
int32_t __real_llama_decode(llama_context *context, llama_batch batch);
int32_t __wrap_llama_decode(llama_context *context, llama_batch batch);

int32_t __wrap_llama_decode(llama_context *context, llama_batch batch) {
    const bool now = is_time(batch);
    if (fault == Fault::none || !now) {
        return __real_llama_decode(context, batch);
    }
    const Fault how = fault.exchange(Fault::none); // once
    if (how == Fault::threw) {
        throw std::bad_alloc();
    }
    if (how == Fault::after_computing) {
        __real_llama_decode(context, batch);
    }
    return fault_code;
}
}
// NOLINTEND(bugprone-reserved-identifier, readability-identifier-naming)

namespace {

using Tokens = std::vector<int32_t>;

constexpr int32_t n_logprobs = 8;
// Another batch shape rounds differently; another state is off by more than one.
constexpr float tolerance = 0.08f;

struct Answer {
    Tokens tokens;
    std::vector<std::map<int32_t, float>> logprobs; // of the likeliest, per token
    int32_t n_cached = 0;
    int32_t end_reason = -1; // -1: runs
    int32_t status = 0;
};

class Driver {
public:
    explicit Driver(pdl_model *model, bool reuse = true) {
        pdl_engine_params params{};
        params.n_slots = 3;
        params.n_ctx_slot = 512;
        params.n_batch = 256;
        // ggml's own threads are not instrumented and would look like races.
        params.n_threads = 1;
        params.type_k = params.type_v = 0; // F32
        params.prefill_budget_ms = 50;
        params.prefix_wait_ms = 1000;
        params.reuse_cache = reuse ? 1 : 0;
        params.n_checkpoints = 4;
        params.prompt_cache_bytes = 0;
        pdl_error error;
        CHECK(pdl_engine_open(model, &params, &engine_, &error) == PDL_OK);
    }
    ~Driver() { pdl_engine_close(engine_); }
    Driver(const Driver &) = delete;
    Driver &operator=(const Driver &) = delete;

    uint64_t start(const Tokens &prompt, int32_t max_tokens) {
        pdl_request request{};
        request.id = ++last_id_;
        request.tokens = prompt.data();
        request.n_tokens = static_cast<int32_t>(prompt.size());
        request.max_tokens = max_tokens;
        request.ignore_end = 1;
        request.sampling.top_p = request.sampling.penalty_repeat = 1.0f; // greedy
        request.sampling.n_logprobs = n_logprobs;
        pdl_error error;
        CHECK(pdl_engine_submit(engine_, &request, &error) == PDL_OK);
        return last_id_;
    }

    const Answer &until_tokens(uint64_t id, size_t n_tokens) {
        while (answers_[id].end_reason < 0 && answers_[id].tokens.size() < n_tokens) {
            drain();
        }
        return answers_[id];
    }

    const Answer &until_end(uint64_t id) { return until_tokens(id, SIZE_MAX); }

    Answer ask(const Tokens &prompt, int32_t max_tokens) {
        return until_end(start(prompt, max_tokens));
    }

    void cancel(uint64_t id) {
        pdl_engine_cancel(engine_, id);
        until_end(id);
    }

private:
    void drain() {
        pollfd waiting = {pdl_engine_event_fd(engine_), POLLIN, 0};
        poll(&waiting, 1, 50);
        pdl_event events[64];
        char text[4096];
        std::vector<pdl_logprob> logprobs(size_t{64} * (n_logprobs + 1));
        pdl_drained drained;
        pdl_engine_drain(engine_, events, 64, text, sizeof text, logprobs.data(),
                         static_cast<int32_t>(logprobs.size()), &drained);
        for (int32_t i = 0; i < drained.n_events; i++) {
            Answer &answer = answers_[events[i].id];
            if (events[i].kind == PDL_EVENT_STARTED) {
                answer.n_cached = events[i].n_cached;
            } else if (events[i].kind == PDL_EVENT_TOKEN && events[i].token >= 0) {
                answer.tokens.push_back(events[i].token);
                auto &likeliest = answer.logprobs.emplace_back();
                for (int32_t k = 0; k < events[i].n_logprobs; k++) {
                    const pdl_logprob &entry =
                        logprobs[static_cast<size_t>(events[i].logprobs_offset) +
                                 static_cast<size_t>(k)];
                    likeliest[entry.token] = entry.logprob;
                }
            } else if (events[i].kind == PDL_EVENT_END) {
                answer.end_reason = events[i].end_reason;
                answer.status = events[i].status;
            }
        }
    }

    pdl_engine *engine_ = nullptr;
    uint64_t last_id_ = 0;
    std::map<uint64_t, Answer> answers_;
};

Tokens prompt_of(int32_t seed, size_t n_tokens) {
    Tokens tokens(n_tokens);
    uint32_t state = static_cast<uint32_t>(seed) * 2654435761u + 1;
    for (auto &token : tokens) {
        state = state * 1664525u + 1013904223u;
        token = 40 + static_cast<int32_t>((state >> 16) % 50);
    }
    return tokens;
}

Tokens followed_by(Tokens first, const Tokens &second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
}

void fail_once(When at, Fault how, int32_t code) {
    fault_code = code;
    n_decoded = 0;
    when = at;
    fault = how;
}

// Up to the first near tie, which may fall either way.
bool is_same(const Answer &answer, const Answer &wanted) {
    CHECK(answer.tokens.size() == wanted.tokens.size());
    for (size_t i = 0; i < wanted.tokens.size(); i++) {
        const auto &theirs = wanted.logprobs[i];
        const auto &ours = answer.logprobs[i];
        const auto chosen = theirs.find(answer.tokens[i]);
        if (chosen == theirs.end() || theirs.at(wanted.tokens[i]) - chosen->second > tolerance ||
            std::abs(ours.at(answer.tokens[i]) - chosen->second) > tolerance) {
            return false;
        }
        if (answer.tokens[i] != wanted.tokens[i]) {
            break;
        }
    }
    return true;
}

// A request's answer that is right whatever happened before.
void check_turn(Driver &driver, Driver &reference, const Tokens &prompt) {
    const Answer wanted = reference.ask(prompt, 8);
    const Answer answer = driver.ask(prompt, 8);
    CHECK(wanted.tokens.size() == 8);
    CHECK(answer.end_reason == PDL_END_MAX_TOKENS);
    CHECK(is_same(answer, wanted));
}

void test_a_generation_that_fails(pdl_model *model, Driver &reference, Fault how) {
    Driver driver(model);
    const Tokens prompt = prompt_of(1, 90);
    fail_once(When::decoding, how, -3);
    const Answer failed = driver.ask(prompt, 300);
    CHECK(failed.end_reason == PDL_END_ERROR);
    CHECK(failed.status == PDL_DECODE_FAILED);
    // Nothing of the failed slot is trusted.
    const Tokens next = followed_by(followed_by(prompt, failed.tokens), prompt_of(2, 20));
    const Answer after = driver.ask(next, 1);
    CHECK(after.n_cached == 0);
    check_turn(driver, reference, followed_by(next, prompt_of(3, 20)));
}

void test_a_prompt_that_fails(pdl_model *model, Driver &reference, Fault how) {
    Driver driver(model);
    const Tokens prompt = prompt_of(4, 120);
    fail_once(When::next, how, -3);
    const Answer failed = driver.ask(prompt, 4);
    CHECK(failed.end_reason == PDL_END_ERROR);
    CHECK(failed.tokens.empty());
    check_turn(driver, reference, prompt);
}

// Two long generations, and a short one in the slot between them.
struct Neighbours {
    uint64_t first;
    uint64_t middle;
    uint64_t last;
};

Neighbours start_neighbours(Driver &driver, const Tokens &middle) {
    const uint64_t first = driver.start(prompt_of(5, 40), 400);
    const uint64_t second = driver.start(middle, 6);
    return {first, second, driver.start(prompt_of(7, 40), 400)};
}

// The middle slot keeps a conversation when the batch of its neighbours fails,
// in which it may have been computed along.
void test_a_bystander(pdl_model *model, Driver &reference, Fault how) {
    Driver driver(model);
    const Tokens prompt = prompt_of(6, 80);
    fail_once(When::neighbours, how, -3);
    const auto [first, middle, last] = start_neighbours(driver, prompt);
    const Answer held = driver.until_end(middle);
    CHECK(driver.until_end(first).status == PDL_DECODE_FAILED);
    CHECK(driver.until_end(last).status == PDL_DECODE_FAILED);
    check_turn(driver, reference, followed_by(followed_by(prompt, held.tokens), prompt_of(8, 20)));
}

// Between two that decode, a slot that holds a conversation is computed along
// for many steps, and the conversation goes on with all it had.
void test_padding_leaves_no_trace(pdl_model *model, Driver &reference) {
    Driver driver(model);
    n_padded = 0;
    const Tokens prompt = prompt_of(10, 80);
    const auto [first, middle, last] = start_neighbours(driver, prompt);
    const Answer held = driver.until_end(middle);
    driver.until_tokens(last, 60);
    driver.cancel(first);
    driver.cancel(last);
    CHECK(driver.until_end(first).end_reason != PDL_END_ERROR);
    CHECK(driver.until_end(last).end_reason != PDL_END_ERROR);
    pdl_model_info info;
    pdl_model_get_info(model, &info);
    CHECK((n_padded > 0) == (info.is_recurrent == 0 && info.is_hybrid == 0));
    const Tokens next = followed_by(followed_by(prompt, held.tokens), prompt_of(12, 20));
    const Answer wanted = reference.ask(next, 8);
    const Answer answer = driver.ask(next, 8);
    // The last token was never decoded.
    CHECK(answer.n_cached == static_cast<int32_t>(prompt.size() + held.tokens.size()) - 1);
    CHECK(is_same(answer, wanted));
}

// llama.cpp was stopped in the middle (code 2): the prompt goes on from what
// is proven.
void test_an_interrupted_prompt(pdl_model *model, Driver &reference, Fault how) {
    Driver driver(model);
    const Tokens prompt = prompt_of(13, 120);
    const Answer wanted = reference.ask(prompt, 8);
    fail_once(When::next, how, 2);
    const Answer answer = driver.ask(prompt, 8);
    CHECK(answer.end_reason == PDL_END_MAX_TOKENS);
    CHECK(is_same(answer, wanted));
}

void test_model(const char *path) {
    pdl_model_params params{};
    params.path = path;
    params.use_mmap = 1;
    pdl_model *model = nullptr;
    pdl_error error;
    CHECK(pdl_model_load(&params, nullptr, &model, &error) == PDL_OK);
    {
        Driver reference(model, false);
        test_padding_leaves_no_trace(model, reference);
        for (const Fault how : {Fault::refused, Fault::after_computing, Fault::threw}) {
            test_a_generation_that_fails(model, reference, how);
            test_a_prompt_that_fails(model, reference, how);
            test_a_bystander(model, reference, how);
        }
        test_an_interrupted_prompt(model, reference, Fault::refused);
        test_an_interrupted_prompt(model, reference, Fault::after_computing);
    }
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
