// What an engine is opened with, checked before llama.cpp sees it.
#pragma once

#include "paddler_engine.h"

namespace paddler {

// The same params. Throws Failure: PDL_INVALID_ARGUMENT; PDL_UNSUPPORTED for a
// model that cannot generate; PDL_OUT_OF_MEMORY if the KV cache is certain to
// be larger than the machine's memory.
pdl_engine_params checked(const pdl_model &model, const pdl_engine_params &params);

} // namespace paddler
