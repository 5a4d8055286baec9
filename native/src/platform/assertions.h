// llama.cpp's failed assertions as errors, where that is safe.
#pragma once

namespace paddler {

// Installs the callback once.
void start_assertions();

// While it lives, an assertion of llama.cpp that fails on this thread throws a
// std::runtime_error instead of ending the process. Only for what is thrown
// away as a whole afterwards and runs on this thread alone: loading a file,
// making a context. A computation is neither: its other threads would wait.
class AssertionsThrow {
public:
    AssertionsThrow();
    ~AssertionsThrow();
    AssertionsThrow(const AssertionsThrow &) = delete;
    AssertionsThrow &operator=(const AssertionsThrow &) = delete;
};

} // namespace paddler
