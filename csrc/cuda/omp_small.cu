// OMP and order-recursive selection of signals with few features.
#include "cuda/omp/coder.cuh"
#include "cuda/omp/launch.hpp"
#include "cuda/omp/small.cuh"

namespace sparsefast {
namespace {

template <typename T, int F, bool ols, bool whole>
const char* launch_pursuit(const OmpProblem& p, void* stream) {
    using Pursuit = SmallPursuit<T, F, ols, whole>;
    const DeviceDictionary<T> d(p.dictionary, p.packed);
    const int64_t blocks = (p.signals.rows + kSmallBlock - 1) / kSmallBlock;
    const int64_t atoms = whole ? Pursuit::in_groups(static_cast<int>(d.n_atoms)) : Pursuit::kChunk;
    return SF_LAUNCH((small_kernel<T, F, ols, whole>), blocks < kSmallGrid ? blocks : kSmallGrid, kSmallBlock,
                     atoms * Pursuit::kStride * static_cast<int64_t>(sizeof(T)), static_cast<cudaStream_t>(stream),
                     p.signals, d, tolerances_of<T>(p), outputs_of<T>(p));
}

template <typename T, int F>
const char* launch_small(const OmpProblem& p, void* stream) {
    const bool whole = p.dictionary.n_atoms <= SmallPursuit<T, F, true, true>::kChunk;
    if (p.coder == OmpCoder::ols)
        return whole ? launch_pursuit<T, F, true, true>(p, stream) : launch_pursuit<T, F, true, false>(p, stream);
    return whole ? launch_pursuit<T, F, false, true>(p, stream) : launch_pursuit<T, F, false, false>(p, stream);
}

}  // namespace

const char* launch_small_float(const OmpProblem& p, void* stream) {
    if (p.dictionary.n_features == 3) return launch_small<float, 3>(p, stream);
    return p.dictionary.n_features <= 4 ? launch_small<float, 4>(p, stream) : launch_small<float, 8>(p, stream);
}
const char* launch_small_double(const OmpProblem& p, void* stream) { return launch_small<double, 4>(p, stream); }

}  // namespace sparsefast
