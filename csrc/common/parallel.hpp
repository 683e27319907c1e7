// The one place where threads start. Kernels hand over a number of independent tasks and a thread count.
#pragma once

#include <cstdint>

namespace sparsefast {

// Runs body(context, task, thread) for each task in [0, n_tasks), in no fixed order, on at most n_threads threads; one
// thread runs in the caller without touching any runtime, which is what a forked child needs.
using TaskBody = void (*)(void* context, int64_t task, int thread);
void parallel_tasks(int64_t n_tasks, int n_threads, TaskBody body, void* context);

// As above for a callable: parallel_tasks(n, threads, [&](int64_t task, int thread) { ... }).
template <typename F>
void parallel_tasks(int64_t n_tasks, int n_threads, const F& body) {
    parallel_tasks(
        n_tasks, n_threads,
        [](void* context, int64_t task, int thread) { (*static_cast<const F*>(context))(task, thread); },
        const_cast<void*>(static_cast<const void*>(&body)));
}

// "openmp" or "std::thread".
const char* parallel_runtime();

}  // namespace sparsefast
