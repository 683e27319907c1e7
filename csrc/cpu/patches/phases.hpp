// A row of numbers by their place modulo a stride, its phases, and back: so that what lies a stride apart lies
// together.
//
// Vectors of `stride` sources are picked from, lane by lane: as many picks for each vector of results.
#pragma once

#include "common/vec.hpp"

namespace sparsefast {
namespace {

// Larger strides, and instruction sets without a pick from two vectors, go number by number.
constexpr int64_t kMostStride = SPARSEFAST_ISA_LEVEL >= 3 ? 8 : 1;

// S is float or double, or stands for other numbers of that size, whose bits are kept.
template <typename S>
class PhaseOrder {
    static constexpr int64_t kLanes = Lanes<S>::n;

   public:
    // `apart`: for `to_phases`, else for `in_order`.
    PhaseOrder(int64_t stride, bool apart) : stride_(stride) {
        if (stride < 2 || stride > kMostStride) return;
        for (int64_t i = 0; i < stride; ++i)
            for (int64_t j = 0; j < stride; ++j)
                for (int64_t lane = 0; lane < kLanes; ++lane) {
                    // Result i takes from source j where that has the number.
                    const int64_t at = apart ? lane * stride + i : i * kLanes + lane;
                    const bool here = apart ? at / kLanes == j : at % stride == j;
                    const int64_t from = apart ? at % kLanes : at / stride;
                    picks_[i * stride + j][lane] = static_cast<Int<S>>(here ? kLanes + from : lane);
                }
    }

    // to[phase * length + place] = row[place * stride + phase], for n numbers.
    void to_phases(const S* row, int64_t n, S* to, int64_t length) const {
        int64_t place = 0;
        switch (stride_ <= kMostStride ? stride_ : 0) {
            case 2: place = apart<2>(row, n, to, length); break;
            case 3: place = apart<3>(row, n, to, length); break;
            case 4: place = apart<4>(row, n, to, length); break;
            case 5: place = apart<5>(row, n, to, length); break;
            case 6: place = apart<6>(row, n, to, length); break;
            case 7: place = apart<7>(row, n, to, length); break;
            case 8: place = apart<8>(row, n, to, length); break;
            default: break;
        }
        for (int64_t r = 0; r < stride_; ++r)
            for (int64_t m = place; m * stride_ + r < n; ++m) to[r * length + m] = row[m * stride_ + r];
    }

    // line[place * stride + phase] = phases[phase * step + place], for `length` places; whole vectors of places are
    // read and written, see `padding`.
    void in_order(const S* phases, int64_t length, int64_t step, S* line) const {
        switch (stride_ <= kMostStride ? stride_ : 0) {
            case 2: return together<2>(phases, length, step, line);
            case 3: return together<3>(phases, length, step, line);
            case 4: return together<4>(phases, length, step, line);
            case 5: return together<5>(phases, length, step, line);
            case 6: return together<6>(phases, length, step, line);
            case 7: return together<7>(phases, length, step, line);
            case 8: return together<8>(phases, length, step, line);
            default:
                for (int64_t r = 0; r < stride_; ++r)
                    for (int64_t m = 0; m < length; ++m) line[m * stride_ + r] = phases[r * step + m];
        }
    }
    // Numbers behind a line that in_order writes.
    static int64_t padding(int64_t stride) { return kLanes * (stride <= kMostStride ? stride : 1); }

   private:
    template <int Stride>
    SF_INLINE int64_t apart(const S* row, int64_t n, S* to, int64_t length) const {
        int64_t place = 0;
        for (; (place + kLanes) * Stride <= n; place += kLanes) {
            Vec<S> of[Stride];
#pragma GCC unroll 8
            for (int j = 0; j < Stride; ++j) of[j] = load(row + place * Stride + j * kLanes);
            pick<Stride>(of, [&](int i, Vec<S> v) { store(to + i * length + place, v); });
        }
        return place;
    }
    template <int Stride>
    SF_INLINE void together(const S* phases, int64_t length, int64_t step, S* line) const {
        for (int64_t m = 0; m < length; m += kLanes) {
            Vec<S> of[Stride];
#pragma GCC unroll 8
            for (int j = 0; j < Stride; ++j) of[j] = load(phases + j * step + m);
            pick<Stride>(of, [&](int i, Vec<S> v) { store(line + m * Stride + i * kLanes, v); });
        }
    }
    template <int Stride, typename Put>
    SF_INLINE void pick(const Vec<S>* of, const Put& put) const {
#pragma GCC unroll 8
        for (int i = 0; i < Stride; ++i) {
            Vec<S> picked = of[0];
#pragma GCC unroll 8
            for (int j = 0; j < Stride; ++j) picked = pick_lanes<S>(picked, of[j], picks_[i * Stride + j]);
            put(i, picked);
        }
    }

    int64_t stride_;
    IntVec<S> picks_[kMostStride * kMostStride];
};

}  // namespace
}  // namespace sparsefast
