// The coders that take one signal after the other (positive, topk, iht), and nearest_code; compiled once for each
// instruction set. Each is described beside its kernel.
#include "cpu/kernels.hpp"
#include "cpu/omp/iht.hpp"
#include "cpu/omp/nearest.hpp"
#include "cpu/omp/positive.hpp"
#include "cpu/omp/topk.hpp"

namespace sparsefast {
namespace {

template <typename Coder>
int64_t scratch_of(const OmpProblem& p, int64_t n_signals) {
    int64_t bytes;
    Coder(p, n_signals, nullptr, &bytes);
    return bytes;
}

template <typename T>
int64_t scratch_bytes(const OmpProblem& p, int64_t n_signals) {
    switch (p.coder) {
        case OmpCoder::positive: return scratch_of<PositiveCoder<T>>(p, n_signals);
        case OmpCoder::topk: return scratch_of<TopKCoder<T>>(p, n_signals);
        default: return scratch_of<IhtCoder<T>>(p, n_signals);
    }
}

template <typename T>
void range(const OmpProblem& p, int64_t begin, int64_t end, int64_t max_signals, void* scratch) {
    switch (p.coder) {
        case OmpCoder::positive: return PositiveCoder<T>(p, max_signals, scratch).code(begin, end);
        case OmpCoder::topk: return TopKCoder<T>(p, max_signals, scratch).code(begin, end);
        default: return IhtCoder<T>(p, max_signals, scratch).code(begin, end);
    }
}

template <typename T>
int64_t nearest_bytes(const NearestProblem& p, int64_t n_signals) {
    int64_t bytes;
    NearestCoder<T>(p, n_signals, nullptr, &bytes);
    return bytes;
}

template <typename T>
void nearest(const NearestProblem& p, int64_t begin, int64_t end, int64_t max_signals, void* scratch) {
    if (p.codebook.n_features <= 8) return nearest_small<T>(p, begin, end);
    NearestCoder<T>(p, max_signals, scratch).code(begin, end);
}

int64_t any_scratch_bytes(const OmpDictionary& d, OmpCoder coder, int64_t n_signals, int64_t n_nonzero) {
    OmpProblem p{};
    p.coder = coder;
    p.dictionary = d;
    p.n_nonzero = n_nonzero;
    return d.dtype == DType::float32 ? scratch_bytes<float>(p, n_signals) : scratch_bytes<double>(p, n_signals);
}
void any_range(const OmpProblem& p, int64_t begin, int64_t end, int64_t max_signals, void* scratch) {
    p.dictionary.dtype == DType::float32 ? range<float>(p, begin, end, max_signals, scratch)
                                         : range<double>(p, begin, end, max_signals, scratch);
}
int64_t any_nearest_bytes(const OmpDictionary& d, int64_t n_signals) {
    NearestProblem p{};
    p.codebook = d;
    return d.dtype == DType::float32 ? nearest_bytes<float>(p, n_signals) : nearest_bytes<double>(p, n_signals);
}
void any_nearest(const NearestProblem& p, int64_t begin, int64_t end, int64_t max_signals, void* scratch) {
    p.codebook.dtype == DType::float32 ? nearest<float>(p, begin, end, max_signals, scratch)
                                       : nearest<double>(p, begin, end, max_signals, scratch);
}

}  // namespace

const CoderKernels SF_TABLE(coder_kernels_) = {any_scratch_bytes, any_range, any_nearest_bytes, any_nearest};

}  // namespace sparsefast
