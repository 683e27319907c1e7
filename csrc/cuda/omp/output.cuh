// The code of one signal, written to the outputs of the call by its team.
#pragma once

#include "cuda/omp/layout.cuh"

namespace sparsefast {
namespace {

template <typename T>
struct Outputs {
    T* values;      // (n_signals, n_nonzero)
    void* indices;  // (n_signals, n_nonzero)
    int32_t* counts;
    uint8_t* status;
    int64_t n_nonzero;
    bool wide;      // int64 indices
    bool in_fours;  // whether rows are of four and begin at multiples of 16 bytes

    __device__ void put_index(int64_t at, int index) const {
        if (wide)
            static_cast<int64_t*>(indices)[at] = index;
        else
            static_cast<int32_t*>(indices)[at] = index;
    }

    // The four indices of a thread's signal, of rows of four, by all threads of a warp, whose signals follow each other
    // from an even one on. Wide ones go as two rows by each pair of threads, half a row from each: whole sectors.
    __device__ void put_four(int64_t signal, const int* index) const {
        struct alignas(16) Two {
            int64_t v[2];
        };
        if (wide) {
            const bool odd = threadIdx.x & 1;
            const int low = __shfl_xor_sync(0xffffffffu, odd ? index[0] : index[2], 1);
            const int high = __shfl_xor_sync(0xffffffffu, odd ? index[1] : index[3], 1);
            Two* const to = static_cast<Two*>(indices) + signal * 2 - odd;
            to[0] = {{odd ? low : index[0], odd ? high : index[1]}};
            to[2] = {{odd ? index[2] : low, odd ? index[3] : high}};
        } else {
            static_cast<Four<int32_t>*>(indices)[signal] = {{index[0], index[1], index[2], index[3]}};
        }
    }

    // The first `count` entries times 2^shift, and padding; a signal that is not finite has no entries, and NaN.
    template <typename Team>
    __device__ void write(const Team& team, int64_t signal, OmpStatus why, int64_t count, const T* gamma,
                          const int* support, int shift) const {
        const Shift<T> to_scale(shift);
        const T padding = why == OmpStatus::nonfinite ? static_cast<T>(NAN) : T(0);
        const int64_t row = signal * n_nonzero;
        for (int64_t j = team.rank(); j < n_nonzero; j += Team::size) {
            values[row + j] = j < count ? to_scale(gamma[j]) : padding;
            put_index(row + j, j < count ? support[j] : 0);
        }
        finish(team, signal, why, count);
    }
    template <typename Team>
    __device__ void finish(const Team& team, int64_t signal, OmpStatus why, int64_t count) const {
        if (team.rank() == 0) {
            counts[signal] = static_cast<int32_t>(count);
            status[signal] = static_cast<uint8_t>(why);
        }
    }
};

}  // namespace
}  // namespace sparsefast
