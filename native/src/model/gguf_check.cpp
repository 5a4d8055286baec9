#include "model/gguf_check.h"

#include "platform/errors.h"
#include "platform/log_ring.h"

#include "gguf.h"
#include "llama.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace paddler {

namespace {

struct GgufDeleter {
    void operator()(gguf_context *context) const { gguf_free(context); }
};

using GgufPointer = std::unique_ptr<gguf_context, GgufDeleter>;

class File {
public:
    explicit File(const std::string &path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
        if (fd_ < 0) {
            throw Failure(errno == ENOENT || errno == ENOTDIR ? PDL_NOT_FOUND : PDL_IO_ERROR,
                          path + ": " + std::generic_category().message(errno));
        }
    }
    ~File() { close(fd_); }
    File(const File &) = delete;
    File &operator=(const File &) = delete;

    int fd() const { return fd_; }

private:
    int fd_;
};

void check_magic(const std::string &path, int64_t &size) {
    const File file(path);
    struct stat info = {};
    if (fstat(file.fd(), &info) != 0) {
        throw Failure(PDL_IO_ERROR, path + ": " + std::generic_category().message(errno));
    }
    if (!S_ISREG(info.st_mode)) {
        throw Failure(PDL_BAD_MODEL_FILE, path + " is not a regular file");
    }
    size = info.st_size;
    char magic[4] = {};
    if (read(file.fd(), magic, sizeof(magic)) != sizeof(magic) ||
        std::memcmp(magic, "GGUF", 4) != 0) {
        throw Failure(PDL_BAD_MODEL_FILE, path + " is not a GGUF file");
    }
}

// Returns the number of files the model is split into.
int32_t check_one(const std::string &path) {
    int64_t size = 0;
    check_magic(path, size);
    const LogCapture reasons;
    gguf_init_params params{};
    params.no_alloc = true;
    const GgufPointer gguf(gguf_init_from_file(path.c_str(), params));
    if (!gguf) {
        throw Failure(PDL_BAD_MODEL_FILE,
                      path + " has a broken header" +
                          (reasons.text().empty() ? "" : ": " + reasons.text()));
    }
    if (gguf_find_key(gguf.get(), "general.architecture") < 0) {
        throw Failure(PDL_BAD_MODEL_FILE, path + " names no model architecture");
    }
    const auto data = static_cast<int64_t>(gguf_get_data_offset(gguf.get()));
    for (int64_t i = 0; i < gguf_get_n_tensors(gguf.get()); i++) {
        const int64_t end = data + static_cast<int64_t>(gguf_get_tensor_offset(gguf.get(), i)) +
                            static_cast<int64_t>(gguf_get_tensor_size(gguf.get(), i));
        if (end > size) {
            throw Failure(PDL_BAD_MODEL_FILE, path + " is truncated: " + std::to_string(size) +
                                                  " bytes, but tensor " +
                                                  gguf_get_tensor_name(gguf.get(), i) +
                                                  " ends at " + std::to_string(end));
        }
    }
    const int64_t key = gguf_find_key(gguf.get(), "split.count");
    return key >= 0 && gguf_get_kv_type(gguf.get(), key) == GGUF_TYPE_UINT16
               ? gguf_get_val_u16(gguf.get(), key)
               : 1;
}

} // namespace

void check_gguf(const std::string &path) {
    const int32_t n_files = check_one(path);
    if (n_files <= 1) {
        return;
    }
    std::vector<char> prefix(path.size() + 1);
    if (llama_split_prefix(prefix.data(), prefix.size(), path.c_str(), 0, n_files) <= 0) {
        throw Failure(PDL_BAD_MODEL_FILE, path + " is one of " + std::to_string(n_files) +
                                              " files but not named as the first of them");
    }
    std::vector<char> part(path.size() + 64);
    for (int32_t i = 1; i < n_files; i++) {
        llama_split_path(part.data(), part.size(), prefix.data(), i, n_files);
        check_one(part.data());
    }
}

} // namespace paddler
