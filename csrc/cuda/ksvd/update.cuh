// ksvd_update around its sweep: the entries sorted by their atoms, the residual R = X - Gamma D before it, the errors
// ||r|| after it.
//
// residual (n_signals, width)    rows padded to whole sectors, the padding zero
//
// A few neighbouring lanes go through a row, in all kernels here.
#pragma once

#include "cuda/ksvd/entries.cuh"
#include "cuda/ksvd/sweep.cuh"

namespace sparsefast {
namespace {

constexpr int64_t kSector = 32;
constexpr int64_t kMostParallel = 512;  // blocks, each with sums of its own
constexpr int64_t kMostShared = 40 << 10;

// atoms = dictionary and coefficients = values, to the bit: what the sweep has nothing for stays.
template <typename T>
__global__ void __launch_bounds__(kBlock)
    copy_kernel(Matrix dictionary, T* atoms, const T* values, int64_t n_values, T* coefficients) {
    const int64_t start = blockIdx.x * static_cast<int64_t>(kBlock) + threadIdx.x,
                  step = gridDim.x * static_cast<int64_t>(kBlock);
    const T* const d = static_cast<const T*>(dictionary.data);
    for (int64_t i = start; i < dictionary.rows * dictionary.cols; i += step) {
        const int64_t k = i / dictionary.cols, f = i - k * dictionary.cols;
        atoms[i] = d[k * dictionary.row_stride + f * dictionary.col_stride];
    }
    for (int64_t i = start; i < n_values; i += step) coefficients[i] = values[i];
}

template <typename T>
struct ResidualArguments {
    Matrix signals, atoms;
    SparseCodes codes;
    const T* coefficients;
    T* residual;  // (n_signals, width)
    int64_t width;
    T* errors;  // (n_signals,), or null
    bool made;  // whether the residual is there already
};

// Elements of a row that a lane has at once, and entries that are read at once.
constexpr int kElements = 4, kEntries = 4;

template <typename T>
__global__ void __launch_bounds__(kBlock, 3) residual_kernel(ResidualArguments<T> a) {
    const int n_features = static_cast<int>(a.signals.cols);
    const int64_t s = a.codes.n_nonzero;
    const int lanes = lanes_of_row(n_features), lane = static_cast<int>(threadIdx.x) % lanes;
    const int64_t of_block = kBlock / lanes;
    const T *const x = static_cast<const T*>(a.signals.data), *const d = static_cast<const T*>(a.atoms.data);
    for (int64_t first = blockIdx.x * of_block; first < a.signals.rows; first += gridDim.x * of_block) {
        const int64_t n = first + threadIdx.x / lanes;
        const bool inside = n < a.signals.rows;
        T* const r = a.residual + (inside ? n : 0) * a.width;
        double squares = 0;
        if (inside) {
            const int64_t used = a.made ? 0 : used_of(a.codes, n);
            for (int from = lane; from < n_features; from += kElements * lanes) {
                T rest[kElements];
#pragma unroll
                for (int v = 0; v < kElements; ++v) {
                    const int f = from + v * lanes;
                    rest[v] = 0;
                    if (f < n_features)
                        rest[v] = a.made ? r[f] : x[n * a.signals.row_stride + f * a.signals.col_stride];
                }
                for (int64_t first = 0; first < used; first += kEntries) {
                    int64_t atoms[kEntries];
                    T coefficients[kEntries];
#pragma unroll
                    for (int e = 0; e < kEntries; ++e) {
                        const int64_t i = n * s + (first + e < used ? first + e : first), k = index_of(a.codes, i);
                        atoms[e] = first + e < used && k >= 0 && k < a.atoms.rows ? k : -1;
                        coefficients[e] = a.coefficients[i];
                    }
#pragma unroll
                    for (int e = 0; e < kEntries; ++e)
#pragma unroll
                        for (int v = 0; v < kElements; ++v) {
                            const int f = from + v * lanes;
                            if (atoms[e] >= 0 && f < n_features)
                                rest[v] -= coefficients[e] * d[atoms[e] * a.atoms.row_stride + f * a.atoms.col_stride];
                        }
                }
#pragma unroll
                for (int v = 0; v < kElements; ++v) {
                    const int f = from + v * lanes;
                    if (!a.made && f < n_features) r[f] = rest[v];
                    // The root of a float's square that is too large for a float may not be.
                    squares += static_cast<double>(rest[v]) * static_cast<double>(rest[v]);
                }
            }
            if (!a.made)
                for (int64_t f = n_features + lane; f < a.width; f += lanes) r[f] = 0;
        }
        if (!a.errors) continue;
        squares = lanes_sum(squares, lanes);
        if (inside && lane == 0) a.errors[n] = static_cast<T>(sqrt(squares));
    }
}

template <typename T>
struct Update {
    const KsvdProblem& p;
    Arena arena;
    Entries<T> entries;
    SweepArguments<T> sweep{};
    int64_t shared = 0, n_parallel = 0;
    bool holds = false;

    Update(const KsvdProblem& p, void* workspace) : p(p), arena(workspace), entries(arena, p.codes, p.dictionary.rows) {
        const bool exact = p.method == KsvdMethod::exact;
        const int64_t n_features = p.signals.cols;
        const bool with_gram = exact && n_features <= kMaxGram, with_dots = exact && !with_gram;
        const int64_t width = round_up(n_features, kSector / static_cast<int64_t>(sizeof(T)));
        n_parallel = p.dictionary.rows < kMostParallel ? p.dictionary.rows : kMostParallel;
        holds = !p.parallel && n_features <= (exact ? kMostHeld<true> : kMostHeld<false>);
        const int64_t tiles = p.parallel ? n_parallel : kMaxTiles, blocks = p.parallel ? n_parallel : kMaxBlocks;
        sweep.rows = {arena.take<T>(p.signals.rows * width),
                      width,
                      static_cast<int>(n_features),
                      entries.rows,
                      entries.values,
                      entries.starts};
        sweep.slots = entries.slots;
        sweep.dictionary = p.dictionary;
        sweep.n_nonzero = p.codes.n_nonzero;
        sweep.coefficients = static_cast<T*>(p.coefficients);
        sweep.atoms = static_cast<T*>(p.atoms);
        sweep.partial_pitch = holds ? (exact ? kGramBlock : kVector * lanes_held(n_features)) : n_features;
        sweep.gram_pitch = holds ? kGramBlock : n_features;
        const int64_t gram = with_gram ? sweep.gram_pitch * sweep.gram_pitch : 0;
        sweep.partials = arena.take<T>(2 * tiles * sweep.partial_pitch);
        sweep.gram_partials = arena.take<T>(tiles * gram);
        sweep.gram = arena.take<T>(p.parallel ? 0 : gram);
        sweep.dots = arena.take<T>(with_dots ? entries.n : 0);
        sweep.longest = arena.take<Longest>(exact ? tiles : 0);
        sweep.vector_bytes = vector_bytes_of<T>(n_features, exact);
        const bool inside = sweep.vector_bytes <= kMostShared;
        sweep.vectors = inside ? nullptr : arena.take<unsigned char>(blocks * sweep.vector_bytes);
        shared = panel_elements(n_features, exact, holds) * static_cast<int64_t>(sizeof(T)) +
                 (inside ? sweep.vector_bytes : 0);
    }

    const char* run(CudaQueue queue) const {
        const auto stream = static_cast<cudaStream_t>(queue.stream);
        const int64_t n_values = entries.n, n_atoms = p.dictionary.rows, elements = n_atoms * p.dictionary.cols;
        const char* error = SF_LAUNCH((copy_kernel<T>), blocks_for(elements > n_values ? elements : n_values, kBlock),
                                      kBlock, 0, stream, p.dictionary, sweep.atoms,
                                      static_cast<const T*>(p.codes.values), n_values, sweep.coefficients);
        if (!error) error = sort_entries(entries, p.codes, nullptr, p.usage, stream);
        if (!error) error = residual(p.dictionary, false, nullptr, stream);
        const bool exact = p.method == KsvdMethod::exact;
        if (!error && p.parallel) error = exact ? run_parallel<true>(stream) : run_parallel<false>(stream);
        if (!error && holds) error = exact ? run_sweep<true, true>(queue) : run_sweep<false, true>(queue);
        if (!error && !p.parallel && !holds)
            error = exact ? run_sweep<true, false>(queue) : run_sweep<false, false>(queue);
        const Matrix atoms{p.atoms, n_atoms, p.dictionary.cols, p.dictionary.cols, 1};
        return error ? error : residual(atoms, !p.parallel, static_cast<T*>(p.errors), stream);
    }

   private:
    const char* residual(const Matrix& atoms, bool made, T* errors, cudaStream_t stream) const {
        const ResidualArguments<T> a{p.signals,        atoms,  p.codes, sweep.coefficients, sweep.rows.residual,
                                     sweep.rows.width, errors, made};
        // At least the rows that a block of teams of a warp has.
        return SF_LAUNCH((residual_kernel<T>), blocks_for(p.signals.rows, kWarps), kBlock, 0, stream, a);
    }

    template <bool Exact>
    const char* run_parallel(cudaStream_t stream) const {
        if (entries.n == 0) return nullptr;
        return SF_LAUNCH((sweep_kernel<T, Exact, true, false>), n_parallel, kBlock, shared, stream, sweep,
                         p.dictionary.rows);
    }

    template <bool Exact, bool Holds>
    const char* run_sweep(CudaQueue queue) const {
        const auto stream = static_cast<cudaStream_t>(queue.stream);
        if (entries.n == 0) return nullptr;
        const auto kernel = sweep_kernel<T, Exact, false, Holds>;
        int resident = 0;
        if (const char* error =
                resident_blocks(kernel, kBlock, static_cast<std::size_t>(shared), queue.device, &resident))
            return error;
        // An atom cannot have more tiles than this.
        const int64_t useful = (entries.n + kTile - 1) / kTile, limit = Holds ? kMaxTiles : kMaxBlocks,
                      most = useful < limit ? useful : limit;
        return SF_LAUNCH_COOPERATIVE((sweep_kernel<T, Exact, false, Holds>), resident < most ? resident : most, kBlock,
                                     shared, stream, sweep, p.dictionary.rows);
    }
};

}  // namespace
}  // namespace sparsefast
