// A file descriptor that one thread makes readable and another waits for:
// an eventfd on Linux, a pipe elsewhere.
#pragma once

#include <cstdint>

namespace paddler {

class Wakeup {
public:
    Wakeup(); // throws Failure
    ~Wakeup();
    Wakeup(const Wakeup &) = delete;
    Wakeup &operator=(const Wakeup &) = delete;

    int32_t fd() const { return read_fd_; }
    void notify() const noexcept;
    void clear() const noexcept;

private:
    int32_t read_fd_ = -1;
    int32_t write_fd_ = -1;
};

} // namespace paddler
