#include "platform/assertions.h"

#include "ggml.h"

#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace paddler {

namespace {

thread_local int throwing = 0;

// ggml ends the process when this returns. Its C frames in between have unwind
// tables on every platform we build for.
void on_failed_assertion(const char *message) {
    if (throwing > 0) {
        // Without the directory of the build.
        const char *name = std::strrchr(message, '/');
        throw std::runtime_error(name == nullptr ? message : name + 1);
    }
    std::fprintf(stderr, "%s\n", message);
}

} // namespace

void start_assertions() {
    ggml_set_abort_callback(on_failed_assertion);
}

AssertionsThrow::AssertionsThrow() {
    throwing++;
}

AssertionsThrow::~AssertionsThrow() {
    throwing--;
}

} // namespace paddler
