#include "platform/processor.h"

#include "platform/errors.h"

#include "ggml-cpu.h"

#include <string>

namespace paddler {

void check_processor() {
#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
    // ggml's functions tell what it was compiled for, not what is there.
    struct Extension {
        const char *name;
        bool is_needed;
        bool is_there;
    };
    __builtin_cpu_init();
    const Extension extensions[] = {
        {"SSSE3", ggml_cpu_has_ssse3() != 0, __builtin_cpu_supports("ssse3") != 0},
        {"AVX", ggml_cpu_has_avx() != 0, __builtin_cpu_supports("avx") != 0},
        {"AVX2", ggml_cpu_has_avx2() != 0, __builtin_cpu_supports("avx2") != 0},
        {"BMI2", ggml_cpu_has_bmi2() != 0, __builtin_cpu_supports("bmi2") != 0},
        {"FMA", ggml_cpu_has_fma() != 0, __builtin_cpu_supports("fma") != 0},
        {"AVX-512", ggml_cpu_has_avx512() != 0, __builtin_cpu_supports("avx512f") != 0},
        {"AVX-512 VBMI", ggml_cpu_has_avx512_vbmi() != 0,
         __builtin_cpu_supports("avx512vbmi") != 0},
        {"AVX-512 VNNI", ggml_cpu_has_avx512_vnni() != 0,
         __builtin_cpu_supports("avx512vnni") != 0},
    };
    std::string missing;
    for (const Extension &extension : extensions) {
        if (extension.is_needed && !extension.is_there) {
            missing += (missing.empty() ? "" : ", ") + std::string(extension.name);
        }
    }
    if (!missing.empty()) {
        throw Failure(PDL_UNSUPPORTED,
                      "this build of Paddler was made for another processor; this one lacks " +
                          missing + ": install Paddler from source on this machine");
    }
#endif
}

} // namespace paddler
