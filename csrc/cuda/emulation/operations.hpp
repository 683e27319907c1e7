// Operations of a warp or a block: where an emulated thread waits for others.
//
// Stricter than a device, so that what is undefined there cannot pass here. Every lane named by a mask, and every
// thread of a block at a barrier, must come: to the same operation on the same line, with the same mask. None may have
// ended, or be missing because the block ends within a warp. A shuffle from a lane outside its mask gives all ones, a
// NaN. Nothing but these operations lets another thread run: a loop that waits for one through memory never ends.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuda/emulation/fiber.hpp"
#include "cuda/emulation/vocabulary.hpp"

namespace sparsefast {
namespace emulation {

enum class Operation : uint8_t {
    shuffle,
    shuffle_xor,
    shuffle_down,
    shuffle_up,
    ballot,
    any,
    all,
    reduce_max,
    syncwarp,
    syncthreads,
    syncthreads_count,
    syncthreads_and,
    syncthreads_or,
    grid_barrier
};

// An operation and the line of the kernel that it is on, as one number: passing it must cost next to nothing.
struct Stop {
    uint32_t code;
    constexpr Stop(Operation operation, int line)
        : code(static_cast<uint32_t>(line) << 4 | static_cast<uint32_t>(operation)) {}
    constexpr Operation operation() const { return static_cast<Operation>(code & 15); }
    constexpr int line() const { return static_cast<int>(code >> 4); }
};

// Where an operation is called, as a default argument of it.
struct Site {
    const char* file;
    int line;
};

// This thread's fiber, which `message` brings the result once it goes on, and that of the thread to run now: itself
// when nothing is left to wait for.
struct Turn {
    Fiber* own;
    Fiber* next;
};

// `source` and `width` are those of a shuffle.
Turn warp_operation(Stop stop, const char* file, unsigned mask, uint64_t value, int source, int width);
Turn block_operation(Stop stop, const char* file, bool predicate);

SF_SWITCH uint64_t finish(Turn turn) {
    if (turn.next != turn.own) fiber_switch(*turn.own, *turn.next);
    return turn.own->message;
}

void copy_start(void* to, const void* from, int bytes);
void copy_commit();
void copy_wait(int groups);

template <typename T>
SF_SWITCH T shuffle(Operation operation, unsigned mask, T value, int source, int width, Site site) {
    static_assert(std::is_arithmetic<T>::value && (sizeof(T) == 4 || sizeof(T) == 8), "not a type __shfl_sync takes");
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    bits = finish(warp_operation(Stop(operation, site.line), site.file, mask, bits, source, width));
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

SF_SWITCH uint64_t joint(Operation operation, unsigned mask, unsigned value, Site site) {
    return finish(warp_operation(Stop(operation, site.line), site.file, mask, value, 0, 0));
}

SF_SWITCH int meet(Operation operation, bool predicate, Site site) {
    return static_cast<int>(finish(block_operation(Stop(operation, site.line), site.file, predicate)));
}

}  // namespace emulation
}  // namespace sparsefast

#define SF_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define SF_OPERATION(name) sparsefast::emulation::Operation::name

template <typename T>
SF_SWITCH T __shfl_sync(unsigned mask, T value, int lane, int width = warpSize, SF_SITE) {
    return sparsefast::emulation::shuffle(SF_OPERATION(shuffle), mask, value, lane, width, {file, line});
}
template <typename T>
SF_SWITCH T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize, SF_SITE) {
    return sparsefast::emulation::shuffle(SF_OPERATION(shuffle_xor), mask, value, bits, width, {file, line});
}
template <typename T>
SF_SWITCH T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize, SF_SITE) {
    return sparsefast::emulation::shuffle(SF_OPERATION(shuffle_down), mask, value, static_cast<int>(delta), width,
                                          {file, line});
}
template <typename T>
SF_SWITCH T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize, SF_SITE) {
    return sparsefast::emulation::shuffle(SF_OPERATION(shuffle_up), mask, value, static_cast<int>(delta), width,
                                          {file, line});
}

SF_SWITCH unsigned __ballot_sync(unsigned mask, int predicate, SF_SITE) {
    return static_cast<unsigned>(
        sparsefast::emulation::joint(SF_OPERATION(ballot), mask, predicate != 0, {file, line}));
}
SF_SWITCH int __any_sync(unsigned mask, int predicate, SF_SITE) {
    return sparsefast::emulation::joint(SF_OPERATION(any), mask, predicate != 0, {file, line}) != 0;
}
SF_SWITCH int __all_sync(unsigned mask, int predicate, SF_SITE) {
    return sparsefast::emulation::joint(SF_OPERATION(all), mask, predicate != 0, {file, line}) == mask;
}
SF_SWITCH unsigned __reduce_max_sync(unsigned mask, unsigned value, SF_SITE) {
    return static_cast<unsigned>(sparsefast::emulation::joint(SF_OPERATION(reduce_max), mask, value, {file, line}));
}
SF_SWITCH void __syncwarp(unsigned mask = 0xffffffffu, SF_SITE) {
    sparsefast::emulation::joint(SF_OPERATION(syncwarp), mask, 0, {file, line});
}

SF_SWITCH void __syncthreads(SF_SITE) { sparsefast::emulation::meet(SF_OPERATION(syncthreads), false, {file, line}); }
SF_SWITCH int __syncthreads_count(int predicate, SF_SITE) {
    return sparsefast::emulation::meet(SF_OPERATION(syncthreads_count), predicate != 0, {file, line});
}
SF_SWITCH int __syncthreads_and(int predicate, SF_SITE) {
    return sparsefast::emulation::meet(SF_OPERATION(syncthreads_and), predicate != 0, {file, line});
}
SF_SWITCH int __syncthreads_or(int predicate, SF_SITE) {
    return sparsefast::emulation::meet(SF_OPERATION(syncthreads_or), predicate != 0, {file, line});
}

namespace sparsefast {
// Of a cooperative launch: all threads of all blocks.
SF_SWITCH void grid_barrier(SF_SITE) { emulation::meet(SF_OPERATION(grid_barrier), false, {file, line}); }
}  // namespace sparsefast

#undef SF_SITE
#undef SF_OPERATION
