// Checks of NumPy arrays at the border of the native core, and the pacing of long calls.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "bindings/buffer.hpp"
#include "sparsefast/core.hpp"

namespace sparsefast {
namespace py = pybind11;

// Work that takes about a quarter of a second on one slow core: the most between two looks for Ctrl-C.
constexpr double kFlopsAPiece = 2e9;
// A workspace up to this size stays with its thread.
constexpr int64_t kKeptWorkspace = int64_t(64) << 20;
// Below this much work a thread costs more than it brings.
constexpr double kFlopsAThread = 4e6;

inline DType dtype_of(const py::array& a, const char* name) {
    const int num = a.dtype().num();
    if (num == py::detail::npy_api::NPY_FLOAT_) return DType::float32;
    if (num == py::detail::npy_api::NPY_DOUBLE_) return DType::float64;
    throw py::type_error(std::string(name) + " must be float32 or float64");
}

inline Matrix matrix_of(const py::array& a, const char* name) {
    if (a.ndim() != 2) throw py::value_error(std::string(name) + " must have 2 dimensions");
    const py::ssize_t size = a.itemsize();
    // A stride of a dimension of length one or zero may be anything; NumPy never hands out one between elements here.
    if ((a.shape(0) > 1 && a.strides(0) % size) || (a.shape(1) > 1 && a.strides(1) % size) ||
        reinterpret_cast<std::uintptr_t>(a.data()) % static_cast<std::uintptr_t>(size))
        throw py::value_error(std::string(name) + " is not aligned to its elements");
    return {a.data(), a.shape(0), a.shape(1), a.strides(0) / size, a.strides(1) / size};
}

inline int threads_for(double flops, int n_threads) {
    return static_cast<int>(std::max(1.0, std::min(static_cast<double>(n_threads), flops / kFlopsAThread)));
}

inline void check_interrupt() {
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

// An output: dense, writeable, of the shape and type that the kernel will write.
template <typename T>
T* output(const py::array& a, const char* name, int64_t rows, int64_t cols) {
    const bool fits =
        cols < 0 ? a.ndim() == 1 && a.shape(0) == rows : a.ndim() == 2 && a.shape(0) == rows && a.shape(1) == cols;
    if (!fits) throw py::value_error(std::string(name) + " has the wrong shape");
    if (!(a.flags() & py::array::c_style)) throw py::value_error(std::string(name) + " must be C-contiguous");
    return static_cast<T*>(const_cast<py::array&>(a).mutable_data());  // raises when read-only
}

inline void check_type(const py::array& a, const char* name, char kind, py::ssize_t size) {
    if (a.dtype().kind() != kind || a.itemsize() != size)
        throw py::type_error(std::string(name) + " has the wrong dtype");
}

// The data of a C-contiguous array of this shape.
inline const void* dense_of(const py::array& a, const char* name, const std::vector<int64_t>& shape) {
    if (!std::equal(shape.begin(), shape.end(), a.shape(), a.shape() + a.ndim()))
        throw py::value_error(std::string(name) + " has the wrong shape");
    constexpr int needed = py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    if ((a.flags() & needed) != needed) throw py::value_error(std::string(name) + " must be C-contiguous and aligned");
    return a.data();
}

inline void require_writeable(const py::array& a, const char* name) {
    if (!a.writeable()) throw py::value_error(std::string(name) + " is read-only");
}

// Calls kernel(begin, end, workspace, threads) on pieces of n signals, with a look for Ctrl-C between them. `bytes`
// gives the workspace for a number of threads.
template <typename Bytes, typename Kernel>
void in_pieces(int64_t n, double flops_a_signal, int n_threads, const Bytes& bytes, const Kernel& kernel) {
    const int threads = threads_for(flops_a_signal * static_cast<double>(n), n_threads);
    const int64_t needed = bytes(threads);
    AlignedBuffer large;
    if (needed > kKeptWorkspace) large = AlignedBuffer(needed);
    void* const workspace = needed > kKeptWorkspace ? large.data() : thread_workspace(needed);
    const auto fit = static_cast<int64_t>(kFlopsAPiece * threads / flops_a_signal);
    const int64_t step = fit >= 512 ? fit / 512 * 512 : std::max<int64_t>(8, fit / 8 * 8);
    for (int64_t begin = 0; begin < n; begin += step) {
        if (begin) check_interrupt();
        py::gil_scoped_release release;
        kernel(begin, std::min(begin + step, n), workspace, threads);
    }
}

// A workspace that stays with its thread where it is not large.
class Workspace {
   public:
    explicit Workspace(int64_t bytes) {
        if (bytes > kKeptWorkspace) large_ = AlignedBuffer(bytes);
        data_ = bytes > kKeptWorkspace ? large_.data() : thread_workspace(bytes);
    }
    void* data() const { return data_; }

   private:
    AlignedBuffer large_;
    void* data_;
};

// The width of an output of indices.
inline IndexType index_type_of(const py::array& indices) {
    const IndexType type = indices.itemsize() == 8 ? IndexType::int64 : IndexType::int32;
    check_type(indices, "indices", 'i', type == IndexType::int64 ? 8 : 4);
    return type;
}

inline void check_float(const py::array& a, const char* name, DType dtype) {
    check_type(a, name, 'f', dtype == DType::float32 ? 4 : 8);
}

}  // namespace sparsefast
