// The kernel of the coders omp, ols, masked and topk: blocks take tiles of signals, correlate them with all atoms, and
// code each by a team. Included by one source for each type.
#pragma once

#include "cuda/omp/plan.cuh"
#include "cuda/omp/topk.cuh"

namespace sparsefast {
namespace {

// Blocks a multiprocessor must have registers for. In double precision, and where one block codes a signal and the
// scan of its atoms takes most of the time, more registers are worth more than more blocks.
template <typename T, int threads>
constexpr int kResident = sizeof(T) == 4 && threads == kWarp ? 2 : 1;

template <typename T, OmpCoder coder, bool gram, int threads>
__global__ void __launch_bounds__(kBlock, (kResident<T, threads>))
    code_kernel(OmpProblem p, DeviceDictionary<T> d, Tolerances<T> tolerances, Outputs<T> out, Plan plan,
                char* workspace) {
    constexpr bool masked = coder == OmpCoder::masked;
    SF_DYNAMIC_SHARED(char, shared);
    __shared__ SignalFacts<T> facts;
    const Team<T, threads> team;
    const int64_t signals = plan.signals;
    const BlockArrays<T> arrays(p, d.ld, plan, Team<T, threads>::count, team.index(),
                                plan.shared ? shared : workspace + blockIdx.x * plan.bytes, nullptr);
    const int64_t most = d.n_features < d.n_atoms ? d.n_features : d.n_atoms;
    const int64_t limit = p.n_nonzero < most ? p.n_nonzero : most;
    for (int64_t begin = blockIdx.x * signals; begin < p.signals.rows; begin += gridDim.x * signals) {
        const int64_t left = p.signals.rows - begin;
        const int n = static_cast<int>(left < signals ? left : signals);
        load_tile<T, masked>(p.signals, p.mask, tolerances, begin, n, arrays.tile, facts);
        __syncthreads();
        correlate_tile(d, arrays.tile);
        __syncthreads();
        for (int t = team.index(); t < n; t += Team<T, threads>::count) {
            if constexpr (coder == OmpCoder::topk) {
                write_largest<T, threads>(d, arrays.tile, facts, t, begin + t, p.positive, out);
            } else {
                Pursuit<T, coder, gram, threads> pursuit(d, arrays.tile, facts, arrays.pursuit, limit, p.n_nonzero);
                int count = 0;
                const OmpStatus why = pursuit.code(t, &count);
                out.write(team, begin + t, why, count, arrays.pursuit.gamma, arrays.pursuit.support,
                          facts.exponent[t] - *d.exponent);
            }
        }
        __syncthreads();
    }
}

template <typename T>
Outputs<T> outputs_of(const OmpProblem& p) {
    const auto aligned = [](const void* at) { return reinterpret_cast<uintptr_t>(at) % 16 == 0; };
    return {static_cast<T*>(p.values),
            p.indices,
            p.counts,
            p.status,
            p.n_nonzero,
            p.index_type == IndexType::int64,
            p.n_nonzero == kQuad && aligned(p.values) && aligned(p.indices)};
}

template <typename T>
Tolerances<T> tolerances_of(const OmpProblem& p) {
    const T* const tol = static_cast<const T*>(p.tol);
    if (!tol) return {nullptr, 0, T(-1)};
    return p.tol_stride ? Tolerances<T>{tol, p.tol_stride, T(-1)} : Tolerances<T>{nullptr, 0, *tol};
}

template <typename T, OmpCoder coder, bool gram>
const char* launch_coder(const OmpProblem& p, const Plan& plan, void* workspace, cudaStream_t stream) {
    const DeviceDictionary<T> d(p.dictionary, p.packed);
    char* const global = static_cast<char*>(workspace);
    const auto grid = static_cast<unsigned>(plan.grid);
    const int64_t shared = plan.shared ? plan.bytes : 0;
    if (plan.warps)
        return SF_LAUNCH((code_kernel<T, coder, gram, kWarp>), grid, kBlock, shared, stream, p, d, tolerances_of<T>(p),
                         outputs_of<T>(p), plan, global);
    return SF_LAUNCH((code_kernel<T, coder, gram, kBlock>), grid, kBlock, shared, stream, p, d, tolerances_of<T>(p),
                     outputs_of<T>(p), plan, global);
}

template <typename T>
const char* launch_code(const OmpProblem& p, const Plan& plan, void* workspace, cudaStream_t stream) {
    const bool gram = p.dictionary.method == OmpMethod::gram;
    switch (p.coder) {
        case OmpCoder::omp:
            return gram ? launch_coder<T, OmpCoder::omp, true>(p, plan, workspace, stream)
                        : launch_coder<T, OmpCoder::omp, false>(p, plan, workspace, stream);
        case OmpCoder::ols:
            return gram ? launch_coder<T, OmpCoder::ols, true>(p, plan, workspace, stream)
                        : launch_coder<T, OmpCoder::ols, false>(p, plan, workspace, stream);
        case OmpCoder::masked: return launch_coder<T, OmpCoder::masked, false>(p, plan, workspace, stream);
        case OmpCoder::topk: return launch_coder<T, OmpCoder::topk, false>(p, plan, workspace, stream);
        default: return "this coder has no CUDA kernel";
    }
}

}  // namespace
}  // namespace sparsefast
