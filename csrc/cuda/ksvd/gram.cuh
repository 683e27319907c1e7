// E^T E of the entries of a tile, by panels of e = r + g d in shared memory: E is never formed as a whole.
//
// panel (kPanel, 64 or 128)    columns past the features zero          gram (n_features, n_features), both halves
//
// A block makes 64 by 64 elements at a time, each thread 4 by 4, those right of the diagonal alone, and writes their
// mirror. The rows are read once for each block of elements, of which there are 1 up to 64 features and 3 up to 128.
#pragma once

#include "cuda/ksvd/rows.cuh"

namespace sparsefast {
namespace {

constexpr int kPanel = 32, kGramBlock = 64, kGramAcross = 16, kGramEach = kGramBlock / kGramAcross;
constexpr int64_t kMaxGram = 128;

inline int64_t panel_size(int64_t n_features) { return kPanel * round_up(n_features, kGramBlock); }

template <typename T>
__device__ void gram_of_rows(const Rows<T>& r, int64_t begin, int64_t n, const T* atom, T* panel, T* gram) {
    const int n_features = r.n_features;
    const int wide = (n_features + kGramBlock - 1) / kGramBlock * kGramBlock;
    const Columns c(wide);
    const int down = threadIdx.x / kGramAcross, across = threadIdx.x % kGramAcross;
    for (int i0 = 0; i0 < wide; i0 += kGramBlock)
        for (int j0 = i0; j0 < wide; j0 += kGramBlock) {
            T sums[kGramEach][kGramEach] = {};
            for (int64_t first = 0; first < n; first += kPanel) {
                const int count = static_cast<int>(n - first < kPanel ? n - first : kPanel);
                __syncthreads();
                for (int i = c.group; i < count; i += c.groups)
                    panel[i * wide + c.column] =
                        c.column < n_features ? r.error(begin + first + i, c.column, atom) : T(0);
                __syncthreads();
                for (int i = 0; i < count; ++i) {
                    const T *const left = panel + i * wide + i0 + down, *const right = panel + i * wide + j0 + across;
#pragma unroll
                    for (int a = 0; a < kGramEach; ++a)
#pragma unroll
                        for (int b = 0; b < kGramEach; ++b)
                            sums[a][b] += left[a * kGramAcross] * right[b * kGramAcross];
                }
            }
#pragma unroll
            for (int a = 0; a < kGramEach; ++a)
#pragma unroll
                for (int b = 0; b < kGramEach; ++b) {
                    const int i = i0 + down + a * kGramAcross, j = j0 + across + b * kGramAcross;
                    if (i >= n_features || j >= n_features) continue;
                    gram[i * n_features + j] = sums[a][b];
                    if (i0 != j0) gram[j * n_features + i] = sums[a][b];
                }
        }
    __syncthreads();
}

}  // namespace
}  // namespace sparsefast
