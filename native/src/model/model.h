// A loaded model, shared by engines, embedders and template sets.
#pragma once

#include "model/compute.h"
#include "model/control_tokens.h"
#include "paddler_engine.h"

#include "llama.h"

#include <memory>
#include <string>

struct pdl_model {
    llama_model *model = nullptr;
    const llama_vocab *vocab = nullptr;
    std::unique_ptr<const paddler::ControlTokens> control_tokens;
    std::string path;
    bool on_gpu = false;              // the KV cache of layers on a GPU is there, too
    mutable paddler::Compute compute; // shared by the model's contexts

    ~pdl_model() {
        if (model != nullptr) {
            llama_model_free(model);
        }
    }
};
