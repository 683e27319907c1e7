// OMP in single precision with a Gram matrix: which form of csrc/cuda/omp/projected.cuh a problem takes.
#include <initializer_list>

#include "cuda/omp/coder.cuh"
#include "cuda/omp/launch.hpp"
#include "cuda/omp/projected.cuh"

namespace sparsefast {
namespace {

// Signals a block codes, where there are many; where there are few, one, or two if the dictionary is large and a read
// of it takes long.
constexpr int kMany = 8;
constexpr int64_t kManySignals = 4096;

template <int Q, int W, int kTile>
const char* launch_tile(const OmpProblem& p, const ProjectedLayout& layout, cudaStream_t stream) {
    const DeviceDictionary<float> d(p.dictionary, p.packed);
    const int64_t tiles = (p.signals.rows + kTile - 1) / kTile;
    const auto grid = static_cast<unsigned>(tiles < kMostBlocks ? tiles : kMostBlocks);
    return SF_LAUNCH((projected_kernel<Q, W, kTile>), grid, W * kWarp, layout.bytes, stream, p.signals, d,
                     tolerances_of<float>(p), outputs_of<float>(p), layout);
}

// For at most 128 Q W atoms.
template <int Q, int W>
const char* launch_team(const OmpProblem& p, cudaStream_t stream) {
    constexpr int atoms = ProjectedPursuit<Q, W, kMany>::kAtoms, few = W < 4 ? 1 : 2;
    return p.signals.rows >= kManySignals ? launch_tile<Q, W, kMany>(p, projected_layout(p, kMany, atoms), stream)
                                          : launch_tile<Q, W, few>(p, projected_layout(p, few, atoms), stream);
}

// Atoms that the team which codes a signal has room for, 0 where there is none.
int64_t room_for(int64_t n_atoms) {
    for (const int64_t room : {128, 256, 512, 1024, 2048})
        if (n_atoms <= room) return room;
    return 0;
}

}  // namespace

bool takes_projected(const OmpProblem& p, int64_t shared_limit) {
    const int64_t room = room_for(p.dictionary.n_atoms);
    return room && p.coder == OmpCoder::omp && p.dictionary.dtype == DType::float32 &&
           p.dictionary.method == OmpMethod::gram && p.n_nonzero <= kProjectedMost &&
           projected_layout(p, kMany, static_cast<int>(room)).bytes + 1024 <= shared_limit;
}

const char* launch_projected(const OmpProblem& p, void* stream) {
    const auto queue = static_cast<cudaStream_t>(stream);
    switch (room_for(p.dictionary.n_atoms)) {
        case 128: return launch_team<1, 1>(p, queue);
        case 256: return launch_team<2, 1>(p, queue);
        case 512: return launch_team<2, 2>(p, queue);
        case 1024: return launch_team<2, 4>(p, queue);
        default: return launch_team<2, 8>(p, queue);
    }
}

}  // namespace sparsefast
