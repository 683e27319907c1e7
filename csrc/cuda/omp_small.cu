// OMP and order-recursive selection of signals with few features.
#include "cuda/omp/coder.cuh"
#include "cuda/omp/launch.hpp"
#include "cuda/omp/small.cuh"

namespace sparsefast {
namespace {

template <typename T, int F>
const char* launch_small(const OmpProblem& p, void* stream) {
    const DeviceDictionary<T> d(p.dictionary, p.packed);
    const int64_t blocks = (p.signals.rows + kSmallBlock - 1) / kSmallBlock;
    const auto grid = static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
    const auto queue = static_cast<cudaStream_t>(stream);
    const int64_t chunk = SmallPursuit<T, F, true>::kChunk,
                  atoms = p.dictionary.n_atoms < chunk ? p.dictionary.n_atoms : chunk;
    const int64_t shared = atoms * F * static_cast<int64_t>(sizeof(T));
    if (p.coder == OmpCoder::ols)
        return SF_LAUNCH((small_kernel<T, F, true>), grid, kSmallBlock, shared, queue, p.signals, d,
                         tolerances_of<T>(p), outputs_of<T>(p));
    return SF_LAUNCH((small_kernel<T, F, false>), grid, kSmallBlock, shared, queue, p.signals, d, tolerances_of<T>(p),
                     outputs_of<T>(p));
}

}  // namespace

const char* launch_small_float(const OmpProblem& p, void* stream) {
    return p.dictionary.n_features <= 4 ? launch_small<float, 4>(p, stream) : launch_small<float, 8>(p, stream);
}
const char* launch_small_double(const OmpProblem& p, void* stream) { return launch_small<double, 4>(p, stream); }

}  // namespace sparsefast
