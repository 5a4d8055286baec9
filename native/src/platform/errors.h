// Status and message instead of exceptions at the C boundary.
#pragma once

#include "paddler_engine.h"

#include <exception>
#include <new>
#include <stdexcept>
#include <string>

namespace paddler {

// A failure with the status that the caller is to get.
class Failure : public std::runtime_error {
public:
    Failure(pdl_status status, const std::string &message)
        : std::runtime_error(message), status_(status) {}
    pdl_status status() const { return status_; }

private:
    pdl_status status_;
};

// Fills *error unless it is NULL; cuts the message at a whole UTF-8 character.
// Returns the status.
int32_t fill_error(pdl_error *error, pdl_status status, const std::string &message) noexcept;

// Runs body; whatever it throws becomes a status and a message.
template <typename Body>
int32_t guarded(pdl_error *error, pdl_status otherwise, const Body &body) noexcept {
    try {
        body();
        return fill_error(error, PDL_OK, std::string());
    } catch (const Failure &failure) {
        return fill_error(error, failure.status(), failure.what());
    } catch (const std::bad_alloc &) {
        return fill_error(error, PDL_OUT_OF_MEMORY, "not enough memory");
    } catch (const std::exception &exception) {
        return fill_error(error, otherwise, exception.what());
    } catch (...) {
        return fill_error(error, otherwise, "unknown failure");
    }
}

// A malloc'ed copy for a char ** result; freed with pdl_string_free.
char *copy_string(const std::string &text);

} // namespace paddler
