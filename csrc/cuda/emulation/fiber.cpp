#include "cuda/emulation/fiber.hpp"

#include <sys/mman.h>
#include <unistd.h>

#ifdef SF_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

namespace sparsefast {
namespace emulation {

#ifdef SF_ADDRESS_SANITIZER
__thread Fiber* fiber_leaving = nullptr;
#endif

void fiber_prepare(Fiber& fiber, char* stack, std::size_t bytes, std::size_t stagger, void (*entry)()) {
#ifdef SF_ADDRESS_SANITIZER
    __asan_unpoison_memory_region(stack, bytes);  // after functions that were never returned from
    fiber.fake_stack = nullptr;
    fiber.stack = stack;
    fiber.stack_bytes = bytes;
#endif
#ifdef SPARSEFAST_EMULATION_UCONTEXT
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stack;
    fiber.context.uc_stack.ss_size = bytes - stagger;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, entry, 0);
#else
    // The stack of a function that was just called from nowhere, and the address to go on at.
    void** top = reinterpret_cast<void**>(stack + bytes - stagger);
    top[-1] = nullptr;
    top[-2] = reinterpret_cast<void*>(entry);
    fiber.stack_pointer = top - 2;
#endif
}

Stacks::~Stacks() {
    if (memory_) munmap(memory_, kMost * (kBytes + guard_));
}

bool Stacks::reserve(int count) {
    if (!memory_) {
        guard_ = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        void* memory =
            mmap(nullptr, kMost * (kBytes + guard_), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) return false;
        memory_ = static_cast<char*>(memory);
    }
    for (; count_ < count; ++count_) {
        if (mprotect(at(count_), kBytes, PROT_READ | PROT_WRITE) != 0) return false;
    }
    return true;
}

}  // namespace emulation
}  // namespace sparsefast
