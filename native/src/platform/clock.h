// The clock that requests and steps are timed with.
#pragma once

#include <chrono>

namespace paddler {

using Clock = std::chrono::steady_clock;

inline float milliseconds(Clock::duration duration) {
    return std::chrono::duration<float, std::milli>(duration).count();
}

} // namespace paddler
