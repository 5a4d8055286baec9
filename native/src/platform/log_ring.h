// llama.cpp's log, kept for whoever drains it.
//
// One ring per process, as llama_log_set is process-wide. Bounded: the oldest
// lines are lost and counted.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace paddler {

// Installs the callback once.
void start_log_ring();

// -1: none waits.
int32_t take_log_line(char *text, int32_t capacity, int32_t *level, int64_t *n_lost);

// While it lives, what this thread logs counts as debug once `expected` is
// true: llama.cpp calls an aborted batch an error.
class QuietWhenExpected {
public:
    explicit QuietWhenExpected(const std::atomic<bool> &expected);
    ~QuietWhenExpected();
    QuietWhenExpected(const QuietWhenExpected &) = delete;
    QuietWhenExpected &operator=(const QuietWhenExpected &) = delete;
};

// Collects what this thread logs while it lives, besides the ring: some of
// llama.cpp's functions give their reasons nowhere else.
class LogCapture {
public:
    LogCapture();
    ~LogCapture();
    LogCapture(const LogCapture &) = delete;
    LogCapture &operator=(const LogCapture &) = delete;

    // Warnings and errors, in one line.
    std::string text() const;

private:
    std::string captured_;
    std::string *outer_;
};

} // namespace paddler
