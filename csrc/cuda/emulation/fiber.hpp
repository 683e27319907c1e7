// One stack of execution within a thread: it runs until it switches to another by itself.
//
// On x86-64 a switch is a dozen instructions, inlined into the kernel and without a return: the processor predicts
// returns by the calls it saw, and would guess wrong at every switch. Elsewhere, and with
// SPARSEFAST_EMULATION_UCONTEXT, a switch is ucontext's, with two system calls. Address sanitizer is told of every
// switch, or it would take one stack for another.
#pragma once

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__) && !defined(SPARSEFAST_EMULATION_UCONTEXT)
#define SPARSEFAST_EMULATION_UCONTEXT
#endif
#ifdef SPARSEFAST_EMULATION_UCONTEXT
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define SF_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SF_ADDRESS_SANITIZER
#endif
#endif
#ifdef SF_ADDRESS_SANITIZER
#include <sanitizer/common_interface_defs.h>
#endif

// Clang might keep an array of shared memory that never leaves its kernel in registers around assembly, though not
// around a call of what it cannot see into.
#ifdef __clang__
#define SF_SWITCH __attribute__((noinline)) inline
#else
#define SF_SWITCH __attribute__((always_inline)) inline
#endif

namespace sparsefast {
namespace emulation {

struct Fiber {
    uint64_t message;  // left by whoever lets it go on
#ifdef SPARSEFAST_EMULATION_UCONTEXT
    ucontext_t context;
#else
    void* stack_pointer;  // while it does not run: of a stack with the address to go on at on top
#endif
#ifdef SF_ADDRESS_SANITIZER
    void* fake_stack;
    const void* stack;  // its lowest byte; of the fiber that is the thread itself, known after the first switch only
    std::size_t stack_bytes;
#endif
};

// Makes `fiber` begin with entry(), which never returns, on this stack; `stagger` moves its top down.
void fiber_prepare(Fiber& fiber, char* stack, std::size_t bytes, std::size_t stagger, void (*entry)());

SF_SWITCH void fiber_jump(Fiber& from, Fiber& to) {
#ifdef SPARSEFAST_EMULATION_UCONTEXT
    swapcontext(&from.context, &to.context);
#else
    void* save = &from.stack_pointer;
    void* load = to.stack_pointer;
    asm volatile(
        "leaq -128(%%rsp), %%rsp\n\t"  // past what a function may keep below its stack pointer
        "pushq %%rbp\n\t"
        "leaq 1f(%%rip), %%rax\n\t"
        "pushq %%rax\n\t"
        "movq %%rsp, (%0)\n\t"
        "movq %1, %%rsp\n\t"
        "popq %%rax\n\t"
        "jmp *%%rax\n"
        "1:\n\t"
        "popq %%rbp\n\t"
        "leaq 128(%%rsp), %%rsp"
        : "+D"(save), "+S"(load)
        :
        : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm1", "xmm2",
          "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",
#ifdef __AVX512F__
          "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27",
          "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", "k7",
#endif
          "cc", "memory");
#endif
}

#ifdef SF_ADDRESS_SANITIZER
// Who switched last in this thread: what it tells of its stack is not known before for the thread's own.
extern __thread Fiber* fiber_leaving __attribute__((visibility("hidden")));

inline void fiber_arrived(void* fake_stack) {
    __sanitizer_finish_switch_fiber(fake_stack, &fiber_leaving->stack, &fiber_leaving->stack_bytes);
}
#endif

// Leaves `from`, goes on in `to`.
SF_SWITCH void fiber_switch(Fiber& from, Fiber& to) {
#ifdef SF_ADDRESS_SANITIZER
    fiber_leaving = &from;
    __sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.stack_bytes);
    fiber_jump(from, to);
    fiber_arrived(from.fake_stack);
#else
    fiber_jump(from, to);
#endif
}

// The first statement of an entry.
inline void fiber_began() {
#ifdef SF_ADDRESS_SANITIZER
    fiber_arrived(nullptr);
#endif
}

// As fiber_switch, for one that is never switched to again.
[[noreturn]] inline void fiber_end(Fiber& from, Fiber& to) {
#ifdef SF_ADDRESS_SANITIZER
    fiber_leaving = &from;
    __sanitizer_start_switch_fiber(nullptr, to.stack, to.stack_bytes);
#endif
    fiber_jump(from, to);
    __builtin_unreachable();
}

// Stacks for fibers, each above a page that may not be touched: an overflow stops the process at once, where it would
// otherwise write into the neighbour's. Kept from launch to launch.
class Stacks {
   public:
    static constexpr std::size_t kBytes = std::size_t(128) << 10;  // for the local arrays of a thread, unoptimised
    static constexpr int kMost = 4096;                             // of all blocks that are alive at once

    Stacks() = default;
    Stacks(const Stacks&) = delete;
    Stacks& operator=(const Stacks&) = delete;
    ~Stacks();
    bool reserve(int count);  // false when the system has no memory for them
    char* at(int index) const { return memory_ + index * (kBytes + guard_) + guard_; }

   private:
    char* memory_ = nullptr;
    std::size_t guard_ = 0;
    int count_ = 0;
};

}  // namespace emulation
}  // namespace sparsefast
