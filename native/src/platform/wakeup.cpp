#include "platform/wakeup.h"

#include "platform/errors.h"

#include <cerrno>
#include <system_error>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#else
#include <fcntl.h>
#endif

namespace paddler {

Wakeup::Wakeup() {
#ifdef __linux__
    read_fd_ = write_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (read_fd_ < 0) {
        throw Failure(PDL_INTERNAL,
                      "cannot make an eventfd: " + std::generic_category().message(errno));
    }
#else
    int ends[2];
    if (pipe(ends) != 0) {
        throw Failure(PDL_INTERNAL,
                      "cannot make a pipe: " + std::generic_category().message(errno));
    }
    for (const int end : ends) {
        fcntl(end, F_SETFD, FD_CLOEXEC);
        fcntl(end, F_SETFL, O_NONBLOCK);
    }
    read_fd_ = ends[0];
    write_fd_ = ends[1];
#endif
}

Wakeup::~Wakeup() {
    close(read_fd_);
    if (write_fd_ != read_fd_) {
        close(write_fd_);
    }
}

void Wakeup::notify() const noexcept {
    const uint64_t one = 1;
    // Fails only when the descriptor is full, and then it is readable anyway.
    [[maybe_unused]] const ssize_t n_written = write(write_fd_, &one, sizeof(one));
}

void Wakeup::clear() const noexcept {
    uint64_t buffer[64];
    while (read(read_fd_, buffer, sizeof(buffer)) > static_cast<ssize_t>(sizeof(uint64_t))) {
    }
}

} // namespace paddler
