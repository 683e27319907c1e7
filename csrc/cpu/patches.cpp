// The kernels of the patches family; compiled once for each instruction set. Each is described beside its code.
#include "cpu/kernels.hpp"
#include "cpu/patches/fold_columns.hpp"
#include "cpu/patches/fold_rows.hpp"
#include "cpu/patches/unfold.hpp"

namespace sparsefast {
namespace {

template <typename T>
void unfold_as(const UnfoldProblem& p, int64_t begin, int64_t end) {
    const int64_t n = p.corners.data ? p.corners.n_patches : p.grid.y.count * p.grid.x.count;
    const int64_t elements = patch_pixels(p.grid) * n + p.grid.y.size * p.grid.x.size;
    const bool stream = p.images.batch * p.images.channels * elements > kStreamedBytes / p.itemsize;
    Unfold<T>(p, stream).range(begin, end);
}

void unfold_range(const UnfoldProblem& p, int64_t begin, int64_t end) {
    switch (p.itemsize) {
        case 1: return unfold_as<Bits8>(p, begin, end);
        case 2: return unfold_as<Bits16>(p, begin, end);
        case 4: return unfold_as<Bits32>(p, begin, end);
        default: return unfold_as<Bits64>(p, begin, end);
    }
}

bool by_columns(const FoldProblem& p) { return !p.rows && !p.corners.data; }

template <typename E>
int64_t fold_bytes(const FoldProblem& p) {
    const FoldTasks tasks(p);
    return by_columns(p) ? FoldColumns<E>::scratch_bytes(p, tasks) : FoldRows<E>::scratch_bytes(p, tasks);
}

int64_t fold_scratch_bytes(const FoldProblem& p) {
    return p.type == ElementType::float64 ? fold_bytes<double>(p) : fold_bytes<float>(p);
}

template <typename Folder>
void fold_with(const FoldProblem& p, int64_t begin, int64_t end, void* scratch) {
    Folder folder(p, FoldTasks(p), scratch);
    for (int64_t task = begin; task < end; ++task) folder.task(task);
    streams_end();
}

template <typename E>
void fold_as(const FoldProblem& p, int64_t begin, int64_t end, void* scratch) {
    if (by_columns(p))
        fold_with<FoldColumns<E>>(p, begin, end, scratch);
    else
        fold_with<FoldRows<E>>(p, begin, end, scratch);
}

void fold_range(const FoldProblem& p, int64_t begin, int64_t end, void* scratch) {
    switch (p.type) {
        case ElementType::uint8: return fold_as<uint8_t>(p, begin, end, scratch);
        case ElementType::float16: return fold_as<Half>(p, begin, end, scratch);
        case ElementType::bfloat16: return fold_as<BFloat16>(p, begin, end, scratch);
        case ElementType::float32: return fold_as<float>(p, begin, end, scratch);
        default: return fold_as<double>(p, begin, end, scratch);
    }
}

}  // namespace

const PatchKernels SF_TABLE(patch_kernels_) = {unfold_range, fold_scratch_bytes, fold_range};

}  // namespace sparsefast
