#include "common/parallel.hpp"

#if !defined(SPARSEFAST_OPENMP)
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>
#endif

namespace sparsefast {

#if defined(SPARSEFAST_OPENMP)

void parallel_tasks(int64_t n_tasks, int n_threads, TaskBody body, void* context) {
    if (n_threads > n_tasks) n_threads = static_cast<int>(n_tasks);
    if (n_threads <= 1) {
        for (int64_t task = 0; task < n_tasks; ++task) body(context, task, 0);
        return;
    }
    // One counter for all threads, so that a slow core takes fewer tasks. Global OpenMP settings stay as they are.
    int64_t next = 0;
    int n_started = 0;
#pragma omp parallel num_threads(n_threads)
    {
        int thread;
#pragma omp atomic capture
        thread = n_started++;
        for (;;) {
            int64_t task;
#pragma omp atomic capture
            task = next++;
            if (task >= n_tasks) break;
            body(context, task, thread);
        }
    }
}

const char* parallel_runtime() { return "openmp"; }

#else

void parallel_tasks(int64_t n_tasks, int n_threads, TaskBody body, void* context) {
    if (n_threads > n_tasks) n_threads = static_cast<int>(n_tasks);
    std::atomic<int64_t> next{0};
    const auto work = [&](int thread) {
        for (int64_t task; (task = next.fetch_add(1)) < n_tasks;) body(context, task, thread);
    };
    std::vector<std::thread> threads;
    try {
        for (int i = 1; i < n_threads; ++i) threads.emplace_back(work, i);
    } catch (const std::system_error&) {
        // The system has no more threads: those that started, and this one, do the work.
    }
    work(0);
    for (auto& thread : threads) thread.join();
}

const char* parallel_runtime() { return "std::thread"; }

#endif

}  // namespace sparsefast
