// The rows of an atom's tile that a block keeps in registers from the sums to the exchange, all of them on their way
// from memory at once. For up to kMaxHeld features: a lane has kVector neighbouring elements of a row, a team of lanes
// a row of each round of kRowsHeld.
//
// What the next atom needs (entries, and their rows in the second-level cache) is asked for while this one is computed.
// A row that this atom still changes may be asked for too: the cache has one copy of it.
#pragma once

#include "cuda/async_copy.cuh"
#include "cuda/ksvd/gram.cuh"

namespace sparsefast {
namespace {

constexpr int kVector = 4;
constexpr int64_t kMaxHeld = kVector * kWarp;
template <typename T>
constexpr int kRowsHeld = sizeof(T) == 4 ? 16 : 8;

template <typename T>
struct alignas(16) Vector {
    T at[kVector];
};
template <typename T>
__device__ __forceinline__ Vector<T> load_vector(const T* from) {
    return *reinterpret_cast<const Vector<T>*>(from);
}
template <typename T>
__device__ __forceinline__ void store_vector(T* to, const Vector<T>& v) {
    *reinterpret_cast<Vector<T>*>(to) = v;
}

// Lanes of a row.
__host__ __device__ inline int lanes_held(int64_t n_features) {
    int lanes = 1;
    while (lanes < kWarp && kVector * lanes < n_features) lanes *= 2;
    return lanes;
}

template <typename T>
using HeldRows = Vector<T>[kRowsHeld<T>];

template <typename T>
struct HeldShared {
    int64_t offsets[kBlock];  // of the rows in the residual
    T g[kBlock], now[kBlock];
    alignas(16) T sums[kWarps][kMaxHeld];  // of vectors
};

template <typename T>
class Held {
   public:
    const int lanes, lane, team, teams, at_once;  // at_once: entries of a round

    __device__ Held(const Rows<T>& rows, const int32_t* slots, int64_t n_nonzero, int lanes, HeldShared<T>& shared)
        : lanes(lanes),
          lane(static_cast<int>(threadIdx.x) % lanes),
          team(static_cast<int>(threadIdx.x) / lanes),
          teams(kBlock / lanes),
          at_once(kRowsHeld<T> < lanes ? kBlock / lanes * kRowsHeld<T> : kBlock),
          rows_(rows),
          slots_(slots),
          n_nonzero_(n_nonzero),
          shared_(shared) {}

    // The lane's elements of a vector of n_features, zeros past its end.
    __device__ __forceinline__ Vector<T> part_of(const T* vector) const {
        Vector<T> part;
#pragma unroll
        for (int c = 0; c < kVector; ++c) {
            const int f = kVector * lane + c;
            part.at[c] = f < rows_.n_features ? vector[f] : T(0);
        }
        return part;
    }

    // Entries [begin, begin + n) of a round ahead of time, of each thread one.
    __device__ __forceinline__ void fetch(int64_t begin, int n) {
        fetched_ = begin;
        n_fetched_ = n;
        if (static_cast<int>(threadIdx.x) >= n) return;
        const int64_t i = begin + threadIdx.x;
        row_ = rows_.rows[i];
        g_ = rows_.g[i];
        slot_ = slots_[i];
    }
    // Their rows to the second-level cache.
    __device__ __forceinline__ void warm() const {
        if (static_cast<int>(threadIdx.x) < n_fetched_)
            prefetch(rows_.residual + row_ * rows_.width, static_cast<unsigned>(rows_.width * sizeof(T)));
    }

    // Gives the registers free: the entries come from the second-level cache when they are wanted.
    __device__ __forceinline__ void forget() {
        fetched_ = -1;
        row_ = target_ = n_fetched_ = slot_ = 0;
        g_ = 0;
    }

    __device__ __forceinline__ void load(int64_t begin, int n, HeldRows<T>& rows) {
        if (begin != fetched_ || n != n_fetched_) fetch(begin, n);
        __syncthreads();  // the last round may still be read
        if (static_cast<int>(threadIdx.x) < n) {
            shared_.offsets[threadIdx.x] = row_ * rows_.width;
            shared_.g[threadIdx.x] = g_;
            target_ = row_ * n_nonzero_ + slot_;
        }
        __syncthreads();
        const bool inside = kVector * lane < rows_.width;
#pragma unroll
        for (int j = 0; j < kRowsHeld<T>; ++j) {
            const int i = team + j * teams;
            if (inside && i < n)
                rows[j] = load_vector(rows_.residual + shared_.offsets[i] + kVector * lane);
            else
                rows[j] = {};
        }
    }

    // r becomes e = r + g d, and sums grow by g e.
    __device__ __forceinline__ void add(int n, const Vector<T>& atom, const HeldRows<T>& rows, Vector<T>& sums) const {
#pragma unroll
        for (int j = 0; j < kRowsHeld<T>; ++j) {
            const T g = weight(j, n);
#pragma unroll
            for (int c = 0; c < kVector; ++c) sums.at[c] += g * (rows[j].at[c] + g * atom.at[c]);
        }
    }
    // The coefficient of the team's entry j; zero where there is none.
    __device__ __forceinline__ T weight(int j, int n) const {
        const int i = team + j * teams;
        return i < n ? shared_.g[i] : T(0);
    }

    // put(f, sum over the teams) for each f < kVector * lanes. All threads come here.
    template <typename Put>
    __device__ __forceinline__ void sum_teams(Vector<T> own, const Put& put) {
        for (int o = kWarp / 2; o >= lanes; o >>= 1)
#pragma unroll
            for (int c = 0; c < kVector; ++c) own.at[c] += __shfl_xor_sync(kAllLanes, own.at[c], o);
        __syncthreads();  // the sums may still be read
        if (static_cast<int>(threadIdx.x) % kWarp < lanes)
            store_vector(&shared_.sums[threadIdx.x / kWarp][kVector * lane], own);
        __syncthreads();
        const int f = threadIdx.x;
        if (f >= kVector * lanes) return;
        T sum = shared_.sums[0][f];
#pragma unroll
        for (int w = 1; w < kWarps; ++w) sum += shared_.sums[w][f];
        put(f, sum);
    }

    // The sums over n tiles of (n, kVector * lanes) numbers, as above.
    template <typename Put>
    __device__ __forceinline__ void sum_tiles(const T* partials, int64_t n, const Put& put) {
        constexpr int each = 8;
        Vector<T> own = {};
        for (int64_t first = team; first < n; first += each * teams) {
            Vector<T> parts[each];
#pragma unroll
            for (int j = 0; j < each; ++j) {
                const int64_t t = first + j * teams;
                if (t < n)
                    parts[j] = load_vector(partials + (t * lanes + lane) * kVector);
                else
                    parts[j] = {};
            }
#pragma unroll
            for (int j = 0; j < each; ++j)
#pragma unroll
                for (int c = 0; c < kVector; ++c) own.at[c] += parts[j].at[c];
        }
        sum_teams(own, put);
    }

    // g' = r . d' + g (d . d') and r += g d - g' d', for the rows of the last load().
    __device__ __forceinline__ void exchange(int n, const Vector<T>& atom, const Vector<T>& fresh, T product,
                                             const HeldRows<T>& rows, T* coefficients) {
        T now[kRowsHeld<T>];
#pragma unroll
        for (int j = 0; j < kRowsHeld<T>; ++j) {
            now[j] = 0;
#pragma unroll
            for (int c = 0; c < kVector; ++c) now[j] += rows[j].at[c] * fresh.at[c];
        }
        for (int o = lanes / 2; o; o >>= 1)
#pragma unroll
            for (int j = 0; j < kRowsHeld<T>; ++j) now[j] += __shfl_xor_sync(kAllLanes, now[j], o);
        const bool inside = kVector * lane < rows_.width;
#pragma unroll
        for (int j = 0; j < kRowsHeld<T>; ++j) {
            const int i = team + j * teams;
            if (i >= n) continue;
            const T old = shared_.g[i];
            now[j] += old * product;
            if (lane == 0) shared_.now[i] = now[j];
            Vector<T> row;
#pragma unroll
            for (int c = 0; c < kVector; ++c) row.at[c] = rows[j].at[c] + old * atom.at[c] - now[j] * fresh.at[c];
            if (inside) store_vector(rows_.residual + shared_.offsets[i] + kVector * lane, row);
        }
        __syncthreads();
        if (static_cast<int>(threadIdx.x) < n) coefficients[target_] = shared_.now[threadIdx.x];
    }

   private:
    const Rows<T>& rows_;
    const int32_t* slots_;
    int64_t n_nonzero_;
    HeldShared<T>& shared_;
    int64_t fetched_ = -1, row_ = 0, target_ = 0;
    int n_fetched_ = 0, slot_ = 0;
    T g_ = 0;
};

constexpr int kStepRows = 4;  // of a team, that lie in shared memory at a time
constexpr int kHeldPanel = kStepRows * kBlock / (kGramBlock / kVector);

// products += E^T E of the rows of the last load(), 4 by 4 elements a thread, by way of a panel (kHeldPanel,
// kGramBlock) in shared memory. A row has kGramBlock / kVector lanes.
template <typename T>
__device__ __forceinline__ void add_gram(const Held<T>& held, int n, const Vector<T>& atom, const HeldRows<T>& rows,
                                         T* panel, T (&products)[kGramEach][kGramEach]) {
    const T* const left = panel + kVector * (static_cast<int>(threadIdx.x) / kGramAcross);
    const T* const right = panel + kVector * (static_cast<int>(threadIdx.x) % kGramAcross);
#pragma unroll
    for (int first = 0; first < kRowsHeld<T>; first += kStepRows) {
        __syncthreads();
#pragma unroll
        for (int j = first; j < first + kStepRows; ++j) {
            const T g = held.weight(j, n);
            Vector<T> e;
#pragma unroll
            for (int c = 0; c < kVector; ++c) e.at[c] = rows[j].at[c] + g * atom.at[c];
            store_vector(panel + ((j - first) * held.teams + held.team) * kGramBlock + kVector * held.lane, e);
        }
        __syncthreads();
        const int left_over = n - first * held.teams, count = left_over < kHeldPanel ? left_over : kHeldPanel;
#pragma unroll 4
        for (int i = 0; i < count; ++i) {
            const Vector<T> a = load_vector(left + i * kGramBlock), b = load_vector(right + i * kGramBlock);
#pragma unroll
            for (int x = 0; x < kGramEach; ++x)
#pragma unroll
                for (int y = 0; y < kGramEach; ++y) products[x][y] += a.at[x] * b.at[y];
        }
    }
}

// Writes (kGramBlock, kGramBlock) products, and makes them zero.
template <typename T>
__device__ __forceinline__ void put_gram(T (&products)[kGramEach][kGramEach], T* gram) {
    const int down = threadIdx.x / kGramAcross, across = threadIdx.x % kGramAcross;
#pragma unroll
    for (int x = 0; x < kGramEach; ++x) {
        Vector<T> row;
#pragma unroll
        for (int y = 0; y < kGramEach; ++y) row.at[y] = products[x][y], products[x][y] = 0;
        store_vector(gram + (kVector * down + x) * kGramBlock + kVector * across, row);
    }
}

}  // namespace
}  // namespace sparsefast
