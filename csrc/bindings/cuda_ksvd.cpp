// Python's view of the ksvd family on a CUDA device: checks what describes the arrays, and queues the kernels. The same
// source serves the emulated device.
#include "sparsefast/ksvd_cuda.hpp"

#include <stdexcept>

#include "bindings/device_arrays.hpp"

namespace sparsefast {
namespace {

void check(const char* error) {
    if (error) throw std::runtime_error(std::string("CUDA: ") + error);
}

const char* name_of(DType dtype) { return dtype == DType::float32 ? "float32" : "float64"; }

Matrix matrix_of(const py::object& array, const char* name, DType dtype) {
    return DeviceArray(array, name).require(name_of(dtype)).matrix();
}

Matrix signals_of(const py::object& signals, DType* dtype) {
    const DeviceArray x(signals, "signals");
    *dtype = x.float_type();
    return x.matrix();
}

// Threads step past the last feature before they stop, in 32 bits.
constexpr int64_t kMostFeatures = int64_t(1) << 30;

void check_sizes(int64_t n_atoms, int64_t n_features) {
    if (n_atoms < 1) throw py::value_error("dictionary must not be empty");
    if (n_atoms > INT32_MAX) throw py::value_error("dictionary has more than 2^31 - 1 atoms");
    if (n_features < 1) throw py::value_error("signals must have features");
    if (n_features > kMostFeatures) throw py::value_error("signals has more than 2^30 features");
}

SparseCodes codes_of(const py::object& indices, const py::object& values, const py::object& counts, int64_t n,
                     DType dtype) {
    const DeviceArray v(values, "values"), i(indices, "indices");
    const int64_t n_nonzero = v.require(name_of(dtype)).matrix().cols;
    if (n_nonzero > INT32_MAX) throw py::value_error("values has more than 2^31 - 1 entries a signal");
    const auto* c = static_cast<const int32_t*>(DeviceArray(counts, "counts").require("int32").output(n, -1));
    return {v.output(n, n_nonzero), i.output(n, n_nonzero), c, n, n_nonzero, i.index_type()};
}

// What Python asks for before it calls: the bytes of workspace of a problem of this size.
int64_t update_bytes(const std::string& dtype, int64_t n_signals, int64_t n_features, int64_t n_atoms,
                     int64_t n_nonzero, bool exact, bool parallel) {
    KsvdProblem p{};
    p.dtype = dtype == "float32" ? DType::float32 : DType::float64;
    p.method = exact ? KsvdMethod::exact : KsvdMethod::approx;
    p.parallel = parallel;
    p.signals = {nullptr, n_signals, n_features, 0, 0};
    p.dictionary = {nullptr, n_atoms, n_features, 0, 0};
    p.codes.n_signals = n_signals;
    p.codes.n_nonzero = n_nonzero;
    return cuda_ksvd_workspace_bytes(p);
}

int64_t stats_bytes(const std::string& dtype, int64_t n_signals, int64_t n_features, int64_t n_atoms,
                    int64_t n_nonzero) {
    StatsProblem p{};
    p.dtype = dtype == "float32" ? DType::float32 : DType::float64;
    p.signals.rows = p.codes.n_signals = n_signals;
    p.signals.cols = n_features;
    p.codes.n_nonzero = n_nonzero;
    p.n_atoms = n_atoms;
    return cuda_stats_workspace_bytes(p);
}

int64_t online_bytes(int64_t n_atoms, int64_t n_features) {
    OnlineProblem p{};
    p.dictionary = {nullptr, n_atoms, n_features, 0, 0};
    return cuda_online_workspace_bytes(p);
}

void run_update(const py::object& signals, const py::object& dictionary, const py::object& indices,
                const py::object& values, const py::object& counts, bool exact, bool parallel, const py::object& atoms,
                const py::object& coefficients, const py::object& errors, const py::object& usage,
                const py::object& workspace, int device, std::uintptr_t stream) {
    KsvdProblem p{};
    p.method = exact ? KsvdMethod::exact : KsvdMethod::approx;
    p.parallel = parallel;
    p.signals = signals_of(signals, &p.dtype);
    p.dictionary = matrix_of(dictionary, "dictionary", p.dtype);
    const int64_t n = p.signals.rows, n_atoms = p.dictionary.rows;
    check_sizes(n_atoms, p.signals.cols);
    if (p.dictionary.cols != p.signals.cols) throw py::value_error("signals must have the dictionary's features");
    p.codes = codes_of(indices, values, counts, n, p.dtype);
    const char* const dtype = name_of(p.dtype);
    p.atoms = DeviceArray(atoms, "atoms").require(dtype).output(n_atoms, p.dictionary.cols);
    p.coefficients = DeviceArray(coefficients, "coefficients").require(dtype).output(n, p.codes.n_nonzero);
    p.errors = DeviceArray(errors, "errors").require(dtype).output(n, -1);
    p.usage = static_cast<int64_t*>(DeviceArray(usage, "usage").require("int64").output(n_atoms, -1));
    void* const scratch = DeviceArray(workspace, "workspace").buffer(cuda_ksvd_workspace_bytes(p));
    const py::gil_scoped_release release;
    check(cuda_ksvd(p, scratch, {device, reinterpret_cast<void*>(stream)}));
}

void run_stats(const py::object& signals, const py::object& indices, const py::object& values, const py::object& counts,
               const py::object& a, const py::object& b, const py::object& usage, const py::object& totals,
               const py::object& workspace, int device, std::uintptr_t stream) {
    StatsProblem p{};
    p.signals = signals_of(signals, &p.dtype);
    p.n_atoms = matrix_of(a, "A", DType::float64).rows;
    check_sizes(p.n_atoms, p.signals.cols);
    p.codes = codes_of(indices, values, counts, p.signals.rows, p.dtype);
    const auto sums = [](const py::object& array, const char* name, int64_t rows, int64_t cols) {
        return static_cast<double*>(DeviceArray(array, name).require("float64").output(rows, cols));
    };
    p.a = sums(a, "A", p.n_atoms, p.n_atoms);
    p.b = sums(b, "B", p.n_atoms, p.signals.cols);
    p.usage = sums(usage, "usage", p.n_atoms, -1);
    p.totals = sums(totals, "totals", 2, -1);
    void* const scratch = DeviceArray(workspace, "workspace").buffer(cuda_stats_workspace_bytes(p));
    const py::gil_scoped_release release;
    check(cuda_stats(p, scratch, {device, reinterpret_cast<void*>(stream)}));
}

void run_online(const py::object& a, const py::object& b, const py::object& dictionary, int64_t n_iterations,
                bool sphere, const py::object& atoms, const py::object& workspace, int device, std::uintptr_t stream) {
    OnlineProblem p{};
    const DeviceArray d(dictionary, "dictionary");
    p.dtype = d.float_type();
    p.dictionary = d.matrix();
    const int64_t n_atoms = p.dictionary.rows, n_features = p.dictionary.cols;
    check_sizes(n_atoms, n_features);
    p.a = static_cast<const double*>(DeviceArray(a, "A").require("float64").output(n_atoms, n_atoms));
    p.b = static_cast<const double*>(DeviceArray(b, "B").require("float64").output(n_atoms, n_features));
    if (n_iterations < 1) throw py::value_error("n_iterations must be at least 1");
    p.n_iterations = n_iterations;
    p.sphere = sphere;
    p.atoms = DeviceArray(atoms, "atoms").require(name_of(p.dtype)).output(n_atoms, n_features);
    void* const scratch = DeviceArray(workspace, "workspace").buffer(cuda_online_workspace_bytes(p));
    const py::gil_scoped_release release;
    check(cuda_online(p, scratch, {device, reinterpret_cast<void*>(stream)}));
}

}  // namespace

void bind_cuda_ksvd(py::module_& m) {
    m.def("cuda_ksvd_workspace_bytes", &update_bytes, py::arg("dtype"), py::arg("n_signals"), py::arg("n_features"),
          py::arg("n_atoms"), py::arg("n_nonzero"), py::arg("exact"), py::arg("parallel"));
    m.def("cuda_stats_workspace_bytes", &stats_bytes, py::arg("dtype"), py::arg("n_signals"), py::arg("n_features"),
          py::arg("n_atoms"), py::arg("n_nonzero"));
    m.def("cuda_online_workspace_bytes", &online_bytes, py::arg("n_atoms"), py::arg("n_features"));
    m.def("cuda_ksvd_update", &run_update, py::arg("signals"), py::arg("dictionary"), py::arg("indices"),
          py::arg("values"), py::arg("counts"), py::arg("exact"), py::arg("parallel"), py::arg("atoms"),
          py::arg("coefficients"), py::arg("errors"), py::arg("usage"), py::arg("workspace"), py::arg("device"),
          py::arg("stream"));
    m.def("cuda_dictionary_stats", &run_stats, py::arg("signals"), py::arg("indices"), py::arg("values"),
          py::arg("counts"), py::arg("A"), py::arg("B"), py::arg("usage"), py::arg("totals"), py::arg("workspace"),
          py::arg("device"), py::arg("stream"));
    m.def("cuda_online_update", &run_online, py::arg("A"), py::arg("B"), py::arg("dictionary"), py::arg("n_iterations"),
          py::arg("sphere"), py::arg("atoms"), py::arg("workspace"), py::arg("device"), py::arg("stream"));
}

}  // namespace sparsefast
