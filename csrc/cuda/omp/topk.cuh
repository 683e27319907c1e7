// The largest correlations of one signal by a team of threads: the best of those left, one after the other, straight
// into the outputs.
#pragma once

#include "cuda/omp/output.cuh"
#include "cuda/omp/tile.cuh"

namespace sparsefast {
namespace {

template <typename T, int threads>
__device__ void write_largest(const DeviceDictionary<T>& d, const TileArrays<T>& tile, const SignalFacts<T>& facts,
                              int t, int64_t signal, bool positive, const Outputs<T>& out) {
    const Team<T, threads> team;
    T* const c = tile.c + t * d.ld;
    if (!is_finite(facts.norm2[t])) return out.write(team, signal, OmpStatus::nonfinite, 0, nullptr, nullptr, 0);
    const Shift<T> to_scale(facts.exponent[t] + *d.exponent);
    const int64_t row = signal * out.n_nonzero;
    int64_t count = 0;
    for (; count < out.n_nonzero; ++count) {
        Best<T> best;
        for (int64_t atom = team.rank() * kQuad; atom < d.ld; atom += threads * kQuad) {
            const Four<T> four = *reinterpret_cast<const Four<T>*>(c + atom);
#pragma unroll
            for (int i = 0; i < kQuad; ++i)
                best.offer(positive ? four.v[i] : fabs(four.v[i]), four.v[i], static_cast<int>(atom + i));
        }
        team.gather(best, false);
        team.sync();
        if (!best.found()) break;
        // The thread that looks at this atom next is the one that takes it out.
        if (best.index / kQuad % threads == team.rank()) c[best.index] = 0;
        if (team.rank() == 0) {
            out.values[row + count] = to_scale(best.value);
            out.put_index(row + count, best.index);
        }
    }
    for (int64_t j = count + team.rank(); j < out.n_nonzero; j += threads) {
        out.values[row + j] = 0;
        out.put_index(row + j, 0);
    }
    out.finish(team, signal, count < out.n_nonzero ? OmpStatus::orthogonal : OmpStatus::complete, count);
}

}  // namespace
}  // namespace sparsefast
