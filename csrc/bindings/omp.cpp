// Python's view of the omp family: checks arrays, releases the GIL, answers Ctrl-C between pieces of a long call.
#include "sparsefast/omp.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <memory>
#include <new>
#include <string>

#include "bindings/buffer.hpp"

namespace py = pybind11;

namespace sparsefast {
namespace {

// Work that takes about a quarter of a second on one slow core: the most between two looks for Ctrl-C.
constexpr double kFlopsAPiece = 2e9;
// A workspace up to this size stays with its thread.
constexpr int64_t kKeptWorkspace = int64_t(64) << 20;
// Below this much work a thread costs more than it brings.
constexpr double kFlopsAThread = 4e6;

DType dtype_of(const py::array& a, const char* name) {
    const int num = a.dtype().num();
    if (num == py::detail::npy_api::NPY_FLOAT_) return DType::float32;
    if (num == py::detail::npy_api::NPY_DOUBLE_) return DType::float64;
    throw py::type_error(std::string(name) + " must be float32 or float64");
}

Matrix matrix_of(const py::array& a, const char* name) {
    if (a.ndim() != 2) throw py::value_error(std::string(name) + " must have 2 dimensions");
    const py::ssize_t size = a.itemsize();
    // A stride of a dimension of length one or zero may be anything; NumPy never hands out one between elements here.
    if ((a.shape(0) > 1 && a.strides(0) % size) || (a.shape(1) > 1 && a.strides(1) % size) ||
        reinterpret_cast<std::uintptr_t>(a.data()) % static_cast<std::uintptr_t>(size))
        throw py::value_error(std::string(name) + " is not aligned to its elements");
    return {a.data(), a.shape(0), a.shape(1), a.strides(0) / size, a.strides(1) / size};
}

int threads_for(double flops, int n_threads) {
    return static_cast<int>(std::max(1.0, std::min(static_cast<double>(n_threads), flops / kFlopsAThread)));
}

void check_interrupt() {
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

// A dictionary in the layout of the kernels; it owns its memory and keeps no reference to the arrays it was made from.
class PackedDictionary {
   public:
    PackedDictionary(const py::array& atoms, const py::object& gram, int n_threads) {
        const Matrix d = matrix_of(atoms, "dictionary");
        if (d.rows < 1 || d.cols < 1) throw py::value_error("dictionary must not be empty");
        if (d.rows > INT32_MAX) throw py::value_error("dictionary has more than 2^31 - 1 atoms");
        dictionary_.dtype = dtype_of(atoms, "dictionary");
        dictionary_.n_atoms = d.rows;
        dictionary_.n_features = d.cols;
        Matrix g{};
        if (!gram.is_none()) {
            const auto array = gram.cast<py::array>();
            g = matrix_of(array, "gram");
            if (g.rows != d.rows || g.cols != d.rows || dtype_of(array, "gram") != dictionary_.dtype)
                throw py::value_error("gram must be (n_atoms, n_atoms) of the dictionary's dtype");
        }
        dictionary_.method = omp_method(d.rows, d.cols, dictionary_.dtype, g.data != nullptr);
        packed_ = AlignedBuffer(omp_packed_bytes(dictionary_));
        {
            py::gil_scoped_release release;
            omp_pack_atoms(dictionary_, d, packed_.data());
        }
        if (dictionary_.method != OmpMethod::gram) return;
        const double flops_a_row = 2.0 * static_cast<double>(d.rows) * static_cast<double>(d.cols);
        const int threads = threads_for(flops_a_row * static_cast<double>(d.rows), n_threads);
        const auto rows = static_cast<int64_t>(kFlopsAPiece * threads / flops_a_row) / kGramRows * kGramRows;
        const int64_t step = std::max(kGramRows * threads, rows);
        for (int64_t begin = 0; begin < d.rows; begin += step) {
            {
                py::gil_scoped_release release;
                omp_pack_gram(dictionary_, g, packed_.data(), begin, std::min(begin + step, d.rows), threads);
            }
            check_interrupt();
        }
    }

    const OmpDictionary& dictionary() const { return dictionary_; }
    const void* data() const { return packed_.data(); }
    int64_t bytes() const { return packed_.bytes(); }

   private:
    OmpDictionary dictionary_{};
    AlignedBuffer packed_;
};

// An output: dense, writeable, of the shape and type that the kernel will write.
template <typename T>
T* output(const py::array& a, const char* name, int64_t rows, int64_t cols) {
    const bool fits =
        cols < 0 ? a.ndim() == 1 && a.shape(0) == rows : a.ndim() == 2 && a.shape(0) == rows && a.shape(1) == cols;
    if (!fits) throw py::value_error(std::string(name) + " has the wrong shape");
    if (!(a.flags() & py::array::c_style)) throw py::value_error(std::string(name) + " must be C-contiguous");
    return static_cast<T*>(const_cast<py::array&>(a).mutable_data());  // raises when read-only
}

void check_type(const py::array& a, const char* name, char kind, py::ssize_t size) {
    if (a.dtype().kind() != kind || a.itemsize() != size)
        throw py::type_error(std::string(name) + " has the wrong dtype");
}

void run(const py::array& signals, const PackedDictionary& packed, int64_t n_nonzero, const py::object& tol,
         const py::array& values, const py::array& indices, const py::array& counts, const py::array& status,
         int n_threads) {
    OmpProblem p{};
    p.dictionary = packed.dictionary();
    p.packed = packed.data();
    p.signals = matrix_of(signals, "signals");
    const int64_t n = p.signals.rows;
    if (dtype_of(signals, "signals") != p.dictionary.dtype)
        throw py::type_error("signals must have the dictionary's dtype");
    if (p.signals.cols != p.dictionary.n_features) throw py::value_error("signals must have the dictionary's features");
    if (n_nonzero < 1 || n_nonzero > p.dictionary.n_atoms) throw py::value_error("n_nonzero must be 1 to n_atoms");
    p.n_nonzero = n_nonzero;
    float tol32;
    double tol64;
    py::array tol_array;
    if (py::isinstance<py::array>(tol)) {
        tol_array = tol.cast<py::array>();
        if (tol_array.ndim() != 1 || tol_array.shape(0) != n || dtype_of(tol_array, "tol") != p.dictionary.dtype)
            throw py::value_error("tol must be (n_signals,) of the signals' dtype");
        if (n > 1 && tol_array.strides(0) % tol_array.itemsize()) throw py::value_error("tol is not aligned");
        p.tol = tol_array.data();
        p.tol_stride = tol_array.strides(0) / tol_array.itemsize();
    } else if (!tol.is_none()) {
        tol64 = tol.cast<double>();
        tol32 = static_cast<float>(tol64);
        p.tol = p.dictionary.dtype == DType::float32 ? static_cast<const void*>(&tol32) : &tol64;
        p.tol_stride = 0;
    }
    check_type(values, "values", 'f', p.dictionary.dtype == DType::float32 ? 4 : 8);
    p.values = output<void>(values, "values", n, n_nonzero);
    p.index_type = indices.itemsize() == 8 ? IndexType::int64 : IndexType::int32;
    check_type(indices, "indices", 'i', p.index_type == IndexType::int64 ? 8 : 4);
    p.indices = output<void>(indices, "indices", n, n_nonzero);
    check_type(counts, "counts", 'i', 4);
    p.counts = output<int32_t>(counts, "counts", n, -1);
    check_type(status, "status", 'u', 1);
    p.status = output<uint8_t>(status, "status", n, -1);
    if (n == 0) return;

    const auto flops = static_cast<double>(omp_flops(p.dictionary, n_nonzero));
    const int threads = threads_for(flops * static_cast<double>(n), n_threads);
    const int64_t bytes = omp_workspace_bytes(p.dictionary, n, n_nonzero, threads);
    AlignedBuffer large;
    if (bytes > kKeptWorkspace) large = AlignedBuffer(bytes);
    void* const workspace = bytes > kKeptWorkspace ? large.data() : thread_workspace(bytes);
    const auto fit = static_cast<int64_t>(kFlopsAPiece * threads / flops);
    const int64_t step = fit >= 512 ? fit / 512 * 512 : std::max<int64_t>(8, fit / 8 * 8);
    for (int64_t begin = 0; begin < n; begin += step) {
        if (begin) check_interrupt();
        py::gil_scoped_release release;
        omp(p, begin, std::min(begin + step, n), workspace, threads);
    }
}

int64_t workspace_bytes(const PackedDictionary& packed, int64_t n_signals, int64_t n_nonzero, int n_threads) {
    const auto flops = static_cast<double>(omp_flops(packed.dictionary(), n_nonzero));
    return omp_workspace_bytes(packed.dictionary(), n_signals, n_nonzero,
                               threads_for(flops * static_cast<double>(n_signals), n_threads));
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
        .def(py::init<const py::array&, const py::object&, int>(), py::arg("dictionary"), py::arg("gram"),
             py::arg("n_threads"))
        .def_property_readonly("bytes", &PackedDictionary::bytes)
        .def_property_readonly("method", [](const PackedDictionary& d) {
            constexpr const char* names[] = {"gram", "residual", "small"};
            return names[static_cast<int>(d.dictionary().method)];
        });
    m.def("omp", &run, py::arg("signals"), py::arg("dictionary"), py::arg("n_nonzero"), py::arg("tol").none(true),
          py::arg("values"), py::arg("indices"), py::arg("counts"), py::arg("status"), py::arg("n_threads"));
    m.def("omp_workspace_bytes", &workspace_bytes, py::arg("dictionary"), py::arg("n_signals"), py::arg("n_nonzero"),
          py::arg("n_threads"));
    m.def("status_codes", &status_codes);
}

}  // namespace sparsefast
