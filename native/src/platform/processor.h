// Whether this processor can run what was compiled.
#pragma once

namespace paddler {

// Throws a Failure that names the instructions which the module was compiled
// for and this processor lacks: with the first of them the process would be
// killed. To be called before anything of ggml's runs.
void check_processor();

} // namespace paddler
