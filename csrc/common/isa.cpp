#include "common/isa.hpp"

#include <atomic>
#include <cstring>
#include <initializer_list>

namespace sparsefast {
namespace {

bool can_run(Isa isa) {
    if (isa == Isa::baseline) return true;
#if defined(__x86_64__)
    __builtin_cpu_init();
#if defined(SPARSEFAST_HAVE_V4)
    if (isa == Isa::v4)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
#endif
#if defined(SPARSEFAST_HAVE_V3)
    if (isa == Isa::v3)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
#endif
#endif
    return false;
}

std::atomic<int> forced{0};

}  // namespace

const char* isa_name(Isa isa) {
#if defined(__x86_64__)
    switch (isa) {
        case Isa::v4: return "x86-64-v4";
        case Isa::v3: return "x86-64-v3";
        default: return "x86-64";
    }
#elif defined(__aarch64__)
    (void)isa;
    return "aarch64";
#else
    (void)isa;
    return "generic";
#endif
}

int isa_available(Isa* out) {
    int n = 0;
    for (Isa isa : {Isa::v4, Isa::v3, Isa::baseline})
        if (can_run(isa)) out[n++] = isa;
    return n;
}

Isa isa_current() {
    const int level = forced.load(std::memory_order_relaxed);
    if (level) return static_cast<Isa>(level);
    static const Isa best = [] {
        Isa all[3];
        isa_available(all);
        return all[0];
    }();
    return best;
}

bool isa_force(const char* name) {
    Isa all[3];
    const int n = isa_available(all);
    for (int i = 0; i < n; ++i)
        if (!std::strcmp(name, isa_name(all[i]))) {
            forced.store(static_cast<int>(all[i]), std::memory_order_relaxed);
            return true;
        }
    return false;
}

}  // namespace sparsefast
