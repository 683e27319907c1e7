// Python's view of the products of sparse codes: checks arrays and codes, releases the GIL.
#include "sparsefast/products.hpp"

#include <string>

#include "bindings/codes.hpp"
#include "common/parallel.hpp"

namespace sparsefast {
namespace {

// Rows [0, n) in shares, which threads take.
template <typename Kernel>
void in_shares(int64_t n, double flops, int n_threads, const Kernel& kernel) {
    constexpr int64_t share = 1024;
    const py::gil_scoped_release release;
    parallel_tasks((n + share - 1) / share, threads_for(flops, n_threads),
                   [&](int64_t task, int) { kernel(task * share, std::min((task + 1) * share, n)); });
}

double flops_of(const SparseCodes& c, int64_t n_features) {
    return 2.0 * static_cast<double>(c.n_signals) * static_cast<double>(c.n_nonzero) * static_cast<double>(n_features);
}

void run_decode(const py::array& values, const py::array& indices, const py::array& counts, const py::array& dictionary,
                const py::array& out, int n_threads) {
    ProductProblem p{};
    p.dtype = dtype_of(dictionary, "dictionary");
    p.n_atoms = rows_of(dictionary, "dictionary");
    p.n_features = dictionary.shape(1);
    p.rows = dense_of(dictionary, "dictionary", {p.n_atoms, p.n_features});
    p.codes = codes_of(&values, indices, counts, p.dtype, p.n_atoms);
    check_float(out, "out", p.dtype);
    p.out = output<void>(out, "out", p.codes.n_signals, p.n_features);
    in_shares(p.codes.n_signals, flops_of(p.codes, p.n_features), n_threads,
              [&](int64_t begin, int64_t end) { decode_range(p, begin, end); });
}

void run_correlate(const py::array& signals, const py::array& indices, const py::array& counts,
                   const py::array& dictionary, const py::array& out, int n_threads) {
    ProductProblem p{};
    p.dtype = dtype_of(dictionary, "dictionary");
    p.n_atoms = rows_of(dictionary, "dictionary");
    p.n_features = dictionary.shape(1);
    p.rows = dense_of(dictionary, "dictionary", {p.n_atoms, p.n_features});
    p.codes = codes_of(nullptr, indices, counts, p.dtype, p.n_atoms);
    check_float(signals, "signals", p.dtype);
    p.signals = dense_of(signals, "signals", {p.codes.n_signals, p.n_features});
    check_float(out, "out", p.dtype);
    p.out = output<void>(out, "out", p.codes.n_signals, p.codes.n_nonzero);
    in_shares(p.codes.n_signals, flops_of(p.codes, p.n_features), n_threads,
              [&](int64_t begin, int64_t end) { correlate_range(p, begin, end); });
}

void run_accumulate(const py::array& values, const py::array& indices, const py::array& counts,
                    const py::array& signals, const py::array& out, int n_threads) {
    ProductProblem p{};
    p.dtype = dtype_of(signals, "signals");
    p.n_atoms = rows_of(out, "out");
    p.n_features = out.shape(1);
    p.codes = codes_of(&values, indices, counts, p.dtype, p.n_atoms);
    p.rows = dense_of(signals, "signals", {p.codes.n_signals, p.n_features});
    check_float(out, "out", p.dtype);
    p.out = output<void>(out, "out", p.n_atoms, p.n_features);
    const int threads = threads_for(flops_of(p.codes, p.n_features), n_threads);
    const Workspace workspace(accumulate_workspace_bytes(p, threads));
    const py::gil_scoped_release release;
    accumulate(p, workspace.data(), threads);
}

void run_support(const py::array& grad, const py::array& signals, const py::array& dictionary, const py::array& gram,
                 const py::array& inverse_norms, const py::array& values, const py::array& indices,
                 const py::array& counts, double ridge, double least_pivot, const py::object& of_signals,
                 const py::object& of_dictionary, int n_threads) {
    SupportGradients p{};
    p.dtype = dtype_of(dictionary, "dictionary");
    p.n_atoms = rows_of(dictionary, "dictionary");
    p.n_features = dictionary.shape(1);
    p.dictionary = dense_of(dictionary, "dictionary", {p.n_atoms, p.n_features});
    p.codes = codes_of(&values, indices, counts, p.dtype, p.n_atoms);
    const int64_t n = p.codes.n_signals;
    if (p.codes.n_nonzero < 1) throw py::value_error("codes must have room for an atom");
    check_float(grad, "grad", p.dtype);
    p.grad = dense_of(grad, "grad", {n, p.codes.n_nonzero});
    check_float(signals, "signals", p.dtype);
    p.signals = dense_of(signals, "signals", {n, p.n_features});
    check_float(gram, "gram", p.dtype);
    p.gram = dense_of(gram, "gram", {p.n_atoms, p.n_atoms});
    check_float(inverse_norms, "inverse_norms", p.dtype);
    p.inverse_norms = dense_of(inverse_norms, "inverse_norms", {p.n_atoms});
    p.ridge = ridge;
    p.least_pivot = least_pivot;
    if (!of_signals.is_none()) {
        const auto a = of_signals.cast<py::array>();
        check_float(a, "of_signals", p.dtype);
        p.of_signals = output<void>(a, "of_signals", n, p.n_features);
    }
    if (!of_dictionary.is_none()) {
        const auto a = of_dictionary.cast<py::array>();
        check_float(a, "of_dictionary", p.dtype);
        p.of_dictionary = output<void>(a, "of_dictionary", p.n_atoms, p.n_features);
    }
    const auto s = static_cast<double>(p.codes.n_nonzero);
    const int threads =
        threads_for(3 * flops_of(p.codes, p.n_features) + static_cast<double>(n) * s * s * s / 3, n_threads);
    const Workspace workspace(support_gradients_workspace_bytes(p, threads));
    const py::gil_scoped_release release;
    support_gradients(p, workspace.data(), threads);
}

}  // namespace

void bind_products(py::module_& m) {
    m.def("decode", &run_decode, py::arg("values"), py::arg("indices"), py::arg("counts"), py::arg("dictionary"),
          py::arg("out"), py::arg("n_threads"));
    m.def("correlate", &run_correlate, py::arg("signals"), py::arg("indices"), py::arg("counts"), py::arg("dictionary"),
          py::arg("out"), py::arg("n_threads"));
    m.def("accumulate", &run_accumulate, py::arg("values"), py::arg("indices"), py::arg("counts"), py::arg("signals"),
          py::arg("out"), py::arg("n_threads"));
    m.def("support_gradients", &run_support, py::arg("grad"), py::arg("signals"), py::arg("dictionary"),
          py::arg("gram"), py::arg("inverse_norms"), py::arg("values"), py::arg("indices"), py::arg("counts"),
          py::arg("ridge"), py::arg("least_pivot"), py::arg("of_signals"), py::arg("of_dictionary"),
          py::arg("n_threads"));
}

}  // namespace sparsefast
