// Looks at a GGUF file before llama.cpp loads it, as llama.cpp aborts on some
// broken files.
#pragma once

#include <string>

namespace paddler {

// Checks the file, and for a split model (named by its first file) all parts:
// magic, header, and the tensor table against the file's size. Throws Failure
// PDL_NOT_FOUND, PDL_IO_ERROR or PDL_BAD_MODEL_FILE.
void check_gguf(const std::string &path);

} // namespace paddler
