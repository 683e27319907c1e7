// Python's view of the omp family: checks arrays, releases the GIL, answers Ctrl-C between pieces of a long call.
#include "sparsefast/omp.hpp"

#include <string>
#include <utility>

#include "bindings/dictionary.hpp"
#include "bindings/names.hpp"

namespace sparsefast {
namespace {

// A bound on ||r||: nothing, a number, or one for each signal; numbers live in here.
class Tolerance {
   public:
    Tolerance(const py::object& tol, OmpProblem& p) {
        if (tol.is_none()) return;
        if (py::isinstance<py::array>(tol)) {
            array_ = tol.cast<py::array>();
            if (array_.ndim() != 1 || array_.shape(0) != p.signals.rows ||
                dtype_of(array_, "tol") != p.dictionary.dtype)
                throw py::value_error("tol must be (n_signals,) of the signals' dtype");
            if (p.signals.rows > 1 && array_.strides(0) % array_.itemsize())
                throw py::value_error("tol is not aligned");
            p.tol = array_.data();
            p.tol_stride = array_.strides(0) / array_.itemsize();
            return;
        }
        double_ = tol.cast<double>();
        float_ = static_cast<float>(double_);
        p.tol = p.dictionary.dtype == DType::float32 ? static_cast<const void*>(&float_) : &double_;
    }
    Tolerance(const Tolerance&) = delete;

   private:
    py::array array_;
    float float_ = 0;
    double double_ = 0;
};

Matrix mask_of(const py::object& mask, const Matrix& signals) {
    if (mask.is_none()) throw py::value_error("mask must be given to coder='masked'");
    const auto array = mask.cast<py::array>();
    if (array.itemsize() != 1 || (array.dtype().kind() != 'b' && array.dtype().kind() != 'u'))
        throw py::type_error("mask must be bool or uint8");
    const Matrix m = matrix_of(array, "mask");
    if (m.rows != signals.rows || m.cols != signals.cols) throw py::value_error("mask must have the signals' shape");
    return m;
}

void run(const std::string& coder, const py::array& signals, const PackedDictionary& packed, int64_t n_nonzero,
         const py::object& tol, const py::array& values, const py::array& indices, const py::array& counts,
         const py::array& status, int n_threads, const py::object& mask, bool positive, int64_t n_iterations,
         double step) {
    OmpProblem p{};
    p.coder = coder_of(coder);
    p.dictionary = packed.dictionary();
    p.packed = packed.data();
    p.signals = matrix_of(signals, "signals");
    const int64_t n = p.signals.rows;
    if (dtype_of(signals, "signals") != p.dictionary.dtype)
        throw py::type_error("signals must have the dictionary's dtype");
    if (p.signals.cols != p.dictionary.n_features) throw py::value_error("signals must have the dictionary's features");
    if (n_nonzero < 1 || n_nonzero > p.dictionary.n_atoms) throw py::value_error("n_nonzero must be 1 to n_atoms");
    p.n_nonzero = n_nonzero;
    const Tolerance tolerance(tol, p);
    if (p.coder == OmpCoder::masked) p.mask = mask_of(mask, p.signals);
    if (n_iterations < 0 || !(step >= 0)) throw py::value_error("n_iterations and step must not be negative");
    p.positive = positive;
    p.n_iterations = n_iterations;
    p.step = step;
    check_float(values, "values", p.dictionary.dtype);
    p.values = output<void>(values, "values", n, n_nonzero);
    p.index_type = index_type_of(indices);
    p.indices = output<void>(indices, "indices", n, n_nonzero);
    check_type(counts, "counts", 'i', 4);
    p.counts = output<int32_t>(counts, "counts", n, -1);
    check_type(status, "status", 'u', 1);
    p.status = output<uint8_t>(status, "status", n, -1);
    in_pieces(
        n, omp_flops(p), n_threads,
        [&](int threads) { return omp_workspace_bytes(p.dictionary, p.coder, n, n_nonzero, threads); },
        [&](int64_t begin, int64_t end, void* workspace, int threads) { omp(p, begin, end, workspace, threads); });
}

void run_nearest(const py::array& signals, const PackedDictionary& packed, const py::array& indices,
                 const py::array& distances, int n_threads) {
    NearestProblem p{};
    p.codebook = packed.dictionary();
    p.packed = packed.data();
    p.signals = matrix_of(signals, "signals");
    const int64_t n = p.signals.rows;
    if (dtype_of(signals, "signals") != p.codebook.dtype)
        throw py::type_error("signals must have the codebook's dtype");
    if (p.signals.cols != p.codebook.n_features) throw py::value_error("signals must have the codebook's features");
    p.index_type = index_type_of(indices);
    p.indices = output<void>(indices, "indices", n, -1);
    check_float(distances, "distances", p.codebook.dtype);
    p.distances = output<void>(distances, "distances", n, -1);
    in_pieces(
        n, nearest_flops(p.codebook), n_threads,
        [&](int threads) { return nearest_workspace_bytes(p.codebook, n, threads); },
        [&](int64_t begin, int64_t end, void* workspace, int threads) {
            nearest_code(p, begin, end, workspace, threads);
        });
}

int64_t workspace_bytes(const PackedDictionary& packed, int64_t n_signals, int64_t n_nonzero, int n_threads,
                        const std::string& coder) {
    OmpProblem p{};
    p.coder = coder_of(coder);
    p.dictionary = packed.dictionary();
    p.n_nonzero = n_nonzero;
    return omp_workspace_bytes(p.dictionary, p.coder, n_signals, n_nonzero,
                               threads_for(omp_flops(p) * static_cast<double>(n_signals), n_threads));
}

py::dict status_codes() {
    py::dict codes;
    const std::pair<const char*, OmpStatus> all[] = {
        {"COMPLETE", OmpStatus::complete},     {"TOLERANCE", OmpStatus::tolerance}, {"EXHAUSTED", OmpStatus::exhausted},
        {"ORTHOGONAL", OmpStatus::orthogonal}, {"DEPENDENT", OmpStatus::dependent}, {"NONFINITE", OmpStatus::nonfinite},
    };
    for (const auto& [name, code] : all) codes[name] = static_cast<int>(code);
    return codes;
}

}  // namespace

void bind_omp(py::module_& m) {
    py::class_<PackedDictionary>(m, "OmpDictionary")
        .def(py::init<const py::array&, const py::object&, int, bool>(), py::arg("dictionary"), py::arg("gram"),
             py::arg("n_threads"), py::arg("with_gram") = true)
        .def_property_readonly("bytes", &PackedDictionary::bytes)
        .def_property_readonly("method", [](const PackedDictionary& d) { return method_name(d.dictionary().method); });
    m.def("code", &run, py::arg("coder"), py::arg("signals"), py::arg("dictionary"), py::arg("n_nonzero"),
          py::arg("tol").none(true), py::arg("values"), py::arg("indices"), py::arg("counts"), py::arg("status"),
          py::arg("n_threads"), py::arg("mask") = py::none(), py::arg("positive") = false, py::arg("n_iterations") = 0,
          py::arg("step") = 0.0);
    m.def("nearest_code", &run_nearest, py::arg("signals"), py::arg("codebook"), py::arg("indices"),
          py::arg("distances"), py::arg("n_threads"));
    m.def("omp_workspace_bytes", &workspace_bytes, py::arg("dictionary"), py::arg("n_signals"), py::arg("n_nonzero"),
          py::arg("n_threads"), py::arg("coder") = "omp");
    m.def("status_codes", &status_codes);
}

}  // namespace sparsefast
