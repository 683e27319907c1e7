// Batch-OMP on the CPU and its relatives that code signals in groups, compiled once for each instruction set.
//
// signals (N, F), dictionary (K, F). A thread takes blocks of up to 64 signals: it scales them into a dense block,
// correlates the block with all atoms (gemm.hpp) into a buffer that stays in L2, and codes the signals in groups
// (group.hpp). Nothing of size K x N is ever stored.
//
// FLOPs a signal: 2 F K + sum over the steps of 2 k K; what bounds it is the GEMM, then the loads of k Gram rows a
// step.
#include "cpu/kernels.hpp"
#include "cpu/omp/group.hpp"
#include "cpu/omp/scaling.hpp"
#include "cpu/omp/small.hpp"

namespace sparsefast {
namespace {

template <typename T>
int64_t packed_bytes(const OmpDictionary& d) {
    int64_t bytes;
    PackedDictionary<T>(d, nullptr, &bytes);
    return bytes;
}

template <typename T>
int64_t scratch_bytes(const OmpDictionary& d, OmpCoder coder, int64_t n_signals, int64_t n_nonzero) {
    int64_t bytes;
    Scratch<T>(d, coder, n_signals, n_nonzero, nullptr, &bytes);
    return bytes;
}

template <typename T>
void pack_atoms(const OmpDictionary& d, const Matrix& atoms, void* packed) {
    const PackedDictionary<T> out(d, packed);
    const T *const in = static_cast<const T*>(atoms.data), infinity = static_cast<T>(__builtin_inff());
    T peak = 0;
    for (int64_t k = 0; k < d.n_atoms; ++k) {
        T own = 0, taint = 0;
        for (int64_t f = 0; f < d.n_features; ++f) {
            const T v = in[k * atoms.row_stride + f * atoms.col_stride], a = v < 0 ? -v : v;
            own = a > own ? a : own;
            taint += v * 0;
        }
        // An atom with NaN or infinity becomes a zero atom: it is never selected, taints no other and sets no scale.
        peak = taint == 0 && own > peak ? own : peak;
        out.half[k] = taint == 0 ? T(0) : infinity;
    }
    *out.exponent = peak > 0 ? exponent_of(peak) : 0;
    const Shift<T> scale(-static_cast<int>(*out.exponent));
    for (int64_t k = 0; k < d.n_atoms; ++k) {
        T* const row = out.atoms + k * out.ld_atoms;
        for (int64_t f = 0; f < d.n_features; ++f) row[f] = scale(in[k * atoms.row_stride + f * atoms.col_stride]);
        for (int64_t f = d.n_features; f < out.ld_atoms; ++f) row[f] = 0;
        for (int64_t f = 0; f < d.n_features && out.half[k] != 0; ++f) row[f] = 0;
    }
    for (int64_t i = d.n_atoms * out.ld_atoms; i < round_up(d.n_atoms, 4) * out.ld_atoms; ++i) out.atoms[i] = 0;
    for (int64_t k = 0; k < out.n_padded; k += Panels<T>::width) {
        const int64_t width = smaller(Panels<T>::width, out.n_padded - k);
        T* const panel = out.panels + k * d.n_features;
        for (int64_t a = 0; a < width; ++a)
            for (int64_t f = 0; f < d.n_features; ++f)
                panel[f * width + a] = k + a < d.n_atoms ? out.atoms[(k + a) * out.ld_atoms + f] : T(0);
    }
    for (int64_t k = 0; k < out.n_padded; ++k) {
        T sum = 0;
        if (k < d.n_atoms)
            for (int64_t f = 0; f < d.n_features; ++f)
                sum += out.atoms[k * out.ld_atoms + f] * out.atoms[k * out.ld_atoms + f];
        out.diagonal[k] = sum;
        out.half[k] = k < d.n_atoms ? out.half[k] + sum / 2 : infinity;
    }
}

// Rows [begin, end) of the Gram matrix; begin is a multiple of kRows.
template <typename T>
void pack_gram(const OmpDictionary& d, const Matrix& gram, void* packed, int64_t begin, int64_t end) {
    const PackedDictionary<T> out(d, packed);
    if (gram.data) {
        const T* const in = static_cast<const T*>(gram.data);
        const Shift<T> scale(-static_cast<int>(*out.exponent));
        for (int64_t i = begin; i < end; ++i) {
            T* const row = out.gram + i * out.ld_gram;
            for (int64_t k = 0; k < d.n_atoms; ++k) {
                const T v = scale(scale(in[i * gram.row_stride + k * gram.col_stride]));
                row[k] = v - v == 0 ? v : T(0);  // an atom that is not finite, and packed as zero
            }
            for (int64_t k = d.n_atoms; k < out.ld_gram; ++k) row[k] = 0;
            out.diagonal[i] = row[i];
        }
        return;
    }
    const int64_t whole = begin + (end - begin) / kRows * kRows;
    correlate<T>(out.atoms + begin * out.ld_atoms, out.ld_atoms, whole - begin, out.panels, d.n_features, out.n_padded,
                 out.gram + begin * out.ld_gram, out.ld_gram);
    // The last rows do not fill a tile: one by one, in the same order of sums, which gives the same bits.
    for (int64_t i = whole; i < end; ++i)
        correlate_row<T>(out.atoms + i * out.ld_atoms, out.panels, d.n_features, out.n_padded,
                         out.gram + i * out.ld_gram);
    for (int64_t i = begin; i < end; ++i) out.diagonal[i] = out.gram[i * out.ld_gram + i];
}

// Copies signal n of the block and its mask into row r of the scratch; features that are not observed become zero.
template <typename T>
void load_masked(const OmpProblem& p, int64_t n, Scratch<T>& scratch, int64_t r) {
    const T* const x = static_cast<const T*>(p.signals.data) + n * p.signals.row_stride;
    const uint8_t* const observed = static_cast<const uint8_t*>(p.mask.data) + n * p.mask.row_stride;
    T* const row = scratch.x + r * scratch.ld_x;
    T* const mask = scratch.mask + r * scratch.ld_x;
    for (int64_t f = 0; f < p.signals.cols; ++f) {
        const bool here = observed[f * p.mask.col_stride] != 0;
        mask[f] = here ? T(1) : T(0);
        row[f] = here ? x[f * p.signals.col_stride] : T(0);
    }
    for (int64_t f = p.signals.cols; f < scratch.ld_x; ++f) mask[f] = 0;
    scratch.norm2[r] = copy_scaled<T>(row, 1, p.signals.cols, scratch.ld_x, row, scratch.scale + r);
}

template <typename T, OmpCoder coder>
void range(const OmpProblem& p, int64_t begin, int64_t end, int64_t max_signals, void* workspace) {
    const PackedDictionary<T> dictionary(p.dictionary, const_cast<void*>(p.packed));
    if constexpr (coder != OmpCoder::masked)
        if (p.dictionary.method == OmpMethod::small)
            return code_small<T, coder == OmpCoder::ols>(p, dictionary, begin, end);
    Scratch<T> scratch(p.dictionary, coder, max_signals, p.n_nonzero, workspace);
    const T* const signals = static_cast<const T*>(p.signals.data);
    Group<T, coder> group(p, dictionary, scratch);
    for (int64_t n0 = begin; n0 < end; n0 += scratch.rows) {
        const int64_t n = smaller(scratch.rows, end - n0);
        const int64_t padded = round_up(n, kRows);
        for (int64_t r = 0; r < n; ++r)
            if constexpr (coder == OmpCoder::masked)
                load_masked(p, n0 + r, scratch, r);
            else
                scratch.norm2[r] =
                    copy_scaled(signals + (n0 + r) * p.signals.row_stride, p.signals.col_stride, dictionary.n_features,
                                scratch.ld_x, scratch.x + r * scratch.ld_x, scratch.scale + r);
        for (int64_t i = n * scratch.ld_x; i < padded * scratch.ld_x; ++i) {
            scratch.x[i] = 0;
            if constexpr (coder == OmpCoder::masked) scratch.mask[i] = 0;
        }
        correlate<T>(scratch.x, scratch.ld_x, padded, dictionary.panels, dictionary.n_features, dictionary.n_padded,
                     scratch.c, scratch.ld_c);
        for (int64_t r = 0; r < n; r += kGroup) group.code(n0, r, static_cast<int>(smaller(kGroup, n - r)));
    }
}

template <typename T>
void range_of(const OmpProblem& p, int64_t begin, int64_t end, int64_t max_signals, void* workspace) {
    switch (p.coder) {
        case OmpCoder::ols: return range<T, OmpCoder::ols>(p, begin, end, max_signals, workspace);
        case OmpCoder::masked: return range<T, OmpCoder::masked>(p, begin, end, max_signals, workspace);
        default: return range<T, OmpCoder::omp>(p, begin, end, max_signals, workspace);
    }
}

int64_t any_packed_bytes(const OmpDictionary& d) {
    return d.dtype == DType::float32 ? packed_bytes<float>(d) : packed_bytes<double>(d);
}
int64_t any_scratch_bytes(const OmpDictionary& d, OmpCoder coder, int64_t n, int64_t s) {
    return d.dtype == DType::float32 ? scratch_bytes<float>(d, coder, n, s) : scratch_bytes<double>(d, coder, n, s);
}
int64_t any_block_rows(const OmpDictionary& d, int64_t n) {
    return d.dtype == DType::float32 ? block_rows<float>(n, leading_dimension<float>(d.n_atoms))
                                     : block_rows<double>(n, leading_dimension<double>(d.n_atoms));
}
void any_pack_atoms(const OmpDictionary& d, const Matrix& atoms, void* packed) {
    d.dtype == DType::float32 ? pack_atoms<float>(d, atoms, packed) : pack_atoms<double>(d, atoms, packed);
}
void any_pack_gram(const OmpDictionary& d, const Matrix& gram, void* packed, int64_t begin, int64_t end) {
    d.dtype == DType::float32 ? pack_gram<float>(d, gram, packed, begin, end)
                              : pack_gram<double>(d, gram, packed, begin, end);
}
void any_range(const OmpProblem& p, int64_t begin, int64_t end, int64_t max_signals, void* scratch) {
    p.dictionary.dtype == DType::float32 ? range_of<float>(p, begin, end, max_signals, scratch)
                                         : range_of<double>(p, begin, end, max_signals, scratch);
}

}  // namespace

const OmpKernels SF_TABLE(omp_kernels_) = {any_packed_bytes, any_block_rows,    any_pack_atoms,
                                           any_pack_gram,    any_scratch_bytes, any_range};

}  // namespace sparsefast
