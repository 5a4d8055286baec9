#include "model/model.h"

#include "model/gguf_check.h"
#include "platform/assertions.h"
#include "platform/errors.h"
#include "platform/log_ring.h"
#include "platform/processor.h"
#include "platform/wakeup.h"

#include <nlohmann/json.hpp>

#include <atomic>
#include <charconv>
#include <memory>
#include <mutex>
#include <vector>

using paddler::Failure;
using paddler::guarded;

struct pdl_load {
    std::atomic<float> progress{0.0f};
    std::atomic<bool> cancelled{false};
    float announced = -1.0f; // loading thread only
    paddler::Wakeup wakeup;
};

namespace {

constexpr float progress_step = 0.01f;

bool on_progress(float progress, void *user_data) {
    auto *load = static_cast<pdl_load *>(user_data);
    load->progress = progress;
    if (progress >= 1.0f || progress - load->announced >= progress_step) {
        load->announced = progress;
        load->wakeup.notify();
    }
    return !load->cancelled;
}

std::string metadata_text(const llama_model *model, int32_t index,
                          int32_t (*read)(const llama_model *, int32_t, char *, size_t)) {
    std::vector<char> buffer(256);
    int32_t length = read(model, index, buffer.data(), buffer.size());
    if (length >= static_cast<int32_t>(buffer.size())) {
        buffer.resize(static_cast<size_t>(length) + 1);
        length = read(model, index, buffer.data(), buffer.size());
    }
    return length < 0 ? std::string() : std::string(buffer.data());
}

std::string metadata_value(const llama_model *model, const std::string &key) {
    std::vector<char> buffer(128);
    const int32_t length =
        llama_model_meta_val_str(model, key.c_str(), buffer.data(), buffer.size());
    return length < 0 ? std::string() : std::string(buffer.data());
}

std::string architecture_value(const llama_model *model, const std::string &suffix) {
    return metadata_value(model, metadata_value(model, "general.architecture") + suffix);
}

// ggml's backends are linked in; its search for others in the working
// directory would load whatever lies there.
void start_llama_cpp() {
    paddler::check_processor();
    static std::once_flag once;
    std::call_once(once, [] {
        paddler::start_log_ring();
        paddler::start_assertions();
        llama_backend_init();
    });
}

// -1: the file names none.
int32_t named_pooling_type(const llama_model *model) {
    const std::string text = architecture_value(model, ".pooling_type");
    int32_t type = -1;
    std::from_chars(text.data(), text.data() + text.size(), type);
    return type;
}

bool is_causal(const llama_model *model) {
    return architecture_value(model, ".attention.causal") != "false";
}

} // namespace

extern "C" {

const char *pdl_llama_cpp_version(void) {
    return PADDLER_LLAMA_CPP_VERSION;
}

int32_t pdl_log_take(char *text, int32_t capacity, int32_t *level, int64_t *n_lost) {
    return paddler::take_log_line(text, capacity, level, n_lost);
}

pdl_load *pdl_load_new(pdl_error *error) {
    pdl_load *load = nullptr;
    guarded(error, PDL_INTERNAL, [&] { load = new pdl_load(); });
    return load;
}

int32_t pdl_load_fd(const pdl_load *load) {
    return load->wakeup.fd();
}

float pdl_load_progress(pdl_load *load) {
    load->wakeup.clear();
    return load->progress;
}

void pdl_load_cancel(pdl_load *load) {
    load->cancelled = true;
}

void pdl_load_free(pdl_load *load) {
    delete load;
}

int32_t pdl_model_load(const pdl_model_params *params, pdl_load *load, pdl_model **model,
                       pdl_error *error) {
    return guarded(error, PDL_BAD_MODEL_FILE, [&] {
        start_llama_cpp();
        if (params->n_gpu_layers < -1) {
            throw Failure(PDL_INVALID_ARGUMENT, "n_gpu_layers must be -1 or more");
        }
        paddler::check_gguf(params->path);
        llama_model_params native = llama_model_default_params();
        native.n_gpu_layers = params->n_gpu_layers;
        native.load_mode = params->use_mmap != 0 ? LLAMA_LOAD_MODE_MMAP : LLAMA_LOAD_MODE_NONE;
        native.check_tensors = params->check_tensors != 0;
        if (load != nullptr) {
            native.progress_callback = on_progress;
            native.progress_callback_user_data = load;
        }
        auto loaded = std::make_unique<pdl_model>();
        const paddler::LogCapture reasons;
        const paddler::AssertionsThrow assertions;
        loaded->model = llama_model_load_from_file(params->path, native);
        if (loaded->model == nullptr) {
            if (load != nullptr && load->cancelled) {
                throw Failure(PDL_CANCELLED, "loading was cancelled");
            }
            const std::string reason = reasons.text();
            throw Failure(PDL_BAD_MODEL_FILE, std::string(params->path) + " cannot be loaded" +
                                                  (reason.empty() ? "" : ": " + reason));
        }
        loaded->vocab = llama_model_get_vocab(loaded->model);
        loaded->control_tokens = std::make_unique<paddler::ControlTokens>(loaded->vocab);
        loaded->path = params->path;
        loaded->on_gpu = params->n_gpu_layers != 0 && llama_supports_gpu_offload();
        *model = loaded.release();
    });
}

void pdl_model_free(pdl_model *model) {
    delete model;
}

void pdl_model_get_info(const pdl_model *model, pdl_model_info *info) {
    const llama_model *native = model->model;
    *info = {};
    info->n_vocab = llama_vocab_n_tokens(model->vocab);
    info->n_embd = llama_model_n_embd(native);
    info->n_ctx_train = llama_model_n_ctx_train(native);
    info->n_layer = llama_model_n_layer(native);
    info->n_swa = llama_model_n_swa(native);
    info->has_encoder = llama_model_has_encoder(native);
    info->has_decoder = llama_model_has_decoder(native);
    info->is_recurrent = llama_model_is_recurrent(native);
    info->is_hybrid = llama_model_is_hybrid(native);
    const bool has_vocabulary =
        llama_vocab_type(model->vocab) != LLAMA_VOCAB_TYPE_NONE && info->n_vocab > 0;
    info->pooling_type = named_pooling_type(native);
    // A pooling type other than "none" in the file marks a model that was
    // trained to embed; its output head, if any, is not for generation.
    info->can_generate = info->has_decoder && !info->has_encoder && has_vocabulary &&
                         is_causal(native) && info->pooling_type <= 0 &&
                         !llama_model_is_diffusion(native);
    info->can_embed = has_vocabulary && !(info->has_encoder && info->has_decoder);
    info->n_parameters = llama_model_n_params(native);
    info->size_bytes = llama_model_size(native);
}

int32_t pdl_model_metadata(const pdl_model *model, char **json, pdl_error *error) {
    return guarded(error, PDL_INTERNAL, [&] {
        auto object = nlohmann::json::object();
        for (int32_t i = 0; i < llama_model_meta_count(model->model); i++) {
            object[metadata_text(model->model, i, llama_model_meta_key_by_index)] =
                metadata_text(model->model, i, llama_model_meta_val_str_by_index);
        }
        *json = paddler::copy_string(
            object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    });
}

int32_t pdl_model_chat_template(const pdl_model *model, char **text, pdl_error *error) {
    return guarded(error, PDL_INTERNAL, [&] {
        const char *source = llama_model_chat_template(model->model, nullptr);
        *text = source == nullptr ? nullptr : paddler::copy_string(source);
    });
}

int32_t pdl_tokenize(const pdl_model *model, const char *text, int32_t n_bytes, int32_t add_special,
                     int32_t parse_special, int32_t *tokens, int32_t capacity, pdl_error *error) {
    int32_t n_tokens = -1;
    guarded(error, PDL_INTERNAL, [&] {
        n_tokens = llama_tokenize(model->vocab, text, n_bytes, tokens, capacity, add_special != 0,
                                  parse_special != 0);
        if (n_tokens == INT32_MIN) {
            n_tokens = -1;
            throw Failure(PDL_INVALID_ARGUMENT, "the text has too many tokens to count");
        }
        // llama_tokenize returns the negated count when the capacity is too small.
        n_tokens = n_tokens < 0 ? -n_tokens : n_tokens;
    });
    return n_tokens;
}

int32_t pdl_token_text(const pdl_model *model, int32_t token, int32_t special, char *text,
                       int32_t capacity) {
    if (token < 0 || token >= llama_vocab_n_tokens(model->vocab)) {
        return -1;
    }
    return llama_token_to_piece(model->vocab, token, text, capacity, 0, special != 0);
}

} // extern "C"
