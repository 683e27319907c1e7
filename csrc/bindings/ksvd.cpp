// Python's view of the ksvd family: checks arrays and codes, releases the GIL, answers Ctrl-C between ranges of atoms.
#include "sparsefast/ksvd.hpp"

#include <string>

#include "bindings/arrays.hpp"

namespace sparsefast {
namespace {

int64_t length(const py::array& a, const char* name, int dimensions, int axis) {
    if (a.ndim() != dimensions)
        throw py::value_error(std::string(name) + " must have " + std::to_string(dimensions) + " dimensions");
    return a.shape(axis);
}

// Codes that name no atom that is not there: what every kernel relies on.
SparseCodes codes_of(const py::array& indices, const py::array& values, const py::array& counts, const Matrix& signals,
                     DType dtype, int64_t n_atoms) {
    SparseCodes c{};
    c.n_signals = signals.rows;
    c.n_nonzero = length(values, "values", 2, 1);
    check_float(values, "values", dtype);
    c.values = dense_of(values, "values", {c.n_signals, c.n_nonzero});
    c.index_type = index_type_of(indices);
    c.indices = dense_of(indices, "indices", {c.n_signals, c.n_nonzero});
    check_type(counts, "counts", 'i', 4);
    c.counts = static_cast<const int32_t*>(dense_of(counts, "counts", {c.n_signals}));
    int64_t bad;
    {
        const py::gil_scoped_release release;
        bad = check_codes(c, n_atoms);
    }
    if (bad < 0) return c;
    const int32_t count = c.counts[bad];
    const std::string row = std::to_string(bad);
    if (count < 0 || count > c.n_nonzero)
        throw py::value_error("code: counts holds " + std::to_string(count) + " for signal " + row +
                              "; it must be 0 to " + std::to_string(c.n_nonzero));
    throw py::value_error("code: signal " + row + " names an atom that is not one of " + std::to_string(n_atoms));
}

template <typename T>
T* double_sums(const py::array& a, const char* name, int64_t rows, int64_t cols) {
    check_float(a, name, DType::float64);
    return output<T>(a, name, rows, cols);
}

// Calls kernel(begin, end) on ranges of n steps, with a look for Ctrl-C between them.
template <typename Kernel>
void in_ranges(int64_t n, double flops, int threads, const Kernel& kernel) {
    const double each = flops / static_cast<double>(n > 0 ? n : 1),
                 fit = kFlopsAPiece * threads / (each > 1 ? each : 1);
    const int64_t most = std::max<int64_t>(n, 1);
    const int64_t step =
        fit >= static_cast<double>(most) ? most : std::max<int64_t>(threads, static_cast<int64_t>(fit));
    for (int64_t begin = 0; begin < n; begin += step) {
        if (begin) check_interrupt();
        const py::gil_scoped_release release;
        kernel(begin, std::min(begin + step, n));
    }
}

void run_update(const py::array& signals, const py::array& dictionary, const py::array& indices,
                const py::array& values, const py::array& counts, bool exact, bool parallel, const py::array& atoms,
                const py::array& coefficients, const py::array& errors, const py::array& usage, int n_threads) {
    KsvdProblem p{};
    p.dtype = dtype_of(signals, "signals");
    p.method = exact ? KsvdMethod::exact : KsvdMethod::approx;
    p.parallel = parallel;
    p.signals = matrix_of(signals, "signals");
    check_float(dictionary, "dictionary", p.dtype);
    p.dictionary = matrix_of(dictionary, "dictionary");
    const int64_t n = p.signals.rows, n_atoms = p.dictionary.rows;
    if (p.dictionary.cols != p.signals.cols) throw py::value_error("signals must have the dictionary's features");
    p.codes = codes_of(indices, values, counts, p.signals, p.dtype, n_atoms);
    check_float(atoms, "atoms", p.dtype);
    p.atoms = output<void>(atoms, "atoms", n_atoms, p.dictionary.cols);
    check_float(coefficients, "coefficients", p.dtype);
    p.coefficients = output<void>(coefficients, "coefficients", n, p.codes.n_nonzero);
    check_float(errors, "errors", p.dtype);
    p.errors = output<void>(errors, "errors", n, -1);
    check_type(usage, "usage", 'i', 8);
    p.usage = output<int64_t>(usage, "usage", n_atoms, -1);
    const double flops = ksvd_flops(p);
    const int threads = threads_for(flops, n_threads);
    const Workspace workspace(ksvd_workspace_bytes(p, threads));
    {
        const py::gil_scoped_release release;
        ksvd_begin(p, workspace.data(), threads);
    }
    check_interrupt();
    in_ranges(n_atoms, flops, threads,
              [&](int64_t begin, int64_t end) { ksvd_atoms(p, begin, end, workspace.data(), threads); });
    const py::gil_scoped_release release;
    ksvd_end(p, workspace.data(), threads);
}

void run_stats(const py::array& signals, const py::array& indices, const py::array& values, const py::array& counts,
               const py::array& a, const py::array& b, const py::array& usage, const py::array& totals, int n_threads) {
    StatsProblem p{};
    p.dtype = dtype_of(signals, "signals");
    p.signals = matrix_of(signals, "signals");
    p.n_atoms = length(a, "A", 2, 0);
    p.codes = codes_of(indices, values, counts, p.signals, p.dtype, p.n_atoms);
    p.a = double_sums<double>(a, "A", p.n_atoms, p.n_atoms);
    p.b = double_sums<double>(b, "B", p.n_atoms, p.signals.cols);
    p.usage = double_sums<double>(usage, "usage", p.n_atoms, -1);
    p.totals = double_sums<double>(totals, "totals", 2, -1);
    const double flops = stats_flops(p);
    const int threads = threads_for(flops, n_threads);
    const Workspace workspace(stats_workspace_bytes(p, threads));
    in_ranges(p.signals.rows, flops, threads,
              [&](int64_t begin, int64_t end) { stats_signals(p, begin, end, workspace.data(), threads); });
}

void run_online(const py::array& a, const py::array& b, const py::array& dictionary, int64_t n_iterations, bool sphere,
                const py::array& atoms, int) {
    OnlineProblem p{};
    p.dtype = dtype_of(dictionary, "dictionary");
    p.dictionary = matrix_of(dictionary, "dictionary");
    const int64_t n_atoms = p.dictionary.rows, n_features = p.dictionary.cols;
    check_float(a, "A", DType::float64);
    p.a = static_cast<const double*>(dense_of(a, "A", {n_atoms, n_atoms}));
    check_float(b, "B", DType::float64);
    p.b = static_cast<const double*>(dense_of(b, "B", {n_atoms, n_features}));
    if (n_iterations < 1 || n_iterations > (int64_t(1) << 62) / std::max<int64_t>(n_atoms, 1))
        throw py::value_error("n_iterations is out of range");
    p.n_iterations = n_iterations;
    p.sphere = sphere;
    check_float(atoms, "atoms", p.dtype);
    p.atoms = output<void>(atoms, "atoms", n_atoms, n_features);
    const Workspace workspace(online_workspace_bytes(p));
    in_ranges(n_atoms * n_iterations, online_flops(p), 1,
              [&](int64_t begin, int64_t end) { online_atoms(p, begin, end, workspace.data()); });
}

}  // namespace

void bind_ksvd(py::module_& m) {
    m.def("ksvd_update", &run_update, py::arg("signals"), py::arg("dictionary"), py::arg("indices"), py::arg("values"),
          py::arg("counts"), py::arg("exact"), py::arg("parallel"), py::arg("atoms"), py::arg("coefficients"),
          py::arg("errors"), py::arg("usage"), py::arg("n_threads"));
    m.def("dictionary_stats", &run_stats, py::arg("signals"), py::arg("indices"), py::arg("values"), py::arg("counts"),
          py::arg("A"), py::arg("B"), py::arg("usage"), py::arg("totals"), py::arg("n_threads"));
    m.def("online_update", &run_online, py::arg("A"), py::arg("B"), py::arg("dictionary"), py::arg("n_iterations"),
          py::arg("sphere"), py::arg("atoms"), py::arg("n_threads"));
}

}  // namespace sparsefast
