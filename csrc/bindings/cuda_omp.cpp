// Python's view of the omp family on a CUDA device: checks what describes the arrays, and queues the kernels. The same
// source serves the emulated device.
#include "sparsefast/omp_cuda.hpp"

#include <stdexcept>

#include "bindings/device_arrays.hpp"
#include "bindings/names.hpp"

namespace sparsefast {
namespace {

void check(const char* error) {
    if (error) throw std::runtime_error(std::string("CUDA: ") + error);
}

// A packed dictionary in memory that Python holds.
struct CudaDictionary {
    OmpDictionary spec{};

    CudaDictionary(int64_t n_atoms, int64_t n_features, const std::string& dtype, bool with_gram, bool gram_given) {
        if (n_atoms < 1 || n_features < 1) throw py::value_error("dictionary must not be empty");
        if (n_atoms > INT32_MAX) throw py::value_error("dictionary has more than 2^31 - 1 atoms");
        if (dtype != "float32" && dtype != "float64") throw py::type_error("dictionary must be float32 or float64");
        spec.dtype = dtype == "float32" ? DType::float32 : DType::float64;
        spec.n_atoms = n_atoms;
        spec.n_features = n_features;
        spec.method = with_gram ? cuda_omp_method(n_atoms, n_features, spec.dtype, gram_given) : OmpMethod::residual;
    }
    int64_t bytes() const { return cuda_omp_packed_bytes(spec); }

    void pack(const py::object& atoms, const py::object& gram, const py::object& packed, int device,
              std::uintptr_t stream) const {
        const DeviceArray d(atoms, "dictionary");
        const Matrix m = d.matrix();
        if (d.float_type() != spec.dtype || m.rows != spec.n_atoms || m.cols != spec.n_features)
            throw py::value_error("dictionary is not what was described");
        Matrix g{};
        if (!gram.is_none() && spec.method == OmpMethod::gram) {
            const DeviceArray given(gram, "gram");
            g = given.matrix();
            if (given.float_type() != spec.dtype || g.rows != m.rows || g.cols != m.rows)
                throw py::value_error("gram must be (n_atoms, n_atoms) of the dictionary's dtype");
        }
        void* const to = DeviceArray(packed, "packed").buffer(bytes());
        const py::gil_scoped_release release;
        check(cuda_omp_pack(spec, m, g, to, {device, reinterpret_cast<void*>(stream)}));
    }
};

Matrix signals_of(const py::object& signals, const OmpDictionary& d) {
    const DeviceArray x(signals, "signals");
    if (x.float_type() != d.dtype) throw py::type_error("signals must have the dictionary's dtype");
    const Matrix m = x.matrix();
    if (m.cols != d.n_features) throw py::value_error("signals must have the dictionary's features");
    return m;
}

const char* name_of(DType dtype) { return dtype == DType::float32 ? "float32" : "float64"; }

void run(const std::string& coder, const py::object& signals, const CudaDictionary& d, const py::object& packed,
         int64_t n_nonzero, const py::object& tol, const py::object& values, const py::object& indices,
         const py::object& counts, const py::object& status, const py::object& allocate, int device,
         std::uintptr_t stream, const py::object& mask, bool positive) {
    OmpProblem p{};
    p.coder = coder_of(coder);
    p.dictionary = d.spec;
    p.packed = DeviceArray(packed, "packed").buffer(d.bytes());
    p.signals = signals_of(signals, d.spec);
    const int64_t n = p.signals.rows;
    if (n_nonzero < 1 || n_nonzero > d.spec.n_atoms) throw py::value_error("n_nonzero must be 1 to n_atoms");
    p.n_nonzero = n_nonzero;
    p.positive = positive;
    double one = 0;
    float one_float = 0;
    if (py::isinstance<py::tuple>(tol)) {
        const DeviceArray each(tol, "tol");
        if (each.float_type() != d.spec.dtype) throw py::type_error("tol must have the signals' dtype");
        p.tol_stride = each.stride_of_vector(n);
        if (n == 1) p.tol_stride = 1;
        if (n > 1 && p.tol_stride == 0) throw py::value_error("tol must have a stride");
        p.tol = each.data();
    } else if (!tol.is_none()) {
        one = tol.cast<double>();
        one_float = static_cast<float>(one);
        p.tol = d.spec.dtype == DType::float32 ? static_cast<const void*>(&one_float) : &one;
    }
    if (p.coder == OmpCoder::masked) {
        if (mask.is_none()) throw py::value_error("mask must be given to coder='masked'");
        const DeviceArray m(mask, "mask");
        if (m.dtype() != "bool" && m.dtype() != "uint8") throw py::type_error("mask must be bool or uint8");
        p.mask = m.matrix();
        if (p.mask.rows != n || p.mask.cols != p.signals.cols)
            throw py::value_error("mask must have the signals' shape");
    }
    p.values = DeviceArray(values, "values").require(name_of(d.spec.dtype)).output(n, n_nonzero);
    const DeviceArray of_indices(indices, "indices");
    p.index_type = of_indices.index_type();
    p.indices = of_indices.output(n, n_nonzero);
    p.counts = static_cast<int32_t*>(DeviceArray(counts, "counts").require("int32").output(n, -1));
    p.status = static_cast<uint8_t*>(DeviceArray(status, "status").require("uint8").output(n, -1));
    const CudaQueue queue{device, reinterpret_cast<void*>(stream)};
    const int64_t bytes = cuda_omp_workspace_bytes(p, queue);
    py::object workspace;  // kept until the kernels are queued
    void* scratch = nullptr;
    if (bytes) {
        workspace = allocate(bytes);
        scratch = DeviceArray(workspace.attr("description"), "workspace").buffer(bytes);
    }
    const py::gil_scoped_release release;
    check(cuda_omp(p, scratch, queue));
}

void run_nearest(const py::object& signals, const CudaDictionary& d, const py::object& packed,
                 const py::object& indices, const py::object& distances, int device, std::uintptr_t stream) {
    NearestProblem p{};
    p.codebook = d.spec;
    p.packed = DeviceArray(packed, "packed").buffer(d.bytes());
    p.signals = signals_of(signals, d.spec);
    const DeviceArray of_indices(indices, "indices");
    p.index_type = of_indices.index_type();
    p.indices = of_indices.output(p.signals.rows, -1);
    p.distances = DeviceArray(distances, "distances").require(name_of(d.spec.dtype)).output(p.signals.rows, -1);
    const py::gil_scoped_release release;
    check(cuda_nearest_code(p, {device, reinterpret_cast<void*>(stream)}));
}

void run_support(const py::object& atoms, const py::object& indices, const py::object& counts, const py::object& grad,
                 const py::object& mask, const py::object& solved, const py::object& through, int device,
                 std::uintptr_t stream) {
    SupportProblem p{};
    const DeviceArray d(atoms, "dictionary");
    p.dtype = d.float_type();
    p.atoms = d.matrix();
    const DeviceArray g(grad, "grad");
    const Matrix shape = g.require(name_of(p.dtype)).matrix();
    const int64_t n = p.n_signals = shape.rows, s = p.n_nonzero = shape.cols;
    p.grad = g.output(n, s);
    p.indices = static_cast<const int64_t*>(DeviceArray(indices, "indices").require("int64").output(n, s));
    p.counts = static_cast<const int32_t*>(DeviceArray(counts, "counts").require("int32").output(n, -1));
    p.solved = DeviceArray(solved, "solved").require(name_of(p.dtype)).output(n, s);
    if (!through.is_none())
        p.through = DeviceArray(through, "through").require(name_of(p.dtype)).output(n, p.atoms.cols);
    if (!mask.is_none()) {
        p.mask = DeviceArray(mask, "mask").require("bool").matrix();
        if (p.mask.rows != n || p.mask.cols != p.atoms.cols) throw py::value_error("mask has the wrong shape");
    }
    const CudaQueue queue{device, reinterpret_cast<void*>(stream)};
    if (s > cuda_support_most(p.dtype, queue)) throw py::value_error("grad has too many entries a signal");
    const py::gil_scoped_release release;
    check(cuda_support_solve(p, queue));
}

}  // namespace

void bind_cuda_omp(py::module_& m) {
    py::class_<CudaDictionary>(m, "CudaDictionary")
        .def(py::init<int64_t, int64_t, const std::string&, bool, bool>(), py::arg("n_atoms"), py::arg("n_features"),
             py::arg("dtype"), py::arg("with_gram"), py::arg("gram_given"))
        .def_property_readonly("bytes", &CudaDictionary::bytes)
        .def_property_readonly("method", [](const CudaDictionary& d) { return method_name(d.spec.method); })
        .def("pack", &CudaDictionary::pack, py::arg("dictionary"), py::arg("gram").none(true), py::arg("packed"),
             py::arg("device"), py::arg("stream"));
    m.def("cuda_code", &run, py::arg("coder"), py::arg("signals"), py::arg("dictionary"), py::arg("packed"),
          py::arg("n_nonzero"), py::arg("tol").none(true), py::arg("values"), py::arg("indices"), py::arg("counts"),
          py::arg("status"), py::arg("allocate"), py::arg("device"), py::arg("stream"), py::arg("mask") = py::none(),
          py::arg("positive") = false);
    m.def(
        "cuda_support_most",
        [](const std::string& dtype, int device) {
            return cuda_support_most(dtype == "float32" ? DType::float32 : DType::float64, {device, nullptr});
        },
        py::arg("dtype"), py::arg("device"));
    m.def("cuda_support_solve", &run_support, py::arg("dictionary"), py::arg("indices"), py::arg("counts"),
          py::arg("grad"), py::arg("mask").none(true), py::arg("solved"), py::arg("through").none(true),
          py::arg("device"), py::arg("stream"));
    m.def("cuda_nearest_code", &run_nearest, py::arg("signals"), py::arg("codebook"), py::arg("packed"),
          py::arg("indices"), py::arg("distances"), py::arg("device"), py::arg("stream"));
}

}  // namespace sparsefast
