// llama.cpp's log, kept for whoever drains it.
//
// One ring per process, as llama_log_set is process-wide. Bounded: the oldest
// lines are lost and counted.
#pragma once

#include <cstdint>
#include <string>

namespace paddler {

// Installs the callback once.
void start_log_ring();

int32_t log_ring_fd();
int32_t take_log_line(char *text, int32_t capacity, int32_t *level, int64_t *n_lost);

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
