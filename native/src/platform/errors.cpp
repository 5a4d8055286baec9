#include "platform/errors.h"

#include <cstdlib>
#include <cstring>

namespace paddler {

int32_t fill_error(pdl_error *error, pdl_status status, const std::string &message) noexcept {
    if (error != nullptr) {
        error->status = status;
        size_t length = message.size();
        if (length >= sizeof(error->message)) {
            length = sizeof(error->message) - 1;
            while (length > 0 && (static_cast<unsigned char>(message[length]) & 0xC0) == 0x80) {
                length--;
            }
        }
        std::memcpy(error->message, message.data(), length);
        error->message[length] = '\0';
    }
    return status;
}

char *copy_string(const std::string &text) {
    char *copy = static_cast<char *>(std::malloc(text.size() + 1));
    if (copy == nullptr) {
        throw std::bad_alloc();
    }
    std::memcpy(copy, text.data(), text.size());
    copy[text.size()] = '\0';
    return copy;
}

} // namespace paddler

extern "C" void pdl_string_free(char *text) {
    std::free(text);
}
