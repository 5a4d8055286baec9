#include "platform/log_ring.h"

#include "llama.h"
#include "log.h"

#include <algorithm>
#include <deque>
#include <mutex>

namespace paddler {

namespace {

constexpr size_t capacity_lines = 4096;
constexpr size_t max_captured_bytes = 4096;

struct Line {
    int32_t level;
    std::string text;
};

struct Ring {
    std::mutex mutex;
    std::deque<Line> lines;
    std::string unfinished;
    int32_t unfinished_level = GGML_LOG_LEVEL_INFO;
    int64_t n_lost = 0;
};

// Never destroyed: llama.cpp may log until the process is gone.
Ring &ring() {
    static Ring *const instance = new Ring();
    return *instance;
}

thread_local std::string *captured = nullptr;
thread_local const std::atomic<bool> *quiet = nullptr;

void store(Ring &target, int32_t level, std::string text) {
    if (target.lines.size() >= capacity_lines) {
        target.lines.pop_front();
        target.n_lost++;
    }
    target.lines.push_back({level, std::move(text)});
}

void on_log(ggml_log_level level, const char *text, void *) {
    if (quiet != nullptr && *quiet && level != GGML_LOG_LEVEL_CONT) {
        level = GGML_LOG_LEVEL_DEBUG;
    }
    if (captured != nullptr && (level == GGML_LOG_LEVEL_WARN || level == GGML_LOG_LEVEL_ERROR) &&
        captured->size() < max_captured_bytes) {
        captured->append(text);
    }
    // Whoever captures reports the failure itself, as an error of the request.
    if (captured != nullptr && level == GGML_LOG_LEVEL_ERROR) {
        level = GGML_LOG_LEVEL_DEBUG;
    }
    Ring &target = ring();
    const std::lock_guard<std::mutex> lock(target.mutex);
    if (level != GGML_LOG_LEVEL_CONT) {
        if (!target.unfinished.empty()) {
            store(target, target.unfinished_level, std::move(target.unfinished));
            target.unfinished.clear();
        }
        target.unfinished_level = level;
    }
    target.unfinished.append(text);
    for (size_t end = 0; (end = target.unfinished.find('\n')) != std::string::npos;) {
        store(target, target.unfinished_level, target.unfinished.substr(0, end));
        target.unfinished.erase(0, end + 1);
    }
}

} // namespace

void start_log_ring() {
    static std::once_flag once;
    std::call_once(once, [] {
        ring();
        llama_log_set(on_log, nullptr);
        // What llama-common logs has a logger of its own.
        common_log_pause(common_log_main());
    });
}

int32_t take_log_line(char *text, int32_t capacity, int32_t *level, int64_t *n_lost) {
    Ring &source = ring();
    const std::lock_guard<std::mutex> lock(source.mutex);
    *n_lost = source.n_lost;
    if (source.lines.empty()) {
        return -1;
    }
    const Line line = std::move(source.lines.front());
    source.lines.pop_front();
    *level = line.level;
    return static_cast<int32_t>(line.text.copy(text, static_cast<size_t>(std::max(capacity, 0))));
}

QuietWhenExpected::QuietWhenExpected(const std::atomic<bool> &expected) {
    quiet = &expected;
}

QuietWhenExpected::~QuietWhenExpected() {
    quiet = nullptr;
}

LogCapture::LogCapture() : outer_(captured) {
    captured = &captured_;
}

LogCapture::~LogCapture() {
    captured = outer_;
}

std::string LogCapture::text() const {
    std::string line = captured_;
    std::replace(line.begin(), line.end(), '\n', ' ');
    while (!line.empty() && line.back() == ' ') {
        line.pop_back();
    }
    return line;
}

} // namespace paddler
