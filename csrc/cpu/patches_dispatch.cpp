// The public functions of the patches family on the CPU: pick the instruction set, split the work among threads.
#include "common/parallel.hpp"
#include "cpu/kernels.hpp"
#include "cpu/patches/geometry.hpp"

namespace sparsefast {
namespace {

const PatchKernels& kernels() { SF_SELECT(patch_kernels_) }

// Bytes that a task reads and writes when `patches` bytes in all go through `tasks` tasks.
double bytes_a_task(int64_t elements, int64_t size, int64_t tasks) {
    return 2.0 * static_cast<double>(elements) * static_cast<double>(size) / static_cast<double>(tasks > 0 ? tasks : 1);
}

int64_t n_patches(const PatchGrid& grid, const Corners& corners) {
    return corners.data ? corners.n_patches : grid.y.count * grid.x.count;
}

int64_t size_of(ElementType type) {
    constexpr int64_t sizes[] = {1, 2, 2, 4, 8};
    return sizes[static_cast<int>(type)];
}

// So many consecutive tasks are handed out at once that there are enough for all threads, and not many more.
int64_t tasks_at_once(int64_t tasks, int n_threads) {
    const int64_t pieces = int64_t(32) * (n_threads > 1 ? n_threads : 1);
    return tasks > pieces ? tasks / pieces : 1;
}

}  // namespace

int64_t unfold_tasks(const UnfoldProblem& p) { return UnfoldTasks(p).count(p); }

double unfold_bytes_a_task(const UnfoldProblem& p) {
    const int64_t elements = p.images.batch * p.images.channels * patch_pixels(p.grid) * n_patches(p.grid, p.corners);
    return bytes_a_task(elements, p.itemsize, unfold_tasks(p));
}

void unfold(const UnfoldProblem& problem, int64_t begin, int64_t end, int n_threads) {
    const int64_t step = tasks_at_once(end - begin, n_threads);
    parallel_tasks(ceil_div(end - begin, step), n_threads, [&](int64_t piece, int) {
        const int64_t from = begin + piece * step;
        kernels().unfold_range(problem, from, from + step < end ? from + step : end);
    });
}

int64_t fold_tasks(const FoldProblem& p) { return FoldTasks(p).count(p); }

double fold_bytes_a_task(const FoldProblem& p) {
    const int64_t patches = p.channels * patch_pixels(p.grid) * n_patches(p.grid, p.corners);
    const int64_t elements = p.batch * (patches + p.channels * p.grid.y.size * p.grid.x.size);
    return bytes_a_task(elements, size_of(p.type), fold_tasks(p));
}

int64_t fold_workspace_bytes(const FoldProblem& problem, int n_threads) {
    return ceil_div(kernels().fold_scratch_bytes(problem), kAlignment) * kAlignment * (n_threads > 1 ? n_threads : 1);
}

void fold(const FoldProblem& problem, int64_t begin, int64_t end, void* workspace, int n_threads) {
    const int64_t per_thread = fold_workspace_bytes(problem, 1), step = tasks_at_once(end - begin, n_threads);
    parallel_tasks(ceil_div(end - begin, step), n_threads, [&](int64_t piece, int thread) {
        const int64_t from = begin + piece * step;
        kernels().fold_range(problem, from, from + step < end ? from + step : end,
                             static_cast<char*>(workspace) + thread * per_thread);
    });
}

}  // namespace sparsefast
