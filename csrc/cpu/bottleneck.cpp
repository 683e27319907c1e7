// The dictionary bottleneck, compiled once for each instruction set. What it computes is in sparsefast/bottleneck.hpp;
// how, in the headers of the two passes.
#include "cpu/bottleneck/forward.hpp"
#include "cpu/bottleneck/gradients.hpp"
#include "cpu/kernels.hpp"

namespace sparsefast {
namespace {

// Calls visit(T) with a number of the type.
template <typename Visit>
auto with(DType dtype, const Visit& visit) {
    return dtype == DType::float32 ? visit(float{}) : visit(double{});
}

bool few(const BottleneckProblem& p) { return p.places.n_features == 3 && p.n_nonzero <= 3; }

int64_t forward_bytes(const BottleneckProblem& p, int n_threads) {
    return with(p.dictionary.dtype, [&](auto number) {
        using T = decltype(number);
        return few(p) ? Forward<T, true>(p, nullptr, n_threads).bytes()
                      : Forward<T, false>(p, nullptr, n_threads).bytes();
    });
}
void forward(const BottleneckProblem& p, void* workspace, int n_threads) {
    with(p.dictionary.dtype, [&](auto number) {
        using T = decltype(number);
        few(p) ? Forward<T, true>(p, workspace, n_threads).run() : Forward<T, false>(p, workspace, n_threads).run();
    });
}

int64_t gradients_bytes(const BottleneckGradients& p, int n_threads) {
    return with(p.dtype, [&](auto number) { return Backward<decltype(number)>(p, nullptr, n_threads).bytes(); });
}
void gradients(const BottleneckGradients& p, void* workspace, int n_threads) {
    with(p.dtype, [&](auto number) { Backward<decltype(number)>(p, workspace, n_threads).run(); });
}

void unit_norm(DType dtype, const void* rows, const void* grad, double scale, int64_t n_atoms, int64_t n_features,
               void* out) {
    with(dtype, [&](auto number) {
        using T = decltype(number);
        through_norms(static_cast<const T*>(rows), static_cast<const T*>(grad), scale, n_atoms, n_features,
                      static_cast<T*>(out));
    });
}

}  // namespace

const BottleneckKernels SF_TABLE(bottleneck_kernels_) = {forward_bytes, forward, gradients_bytes, gradients, unit_norm};

}  // namespace sparsefast
