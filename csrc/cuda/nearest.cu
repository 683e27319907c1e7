// Vector quantisation on a device: the nearest atom of each signal, argmin_k ||x - d_k||, and that distance.
//
// The largest <x, d_k> - ||d_k||^2 / 2 is the nearest. The distance is that of the difference itself, since
// ||x||^2 - 2 <x, d> + ||d||^2 cancels. Kernels differ in the sizes that they are for; those of any number of features
// give the same bits.
#include "cuda/nearest/few.cuh"
#include "cuda/nearest/small.cuh"
#include "cuda/nearest/tiled.cuh"

namespace sparsefast {
namespace {

constexpr int64_t kMostBlocks = 1 << 20;
constexpr int64_t kManySignals = 8192;       // fill half of a large device with tiles
constexpr int64_t kSharedWanted = 90 << 10;  // bytes a block, so that two fit on a multiprocessor
constexpr int64_t kStatic = 20 << 10, kFewBytes = 40 << 10;

template <typename T>
const char* launch_nearest(const NearestProblem& p, int64_t shared_limit, cudaStream_t stream) {
    const DeviceDictionary<T> d(p.codebook, p.packed);
    const Nearest<T> out{static_cast<T*>(p.distances), p.indices, p.index_type == IndexType::int64};
    const auto grid = [&](int64_t signals) {
        const int64_t blocks = (p.signals.rows + signals - 1) / signals;
        return static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
    };
    const auto shared = [&](int64_t features) {
        const int64_t bytes = p.codebook.n_atoms * features * static_cast<int64_t>(sizeof(T));
        return bytes < kSmallBytes ? bytes : kSmallBytes;
    };
    if (d.n_features <= 4)
        return SF_LAUNCH((nearest_small_kernel<T, 4>), grid(kBlock), kBlock, shared(4), stream, p.signals, d, out);
    if (d.n_features <= 8)
        return SF_LAUNCH((nearest_small_kernel<T, 8>), grid(kBlock), kBlock, shared(8), stream, p.signals, d, out);
    const int64_t few_bytes = d.n_features * kFewPitch * static_cast<int64_t>(sizeof(T));
    if (p.signals.rows < kManySignals && few_bytes <= kFewBytes)
        return SF_LAUNCH((nearest_few_kernel<T>), grid(kFewSignals), kBlock, few_bytes, stream, p.signals, d, out);
    using Form = TiledNearest<T, sizeof(T) == 4 ? 2 : 1>;
    const int64_t limit = shared_limit - kStatic;
    const int64_t panel = Form::panel(d.n_features, limit < kSharedWanted ? limit : kSharedWanted);
    return SF_LAUNCH((nearest_tiled_kernel < T, sizeof(T) == 4 ? 2 : 1 >), grid(Form::kTile), kBlock,
                     Form::bytes(panel), stream, p.signals, d, out, static_cast<int>(panel));
}

}  // namespace

const char* cuda_nearest_code(const NearestProblem& p, CudaQueue queue) {
    const DeviceGuard guard(queue.device);
    if (guard.error()) return guard.error();
    if (p.signals.rows == 0) return nullptr;
    const auto stream = static_cast<cudaStream_t>(queue.stream);
    const int64_t limit = shared_memory_limit(queue.device);
    return p.codebook.dtype == DType::float32 ? launch_nearest<float>(p, limit, stream)
                                              : launch_nearest<double>(p, limit, stream);
}

}  // namespace sparsefast
