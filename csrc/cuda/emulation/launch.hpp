// Launches, and what a host asks of a device, for an emulated one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>

#include "cuda/emulation/fiber.hpp"
#include "cuda/emulation/vocabulary.hpp"

namespace sparsefast {
namespace emulation {

// Which of the threads that can run does so next, and in which order the blocks of a grid run.
enum class Order : int { forward = 0, reversed = 1, shuffled = 2 };

// For all later launches of the process. SPARSEFAST_EMULATED_ORDER, a name, says how it begins.
void set_order(Order order, uint64_t seed = 0);
Order order();
bool order_by_name(const char* name, Order* result);
const char* order_name(Order order);

// What a block may have of shared memory; SPARSEFAST_EMULATED_SHARED bytes, or 227 KiB, at first.
void set_shared_memory(int64_t bytes);
int64_t shared_memory();

// What a cooperative launch may count on, each with room for one block; SPARSEFAST_EMULATED_MULTIPROCESSORS, or 3, at
// first. A device with none cannot launch cooperatively.
void set_multiprocessors(int count);
int multiprocessors();

using Body = void (*)(void* context);

// Null, or what went wrong: the text lives until this thread's next launch.
const char* run(const char* kernel, dim3 grid, dim3 block, std::size_t dynamic_bytes, bool cooperative, Body body,
                void* context);

void* dynamic_shared();

}  // namespace emulation

template <bool Cooperative, typename... P, typename... A>
const char* launch(const char* name, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t dynamic_bytes,
                   cudaStream_t, A&&... args) {
    static_assert((std::is_trivially_copyable<P>::value && ...), "arguments of a kernel are copied as bytes");
    struct Call {
        void (*kernel)(P...);
        std::tuple<P...> parameters;
    } call{kernel, std::tuple<P...>(static_cast<P>(args)...)};
    return emulation::run(
        name, grid, block, dynamic_bytes, Cooperative,
        [](void* context) {
            const Call& call = *static_cast<const Call*>(context);
            std::apply(call.kernel, call.parameters);
        },
        &call);
}

template <typename... P>
const char* resident_blocks(void (*)(P...), int threads, std::size_t, int, int* blocks) {
    const int most = emulation::Stacks::kMost / threads, count = emulation::multiprocessors();
    *blocks = count < most ? count : most;
    return count > 0 ? nullptr : "the device cannot launch a kernel cooperatively";
}

class DeviceGuard {
   public:
    explicit DeviceGuard(int) {}
    DeviceGuard(const DeviceGuard&) = delete;
    DeviceGuard& operator=(const DeviceGuard&) = delete;
    const char* error() const { return nullptr; }
};

inline int64_t shared_memory_limit(int) { return emulation::shared_memory(); }

}  // namespace sparsefast

#define SF_DYNAMIC_SHARED(T, name) T* name = static_cast<T*>(sparsefast::emulation::dynamic_shared())
