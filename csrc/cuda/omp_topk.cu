// The largest correlations of signals in single precision.
#include "cuda/omp/coder.cuh"
#include "cuda/omp/launch.hpp"
#include "cuda/omp/topk_tile.cuh"

namespace sparsefast {
namespace {

constexpr int64_t kStatic = 1 << 10;

template <int group, int groups>
bool fits(const OmpProblem& p, int64_t bytes) {
    return TopkTile<group, groups>::bytes(p.dictionary.n_features, padded(p.dictionary.n_atoms, 32)) + kStatic <= bytes;
}

// A tile in which the whole block correlates, where there are enough signals for two on each multiprocessor of a large
// device, and two have the room.
template <int group, int groups>
bool suits(const OmpProblem& p, int64_t limit) {
    return p.dictionary.n_atoms * groups <= kBlock * kQuad && p.signals.rows >= group * groups * kFullGrid &&
           fits<group, groups>(p, limit < kSharedWanted ? limit : kSharedWanted);
}

template <int group, int groups>
const char* launch_topk(const OmpProblem& p, void* stream) {
    using Tile = TopkTile<group, groups>;
    const DeviceDictionary<float> d(p.dictionary, p.packed);
    const int64_t tiles = (p.signals.rows + Tile::kSignals - 1) / Tile::kSignals;
    return SF_LAUNCH((topk_kernel<group, groups>), tiles < kMostBlocks ? tiles : kMostBlocks, kBlock,
                     Tile::bytes(d.n_features, d.ld), static_cast<cudaStream_t>(stream), p.signals, d, p.positive,
                     outputs_of<float>(p));
}

}  // namespace

bool takes_topk(const OmpProblem& p, int64_t shared_limit) {
    return p.coder == OmpCoder::topk && p.dictionary.dtype == DType::float32 && fits<8, 1>(p, shared_limit);
}

const char* launch_topk_float(const OmpProblem& p, int64_t shared_limit, void* stream) {
    if (suits<16, 4>(p, shared_limit)) return launch_topk<16, 4>(p, stream);
    if (suits<16, 2>(p, shared_limit)) return launch_topk<16, 2>(p, stream);
    if (p.signals.rows >= 16 * kFullGrid && fits<16, 1>(p, shared_limit)) return launch_topk<16, 1>(p, stream);
    return launch_topk<8, 1>(p, stream);
}

}  // namespace sparsefast
