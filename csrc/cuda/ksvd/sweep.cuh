// The sweep of K-SVD: for one atom d after the other, with the rows R_I of the residual that its signals have and their
// coefficients g, E = R_I + g d^T being never formed as a whole,
//
//     approx   u = E^T g, d' = u / ||u||
//     exact    d' = the leading eigenvector of E^T E, from u / ||u|| by restarted Lanczos (lanczos.cuh), to a relative
//              residual of 1e-6 in float32 and 1e-12 in float64
//     both     g' = R_I d' + g (d . d'), R_I += g d^T - g' d'^T
//
// One launch for all atoms, whose blocks are all resident and wait for each other. An atom takes
//
//     1. sums of E^T g, and of E^T E up to kMaxGram features, over tiles of its entries             barrier
//     2. exact up to kMaxGram features: the sums of E^T E over the tiles, in slices                 barrier
//     3. d', by every block for itself, from the sums of all tiles; with exact and more features each product of
//        Lanczos is one more visit of the rows, and                                                 a barrier each
//     4. the exchange, row by row                                                                   barrier
//
// Up to kMostHeld features a block keeps the rows of its tile in registers from 1 to 4 (held.cuh; approx alone, as
// Lanczos needs the registers) and has those of the next atom brought into the second-level cache meanwhile.
//
// The tiles of an atom depend on nothing but the number of its entries, and every sum has one order: bits do not depend
// on how many blocks there are. With `Parallel` atoms see the residual as it was: a block has an atom, as one tile.
//
// Sources: Aharon, Elad, Bruckstein 2006; Rubinstein, Zibulevsky, Elad 2008.
#pragma once

#include "cuda/ksvd/sweep_arguments.cuh"

namespace sparsefast {
namespace {

template <typename T, bool Exact, bool Parallel, bool Holds>
class Sweep {
   public:
    __device__ Sweep(const SweepArguments<T>& a, int64_t n_atoms, unsigned char* shared, T* room,
                     HeldShared<T>& held_shared, Krylov& krylov)
        : a_(a),
          n_atoms_(n_atoms),
          room_(room),
          krylov_(krylov),
          n_features_(a.rows.n_features),
          held_(a.rows, a.slots, a.n_nonzero, Exact ? kGramBlock / kVector : lanes_held(a.rows.n_features),
                held_shared) {
        panel_ = reinterpret_cast<T*>(shared);
        int64_t panel = 0;
        if (with_gram())
            panel =
                Holds ? kHeldPanel * kGramBlock : kPanel * ((n_features_ + kGramBlock - 1) / kGramBlock * kGramBlock);
        unsigned char* const vectors =
            a.vectors ? a.vectors + blockIdx.x * a.vector_bytes : reinterpret_cast<unsigned char*>(panel_ + panel);
        v_ = reinterpret_cast<double*>(vectors);  // with Exact; the widest come first
        basis_ = v_ + n_features_;
        atom_ = reinterpret_cast<T*>(Exact ? basis_ + int64_t(kBasis + 1) * n_features_ : v_);
        fresh_ = atom_ + n_features_;
        narrow_ = fresh_ + n_features_;
        const int64_t tiles = Parallel ? 1 : kMaxTiles, team = Parallel ? blockIdx.x : 0;
        partials_ = a.partials + team * 2 * tiles * a.partial_pitch;
        gram_partials_ = with_gram() ? a.gram_partials + team * tiles * a.gram_pitch * a.gram_pitch : nullptr;
        gram_ = Parallel ? gram_partials_ : a.gram;
        longest_ = a.longest + team * tiles;
        if (!Holds) return;
        end_ = a.rows.starts[0];
        next_end_ = a.rows.starts[1];
        next_element_ = element(0);
    }

    __device__ void update(int64_t k) {
        begin_ = a_.rows.starts[k];
        n_ = a_.rows.starts[k + 1] - begin_;
        if (n_ == 0) return;
        tile_ = tile_of(n_);
        n_tiles_ = (n_ + tile_ - 1) / tile_;
        const T* const d = static_cast<const T*>(a_.dictionary.data) + k * a_.dictionary.row_stride;
        for (int f = threadIdx.x; f < n_features_; f += kBlock) atom_[f] = d[f * a_.dictionary.col_stride];
        __syncthreads();
        if (!direction()) return;
        const T product = sum_in_warp<T>(n_features_, [&](int f) { return atom_[f] * fresh_[f]; });
        exchange(product);
        put_atom(k);
        barrier();
    }

    // The same with rows in registers, for k = 0, 1, ...
    __device__ __forceinline__ void update_held(int64_t k) {
        begin_ = end_;
        n_ = next_end_ - begin_;
        end_ = next_end_;
        const T own = next_element_;
        const bool last = k + 1 == n_atoms_;
        next_end_ = a_.rows.starts[last ? n_atoms_ : k + 2];
        if (!last) next_element_ = element(k + 1);
        if (n_ == 0) return;
        tile_ = tile_of(n_);
        n_tiles_ = (n_ + tile_ - 1) / tile_;
        if (static_cast<int>(threadIdx.x) < n_features_) atom_[threadIdx.x] = own;
        __syncthreads();
        HeldRows<T> rows;
        held_sums(rows);
        barrier();
        if (!finish_direction(partials_ + half_ * kMaxTiles * a_.partial_pitch)) return;
        const T product = sum_in_warp<T>(n_features_, [&](int f) { return atom_[f] * fresh_[f]; });
        const Vector<T> atom = held_.part_of(atom_), fresh = held_.part_of(fresh_);
        // Lanczos needs the registers.
        const bool kept = !Exact && n_tiles_ <= count() && tile_ <= held_.at_once;
        for_rounds([&](int64_t, int64_t begin, int n) {
            if (!kept) held_.load(begin, n, rows);
            held_.exchange(n, atom, fresh, product, rows, a_.coefficients);
        });
        put_atom(k);
        barrier();
    }

   private:
    __device__ bool with_gram() const { return Exact && (Holds || n_features_ <= kMaxGram); }
    __device__ static int64_t tile_of(int64_t n) {
        const int64_t share = (n + kMaxTiles - 1) / kMaxTiles;
        return Parallel ? n : share > kTile ? share : kTile;
    }
    // The thread's element of an atom, in the form with rows in registers.
    __device__ T element(int64_t k) const {
        const Matrix& d = a_.dictionary;
        const int f = threadIdx.x;
        return f < n_features_ ? static_cast<const T*>(d.data)[k * d.row_stride + f * d.col_stride] : T(0);
    }
    __device__ void put_atom(int64_t k) const {
        if (rank() == 0)
            for (int f = threadIdx.x; f < n_features_; f += kBlock) a_.atoms[k * n_features_ + f] = fresh_[f];
    }

    // Calls visit(tile, first entry, entries) for each round of each tile of this block.
    template <typename Visit>
    __device__ __forceinline__ void for_rounds(const Visit& visit) const {
        for (int64_t t = rank(); t < n_tiles_; t += count())
            for (int64_t first = 0, n = rows_of(t); first < n; first += held_.at_once)
                visit(t, begin_ + t * tile_ + first,
                      static_cast<int>(n - first < held_.at_once ? n - first : held_.at_once));
    }

    // The sums over this block's tiles.
    __device__ __forceinline__ void held_sums(HeldRows<T>& rows) {
        const Vector<T> atom = held_.part_of(atom_);
        T* const partials = other_half();
        Vector<T> sums = {};
        T products[kGramEach][kGramEach] = {};
        int64_t done = 0;
        for_rounds([&](int64_t t, int64_t begin, int n) {
            held_.load(begin, n, rows);
            if (done == 0) fetch_next();
            held_.add(n, atom, rows, sums);
            if (Exact) add_gram(held_, n, atom, rows, panel_, products);
            done += n;
            const int64_t end = begin_ + t * tile_ + rows_of(t);
            if (begin + n < end) return;
            held_.sum_teams(sums, [&](int f, T sum) { partials[t * a_.partial_pitch + f] = sum; });
            sums = {};
            if (!Exact) return;
            put_gram(products, gram_partials_ + t * kGramBlock * kGramBlock);
        });
        if (done == 0) fetch_next();
        held_.warm();
        if (Exact) held_.forget();
    }
    // The first entries that this block has of the next atom.
    __device__ __forceinline__ void fetch_next() {
        const int64_t n = next_end_ - end_, tile = tile_of(n), first = rank() * tile, left = n - first;
        const int64_t most = tile < held_.at_once ? tile : held_.at_once;
        held_.fetch(end_ + first, static_cast<int>(left < 0 ? 0 : left < most ? left : most));
    }
    __device__ int64_t rank() const { return Parallel ? 0 : blockIdx.x; }
    __device__ int64_t count() const { return Parallel ? 1 : gridDim.x; }
    __device__ void barrier() const {
        if (Parallel)
            __syncthreads();
        else
            grid_barrier();
    }
    __device__ int64_t rows_of(int64_t t) const { return (t + 1) * tile_ < n_ ? tile_ : n_ - t * tile_; }

    // The half of the partial sums that nobody can be reading any more: a barrier lies between two uses of one.
    __device__ T* other_half() {
        half_ ^= 1;
        return partials_ + half_ * (Parallel ? 1 : kMaxTiles) * a_.partial_pitch;
    }

    // E^T weights over the tiles of this block.
    __device__ void sum_tile(int64_t t, const T* weights, T* partials) {
        const int64_t begin = begin_ + t * tile_;
        sum_columns(
            n_features_, rows_of(t), room_,
            [&](int64_t i, int f) { return weights[begin + i] * a_.rows.error(begin + i, f, atom_); },
            [&](int f, T sum) { partials[t * n_features_ + f] = sum; });
    }

    // The sums over all tiles, to put(f, sum).
    template <typename Put>
    __device__ void sum_tiles(const T* partials, const Put& put) {
        sum_columns(n_features_, n_tiles_, room_, [&](int64_t t, int f) { return partials[t * n_features_ + f]; }, put);
        __syncthreads();
    }

    // Writes the new atom, of norm 1, to fresh_; false where the old one stays. The same in all blocks.
    __device__ bool direction() {
        T* const partials = other_half();
        for (int64_t t = rank(); t < n_tiles_; t += count()) {
            sum_tile(t, a_.rows.g, partials);
            if (with_gram())
                gram_of_rows(a_.rows, begin_ + t * tile_, rows_of(t), atom_, panel_,
                             gram_partials_ + t * n_features_ * n_features_);
        }
        barrier();
        return finish_direction(partials);
    }

    // From the sums of the tiles, behind a barrier.
    __device__ bool finish_direction(const T* partials) {
        if (with_gram() && !Parallel) {
            sum_grams();
            barrier();
        }
        if (Holds) {
            held_.sum_tiles(partials, n_tiles_, [&](int f, T sum) {
                if (f < n_features_) fresh_[f] = sum;
            });
            __syncthreads();
        } else {
            sum_tiles(partials, [&](int f, T sum) { fresh_[f] = sum; });
        }
        const bool found = normalise();
        if constexpr (Exact)
            return (found || longest_row()) && leading();
        else
            return found;
    }

    // The sums of E^T E over the tiles, of which a warp has a part for 32 elements.
    __device__ void sum_grams() {
        const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
        const int64_t size = a_.gram_pitch * a_.gram_pitch;
        constexpr int each = kMaxTiles / kWarps;
        for (int64_t first = rank() * kWarp; first < size; first += count() * kWarp) {
            const int64_t e = first + lane;
            T parts[each], sum = 0;
#pragma unroll
            for (int j = 0; j < each; ++j) {
                const int64_t t = warp + j * kWarps;
                parts[j] = e < size && t < n_tiles_ ? gram_partials_[t * size + e] : T(0);
            }
#pragma unroll
            for (int j = 0; j < each; ++j) sum += parts[j];
            __syncthreads();
            room_[threadIdx.x] = sum;
            __syncthreads();
            if (warp == 0 && e < size) {
                for (int w = 1; w < kWarps; ++w) sum += room_[w * kWarp + lane];
                gram_[e] = sum;
            }
        }
    }

    // From fresh_, of norm 1, to the leading eigenvector on the side of the old atom.
    __device__ bool leading() {
        for (int f = threadIdx.x; f < n_features_; f += kBlock) v_[f] = static_cast<double>(fresh_[f]);
        __syncthreads();
        constexpr double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-12;
        if (Holds)
            leading_of_products(tolerance);
        else if (!with_gram())
            leading_eigenvector(BlockCrew(), n_features_, tolerance, v_, basis_, krylov_,
                                [&](const double* x, double* y) { multiply(x, y); });
        else if (threadIdx.x < kWarp)
            leading_eigenvector(WarpCrew(), n_features_, tolerance, v_, basis_, krylov_,
                                [&](const double* x, double* y) { multiply_gram(x, y); });
        __syncthreads();
        const double cosine =
            sum_in_warp<double>(n_features_, [&](int f) { return v_[f] * static_cast<double>(atom_[f]); });
        for (int f = threadIdx.x; f < n_features_; f += kBlock) fresh_[f] = static_cast<T>(cosine < 0 ? -v_[f] : v_[f]);
        __syncthreads();
        return normalise();
    }

    // Lanczos in the first warp, to which the last kCrew threads give products: each has kShare rows of E^T E, of a
    // column, in registers.
    __device__ void leading_of_products(double tolerance) {
        constexpr int kCrew = kBlock / 2, kShares = kCrew / kGramBlock, kShare = kGramBlock / kShares;
        double* const sums = reinterpret_cast<double*>(panel_);  // (kShares, kGramBlock)
        const int member = static_cast<int>(threadIdx.x) - (kBlock - kCrew);
        if (threadIdx.x < kWarp) {
            leading_eigenvector(WarpCrew(), n_features_, tolerance, v_, basis_, krylov_,
                                [&](const double* x, double* y) {
                                    if (threadIdx.x == 0) krylov_.x = x;
                                    meet();
                                    meet();
                                    for (int f = threadIdx.x; f < n_features_; f += kWarp) {
                                        double sum = sums[f];
                                        for (int share = 1; share < kShares; ++share)
                                            sum += sums[share * kGramBlock + f];
                                        y[f] = sum;
                                    }
                                });
            if (threadIdx.x == 0) krylov_.x = nullptr;
            meet();
        } else if (member < 0) {
            for (meet(); krylov_.x; meet()) meet();
        } else {
            const int first = member / kGramBlock * kShare, column = member % kGramBlock;
            double rows[kShare];
#pragma unroll
            for (int j = 0; j < kShare; ++j) rows[j] = static_cast<double>(gram_[(first + j) * kGramBlock + column]);
            for (meet(); krylov_.x; meet()) {
                const double* const x = krylov_.x;
                double parts[4] = {};
#pragma unroll
                for (int j = 0; j < kShare; ++j) parts[j % 4] += rows[j] * (first + j < n_features_ ? x[first + j] : 0);
                sums[member] = (parts[0] + parts[1]) + (parts[2] + parts[3]);
                meet();
            }
        }
    }
    // A barrier that warps reach from where they are.
    __device__ static void meet() { __syncthreads(); }

    // fresh_ to norm 1; false, and fresh_ as it is, where its norm is zero or not finite.
    __device__ bool normalise() {
        const double squares = sum_in_warp<double>(n_features_, [&](int f) {
            const double u = static_cast<double>(fresh_[f]);
            return u * u;
        });
        __syncthreads();
        // Below the smallest normal number the quotients would have lost their digits.
        if (!(squares > 1e-290 && squares < 1e290)) return false;
        const double inverse = 1 / sqrt(squares);
        for (int f = threadIdx.x; f < n_features_; f += kBlock)
            fresh_[f] = static_cast<T>(static_cast<double>(fresh_[f]) * inverse);
        __syncthreads();
        return true;
    }

    // y = E^T E x, by a warp; the matrix is symmetric, so that lanes read neighbours.
    __device__ void multiply_gram(const double* x, double* y) const {
        for (int f = threadIdx.x; f < n_features_; f += kWarp) {
            double sum = 0;
#pragma unroll 4
            for (int j = 0; j < n_features_; ++j) sum += static_cast<double>(gram_[j * a_.gram_pitch + f]) * x[j];
            y[f] = sum;
        }
    }

    // The same from the rows, by all blocks: E^T (E x).
    __device__ void multiply(const double* x, double* y) {
        for (int f = threadIdx.x; f < n_features_; f += kBlock) narrow_[f] = static_cast<T>(x[f]);
        __syncthreads();
        const T along = sum_in_warp<T>(n_features_, [&](int f) { return atom_[f] * narrow_[f]; });
        T* const partials = other_half();
        for (int64_t t = rank(); t < n_tiles_; t += count()) {
            const int64_t begin = begin_ + t * tile_;
            dot_rows(a_.rows, begin, begin + rows_of(t), 0, 1, narrow_,
                     [&](int64_t i, T dot, int lane, int, const T(&)[kHeld]) {
                         if (lane == 0) a_.dots[i] = dot + a_.rows.g[i] * along;
                     });
            __syncthreads();
            sum_tile(t, a_.dots, partials);
        }
        barrier();
        // Not to y at once, of which each element is one thread's.
        sum_tiles(partials, [&](int f, T sum) { narrow_[f] = sum; });
        for (int f = threadIdx.x; f < n_features_; f += kBlock) y[f] = static_cast<double>(narrow_[f]);
    }

    // E^T g is zero and E may not be: its longest row is a start that is not orthogonal to all of it. The first of
    // them, copied before the barrier, behind which other blocks may already exchange.
    __device__ bool longest_row() {
        __shared__ Longest of_warps[kWarps];
        T* const copies = other_half();
        for (int64_t t = rank(); t < n_tiles_; t += count()) {
            const int64_t begin = begin_ + t * tile_, n = rows_of(t);
            Longest best{0, -1};
            for (int64_t i = begin + threadIdx.x / kWarp; i < begin + n; i += kWarps) {
                const double squares = sum_in_warp<double>(n_features_, [&](int f) {
                    const double e = static_cast<double>(a_.rows.error(i, f, atom_));
                    return e * e;
                });
                offer(best, {squares < 1e290 ? squares : NAN, i});
            }
            __syncthreads();
            if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = best;
            __syncthreads();
            best = of_warps[0];
            for (int w = 1; w < kWarps; ++w) offer(best, of_warps[w]);
            if (threadIdx.x == 0) longest_[t] = best;
            for (int f = threadIdx.x; f < n_features_; f += kBlock)
                copies[t * n_features_ + f] = best.entry < 0 ? T(0) : a_.rows.error(best.entry, f, atom_);
        }
        barrier();
        Longest best{0, -1};
        int64_t tile = 0;
        for (int64_t t = 0; t < n_tiles_; ++t) {
            offer(best, longest_[t]);
            tile = best.entry == longest_[t].entry ? t : tile;
        }
        if (best.entry < 0 || best.squares != best.squares) return false;
        for (int f = threadIdx.x; f < n_features_; f += kBlock) fresh_[f] = copies[tile * n_features_ + f];
        __syncthreads();
        return normalise();
    }
    __device__ static void offer(Longest& best, const Longest& other) {
        if (other.squares > best.squares || (other.squares == best.squares && other.entry < best.entry) ||
            other.squares != other.squares)
            best = other;
    }

    __device__ void exchange(T product) {
        const Rows<T>& r = a_.rows;
        dot_rows(r, begin_, begin_ + n_, rank(), count(), fresh_,
                 [&](int64_t i, T dot, int lane, int lanes, const T(&held)[kHeld]) {
                     const T old = r.g[i], now = dot + old * product;
                     if (lane == 0) a_.coefficients[r.rows[i] * a_.n_nonzero + a_.slots[i]] = now;
                     if (Parallel) return;
                     T* const row = r.row(i);
#pragma unroll
                     for (int v = 0; v < kHeld; ++v) {
                         const int f = lane + v * lanes;
                         if (f < n_features_) row[f] = held[v] + old * atom_[f] - now * fresh_[f];
                     }
                     for (int f = lane + kHeld * lanes; f < n_features_; f += lanes)
                         row[f] += old * atom_[f] - now * fresh_[f];
                 });
    }

    const SweepArguments<T>& a_;
    int64_t n_atoms_;
    T* room_;
    Krylov& krylov_;
    int n_features_;
    Held<T> held_;
    int64_t begin_, n_, tile_, n_tiles_, end_, next_end_;
    T next_element_;
    int half_ = 0;
    T *panel_, *atom_, *fresh_, *narrow_, *partials_, *gram_partials_, *gram_;
    double *v_, *basis_;
    Longest* longest_;
};

template <typename T, bool Exact, bool Parallel, bool Holds>
__global__ void __launch_bounds__(kBlock, Exact || Holds ? 1 : 2) sweep_kernel(SweepArguments<T> a, int64_t n_atoms) {
    SF_DYNAMIC_SHARED(unsigned char, shared);
    __shared__ T room[kBlock];
    __shared__ HeldShared<T> held;
    __shared__ Krylov krylov;
    Sweep<T, Exact, Parallel, Holds> sweep(a, n_atoms, shared, room, held, krylov);
    if constexpr (Holds)
        for (int64_t k = 0; k < n_atoms; ++k) sweep.update_held(k);
    else
        for (int64_t k = Parallel ? blockIdx.x : 0; k < n_atoms; k += Parallel ? gridDim.x : 1) sweep.update(k);
}

}  // namespace
}  // namespace sparsefast
