// Python's view of the products of sparse codes on a CUDA device: checks what describes the arrays, and queues the
// kernels. The same source serves the emulated device.
#include <stdexcept>

#include "bindings/device_arrays.hpp"
#include "sparsefast/products_cuda.hpp"

namespace sparsefast {
namespace {

void check(const char* error) {
    if (error) throw std::runtime_error(std::string("CUDA: ") + error);
}

const char* name_of(DType dtype) { return dtype == DType::float32 ? "float32" : "float64"; }

// Threads step past the last feature before they stop, in 32 bits.
constexpr int64_t kMostFeatures = int64_t(1) << 30;

Matrix matrix_of(const py::object& array, const char* name, DType dtype) {
    const Matrix m = DeviceArray(array, name).require(name_of(dtype)).matrix();
    if (m.cols < 1 || m.cols > kMostFeatures) throw py::value_error(std::string(name) + " must have features");
    return m;
}

// Codes of which `values` may be None.
SparseCodes codes_of(const py::object& values, const py::object& indices, const py::object& counts, DType dtype) {
    const DeviceArray i(indices, "indices");
    const Matrix shape = i.matrix();
    if (shape.cols > INT32_MAX) throw py::value_error("indices has more than 2^31 - 1 entries a signal");
    const void* v = nullptr;
    if (!values.is_none()) v = DeviceArray(values, "values").require(name_of(dtype)).output(shape.rows, shape.cols);
    const auto* c = static_cast<const int32_t*>(DeviceArray(counts, "counts").require("int32").output(shape.rows, -1));
    return {v, i.output(shape.rows, shape.cols), c, shape.rows, shape.cols, i.index_type()};
}

CudaProduct with_dictionary(const py::object& dictionary) {
    CudaProduct p{};
    p.dtype = DeviceArray(dictionary, "dictionary").float_type();
    p.rows = matrix_of(dictionary, "dictionary", p.dtype);
    p.n_atoms = p.rows.rows;
    return p;
}

void run_decode(const py::object& values, const py::object& indices, const py::object& counts,
                const py::object& dictionary, const py::object& out, int device, std::uintptr_t stream) {
    CudaProduct p = with_dictionary(dictionary);
    p.codes = codes_of(values, indices, counts, p.dtype);
    p.out = DeviceArray(out, "out").require(name_of(p.dtype)).output(p.codes.n_signals, p.rows.cols);
    const py::gil_scoped_release release;
    check(cuda_decode(p, {device, reinterpret_cast<void*>(stream)}));
}

void run_correlate(const py::object& signals, const py::object& indices, const py::object& counts,
                   const py::object& dictionary, const py::object& out, int device, std::uintptr_t stream) {
    CudaProduct p = with_dictionary(dictionary);
    p.codes = codes_of(py::none(), indices, counts, p.dtype);
    p.signals = matrix_of(signals, "signals", p.dtype);
    if (p.signals.rows != p.codes.n_signals || p.signals.cols != p.rows.cols)
        throw py::value_error("signals has the wrong shape");
    p.out = DeviceArray(out, "out").require(name_of(p.dtype)).output(p.codes.n_signals, p.codes.n_nonzero);
    const py::gil_scoped_release release;
    check(cuda_correlate(p, {device, reinterpret_cast<void*>(stream)}));
}

int64_t accumulate_bytes(const std::string& dtype, int64_t n_signals, int64_t n_nonzero, int64_t n_atoms,
                         int64_t n_features) {
    CudaProduct p{};
    p.dtype = dtype == "float32" ? DType::float32 : DType::float64;
    p.codes.n_signals = n_signals;
    p.codes.n_nonzero = n_nonzero;
    p.rows.cols = n_features;
    p.n_atoms = n_atoms;
    return cuda_accumulate_workspace_bytes(p);
}

void run_accumulate(const py::object& values, const py::object& indices, const py::object& counts,
                    const py::object& signals, const py::object& less_values, const py::object& less_signals,
                    const py::object& out, const py::object& workspace, int device, std::uintptr_t stream) {
    CudaProduct p{};
    p.dtype = DeviceArray(signals, "signals").float_type();
    p.rows = matrix_of(signals, "signals", p.dtype);
    p.codes = codes_of(values, indices, counts, p.dtype);
    if (p.rows.rows != p.codes.n_signals) throw py::value_error("signals has the wrong shape");
    if (!less_values.is_none()) {
        p.less_values = DeviceArray(less_values, "less_values")
                            .require(name_of(p.dtype))
                            .output(p.codes.n_signals, p.codes.n_nonzero);
        p.less_rows = matrix_of(less_signals, "less_signals", p.dtype);
        if (p.less_rows.rows != p.rows.rows || p.less_rows.cols != p.rows.cols)
            throw py::value_error("less_signals has the wrong shape");
    }
    const DeviceArray sums(out, "out");
    p.n_atoms = sums.require(name_of(p.dtype)).matrix().rows;
    if (p.n_atoms < 1 || p.n_atoms > INT32_MAX) throw py::value_error("out must have 1 to 2^31 - 1 atoms");
    p.out = sums.output(p.n_atoms, p.rows.cols);
    void* const scratch = DeviceArray(workspace, "workspace").buffer(cuda_accumulate_workspace_bytes(p));
    const py::gil_scoped_release release;
    check(cuda_accumulate(p, scratch, {device, reinterpret_cast<void*>(stream)}));
}

}  // namespace

void bind_cuda_products(py::module_& m) {
    m.def("cuda_decode", &run_decode, py::arg("values"), py::arg("indices"), py::arg("counts"), py::arg("dictionary"),
          py::arg("out"), py::arg("device"), py::arg("stream"));
    m.def("cuda_correlate", &run_correlate, py::arg("signals"), py::arg("indices"), py::arg("counts"),
          py::arg("dictionary"), py::arg("out"), py::arg("device"), py::arg("stream"));
    m.def("cuda_accumulate_workspace_bytes", &accumulate_bytes, py::arg("dtype"), py::arg("n_signals"),
          py::arg("n_nonzero"), py::arg("n_atoms"), py::arg("n_features"));
    m.def("cuda_accumulate", &run_accumulate, py::arg("values"), py::arg("indices"), py::arg("counts"),
          py::arg("signals"), py::arg("less_values").none(true), py::arg("less_signals").none(true), py::arg("out"),
          py::arg("workspace"), py::arg("device"), py::arg("stream"));
}

}  // namespace sparsefast
