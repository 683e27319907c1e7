// The nearest codes of many signals: products of tiles in registers. A block takes 128 signals (64 in double precision)
// and passes all atoms, as many at a time. Its signals stay in shared memory, or as many of their features as have
// room; atoms come in slices of 16 features, two ahead of the one that is multiplied. A thread keeps 8 by 8 products (4
// by 4), for which it reads 16 numbers a feature, and the best atom of each of its signals.
//
// Each sum runs over the features in order, as in nearest_few_kernel: results do not depend on the kernel.
#pragma once

#include "cuda/async_copy.cuh"
#include "cuda/nearest/common.cuh"

namespace sparsefast {
namespace {

constexpr int kDepth = 16, kStages = 3;

// halves: quads of signals, and of atoms, of a thread.
template <typename T, int halves>
struct TiledNearest {
    static constexpr int kSide = 16, kSpan = kSide * kQuad, kTile = kSpan * halves, kOwn = kQuad * halves;
    static constexpr int kPitch = kTile + kQuad;  // so that neighbouring features lie in other banks
    static constexpr int64_t kStageBytes = kStages * kDepth * kTile * static_cast<int64_t>(sizeof(T));

    // The features that a panel has room for in so much shared memory, in whole slices.
    static int64_t panel(int64_t n_features, int64_t bytes) {
        const int64_t room = (bytes - kStageBytes) / (kPitch * static_cast<int64_t>(sizeof(T))) / kDepth * kDepth;
        const int64_t most = room < kDepth ? kDepth : room;
        return n_features < most ? n_features : most;
    }
    static int64_t bytes(int64_t panel) { return kStageBytes + panel * kPitch * static_cast<int64_t>(sizeof(T)); }
};

template <typename T, int halves>
__global__ void __launch_bounds__(kBlock, sizeof(T) == 4 ? 2 : 1)
    nearest_tiled_kernel(Matrix signals, DeviceDictionary<T> d, Nearest<T> out, int panel_features) {
    using Form = TiledNearest<T, halves>;
    constexpr int kTile = Form::kTile, kSpan = Form::kSpan, kOwn = Form::kOwn, kPitch = Form::kPitch;
    SF_DYNAMIC_SHARED(T, stages);                        // (kStages, kDepth, kTile)
    T* const panel = stages + kStages * kDepth * kTile;  // (panel_features, kPitch)
    __shared__ NearestTile<T, kTile> tile;
    __shared__ T keys[kOwn][kBlock];  // of the best atoms of the thread's signals
    __shared__ int indices[kOwn][kBlock];
    // A warp has 4 by 8 threads, the block 4 by 2 warps.
    const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
    const int row = (warp / 2 * 4 + lane / 8) * kQuad, column = (warp % 2 * 8 + lane % 8) * kQuad;
    const int own = *d.exponent;
    const int n_features = static_cast<int>(d.n_features), n_atoms = static_cast<int>(d.ld);
    const int slices = (n_features + kDepth - 1) / kDepth;
    const bool whole = panel_features >= n_features;

    for (int64_t begin = blockIdx.x * static_cast<int64_t>(kTile); begin < signals.rows;
         begin += gridDim.x * static_cast<int64_t>(kTile)) {
        const T* const x = static_cast<const T*>(signals.data) + begin * signals.row_stride;
        const int64_t rest = signals.rows - begin;
        const int n = static_cast<int>(rest < kTile ? rest : kTile);

        // The slice that is fetched next. What lies past the atoms is not: whatever is there, it has no finite norm.
        int fetch_atom = 0, fetch_feature = 0;
        const auto fetch = [&](int to_stage) {
            if (fetch_atom < n_atoms) {
#pragma unroll
                for (int i = 0; i < kDepth * kTile / kQuad / kBlock; ++i) {
                    const int item = threadIdx.x + i * kBlock;
                    const int f = item / (kTile / kQuad), a = item % (kTile / kQuad) * kQuad;
                    if (fetch_feature + f < n_features && fetch_atom + a < n_atoms) {
                        const T* const from = d.transposed + (fetch_feature + f) * d.ld + fetch_atom + a;
                        T* const to = stages + (to_stage * kDepth + f) * kTile + a;
#pragma unroll
                        for (int part = 0; part < kQuad; part += 16 / static_cast<int>(sizeof(T)))
                            copy_async<16>(to + part, from + part);
                    }
                }
            }
            copy_commit();
            fetch_feature += kDepth;
            if (fetch_feature >= n_features) fetch_feature = 0, fetch_atom += kTile;
        };
        fetch(0);
        fetch(1);
        tile.measure(signals, x, n);
        __syncthreads();
        if (whole) tile.template bring<kPitch>(signals, x, 0, n_features, tile.least(own), panel);

#pragma unroll
        for (int i = 0; i < kOwn; ++i)
            keys[i][threadIdx.x] = static_cast<T>(-INFINITY), indices[i][threadIdx.x] = Winner<T>::kNone;
        int stage = 0;
        for (int atom = 0; atom < n_atoms; atom += kTile) {
            T sum[kOwn][kOwn] = {};
            int from = 0;  // the feature that the panel begins with
            for (int slice = 0; slice < slices; ++slice) {
                const int f0 = slice * kDepth;
                copy_wait<1>();
                __syncthreads();
                fetch(stage ? stage - 1 : kStages - 1);
                if (!whole && f0 % panel_features == 0) {
                    from = f0;
                    const int left = n_features - from;
                    tile.template bring<kPitch>(signals, x, from,
                                                from + (left < panel_features ? left : panel_features), tile.least(own),
                                                panel);
                    __syncthreads();
                }
                const T* s = panel + (f0 - from) * kPitch + row;
                const T* a = stages + stage * kDepth * kTile + column;
                stage = stage + 1 == kStages ? 0 : stage + 1;
                const auto multiply = [&] {
                    T mine[kOwn], theirs[kOwn];
#pragma unroll
                    for (int h = 0; h < halves; ++h) {
                        const Four<T> low = *reinterpret_cast<const Four<T>*>(s + h * kSpan);
                        const Four<T> high = *reinterpret_cast<const Four<T>*>(a + h * kSpan);
#pragma unroll
                        for (int i = 0; i < kQuad; ++i)
                            mine[h * kQuad + i] = low.v[i], theirs[h * kQuad + i] = high.v[i];
                    }
#pragma unroll
                    for (int i = 0; i < kOwn; ++i)
#pragma unroll
                        for (int j = 0; j < kOwn; ++j) sum[i][j] = fma(mine[i], theirs[j], sum[i][j]);
                    s += kPitch;
                    a += kTile;
                };
                if (f0 + kDepth <= n_features) {
#pragma unroll
                    for (int f = 0; f < kDepth; ++f) multiply();
                } else {
                    for (int f = f0; f < n_features; ++f) multiply();
                }
            }
            T half[kOwn];
#pragma unroll
            for (int h = 0; h < halves; ++h) {
                const int at = atom + column + h * kSpan;
#pragma unroll
                for (int j = 0; j < kQuad; ++j)
                    half[h * kQuad + j] = at < n_atoms ? d.half[at + j] : static_cast<T>(INFINITY);
            }
#pragma unroll
            for (int i = 0; i < kOwn; ++i) {
                const int t = row + i / kQuad * kSpan + i % kQuad;
                const T ratio = tile.norm_scale(t, own);
                Winner<T> best{keys[i][threadIdx.x], indices[i][threadIdx.x]};
#pragma unroll
                for (int j = 0; j < kOwn; ++j)
                    best.meet(fma(-ratio, half[j], sum[i][j]), atom + column + j / kQuad * kSpan + j % kQuad);
                keys[i][threadIdx.x] = best.key, indices[i][threadIdx.x] = best.index;
            }
        }
        copy_wait<0>();
        Winner<T> best[kOwn];
#pragma unroll
        for (int i = 0; i < kOwn; ++i) {
            best[i] = {keys[i][threadIdx.x], indices[i][threadIdx.x]};
            best[i].template gather<8>();
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < kOwn; ++i) {
            const int t = row + i / kQuad * kSpan + i % kQuad;
            if (warp % 2 == 1 && lane % 8 == 0) keys[0][t] = best[i].key, indices[0][t] = best[i].index;
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < kOwn; ++i) {
            const int t = row + i / kQuad * kSpan + i % kQuad;
            best[i].offer(keys[0][t], indices[0][t]);
            if (warp % 2 == 0 && lane % 8 == 0) tile.winners[t] = best[i].index;
        }
        __syncthreads();
        tile.finish(signals, d, x, begin, n, own, out);
        __syncthreads();
    }
}

}  // namespace
}  // namespace sparsefast
