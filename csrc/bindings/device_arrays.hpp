// Checks of arrays in device memory at the border of the native core. Python describes each as a tuple (address, dtype,
// shape, strides in elements), since the libraries that own them are unknown here.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sparsefast/core.hpp"

namespace sparsefast {
namespace py = pybind11;

// A shape, or strides: without memory of its own, since small calls describe many arrays.
class Extents {
   public:
    static constexpr size_t kMost = 8;

    Extents(const py::handle& numbers, const char* name) {
        if (!PyTuple_Check(numbers.ptr())) throw py::type_error(std::string(name) + " must be described by tuples");
        size_ = static_cast<size_t>(PyTuple_GET_SIZE(numbers.ptr()));
        if (size_ > kMost)
            throw py::value_error(std::string(name) + " has more than " + std::to_string(kMost) + " dimensions");
        for (size_t i = 0; i < size_; ++i) {
            n_[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(numbers.ptr(), static_cast<Py_ssize_t>(i)));
            if (n_[i] == -1 && PyErr_Occurred()) throw py::error_already_set();
        }
    }
    size_t size() const { return size_; }
    int64_t operator[](size_t i) const { return n_[i]; }
    const int64_t* begin() const { return n_; }
    const int64_t* end() const { return n_ + size_; }

   private:
    size_t size_ = 0;
    int64_t n_[kMost];
};

// Reads a description, which must outlive it.
class DeviceArray {
   public:
    DeviceArray(const py::handle& description, const char* name)
        : name_(name),
          parts_(parts_of(description, name)),
          dtype_(text_of(PyTuple_GET_ITEM(parts_, 1))),
          shape_(PyTuple_GET_ITEM(parts_, 2), name),
          strides_(PyTuple_GET_ITEM(parts_, 3), name) {
        data_ = PyLong_AsVoidPtr(PyTuple_GET_ITEM(parts_, 0));
        if (!data_ && PyErr_Occurred()) throw py::error_already_set();
        if (shape_.size() != strides_.size()) refuse(" needs a stride for each dimension");
        for (const int64_t n : shape_)
            if (n < 0) refuse(" has a negative length");
        const auto size = static_cast<std::uintptr_t>(itemsize());
        if (reinterpret_cast<std::uintptr_t>(data_) % size) refuse(" is not aligned");
    }

    void* data() const { return data_; }
    std::string_view dtype() const { return dtype_; }
    const Extents& shape() const { return shape_; }
    const Extents& strides() const { return strides_; }

    DType float_type() const {
        if (dtype_ == "float32") return DType::float32;
        if (dtype_ == "float64") return DType::float64;
        refuse_type(" must be float32 or float64, not ");
    }
    Matrix matrix() const {
        if (shape_.size() != 2) refuse(" must have 2 dimensions");
        return {data_, shape_[0], shape_[1], strides_[0], strides_[1]};
    }
    int64_t stride_of_vector(int64_t n) const {
        if (shape_.size() != 1 || shape_[0] != n) refuse(" has the wrong shape");
        return strides_[0];
    }

    // The elements of a dense array of this shape.
    void* dense(const std::vector<int64_t>& shape) const { return dense(shape.data(), shape.size()); }
    // An output: dense, of this shape; cols < 0 for a vector.
    void* output(int64_t rows, int64_t cols) const {
        const int64_t shape[] = {rows, cols};
        return dense(shape, cols < 0 ? 1 : 2);
    }
    const DeviceArray& require(std::string_view dtype) const {
        if (dtype_ != dtype) refuse_type((" must be " + std::string(dtype) + ", not ").c_str());
        return *this;
    }
    IndexType index_type() const {
        if (dtype_ == "int64") return IndexType::int64;
        require("int32");
        return IndexType::int32;
    }

    // Bytes of at least this many, aligned as packed layouts and workspaces are.
    void* buffer(int64_t bytes) const {
        require("uint8");
        if (shape_.size() != 1 || shape_[0] < bytes) refuse(" is too small");
        if (bytes && reinterpret_cast<std::uintptr_t>(data_) % kAlignment)
            refuse((" must be aligned to " + std::to_string(kAlignment) + " bytes").c_str());
        return data_;
    }

    int itemsize() const {
        if (dtype_ == "float64" || dtype_ == "int64") return 8;
        if (dtype_ == "float32" || dtype_ == "int32") return 4;
        if (dtype_ == "int16" || dtype_ == "float16" || dtype_ == "bfloat16") return 2;
        if (dtype_ == "uint8" || dtype_ == "bool") return 1;
        refuse_type(" has dtype ");
    }

   private:
    static PyObject* parts_of(const py::handle& description, const char* name) {
        PyObject* const parts = description.ptr();
        if (!PyTuple_Check(parts) || PyTuple_GET_SIZE(parts) != 4)
            throw py::value_error(std::string(name) + " must be (address, dtype, shape, strides)");
        return parts;
    }
    static std::string_view text_of(PyObject* text) {
        Py_ssize_t length = 0;
        const char* const characters = PyUnicode_AsUTF8AndSize(text, &length);
        if (!characters) throw py::error_already_set();
        return {characters, static_cast<size_t>(length)};
    }
    void* dense(const int64_t* shape, size_t size) const {
        if (size != shape_.size() || !std::equal(shape_.begin(), shape_.end(), shape)) refuse(" has the wrong shape");
        if (std::find(shape, shape + size, 0) != shape + size) return data_;  // without elements that could lie apart
        int64_t step = 1;
        for (size_t i = size; i--; step *= shape_[i])
            if (shape_[i] > 1 && strides_[i] != step) refuse(" must be C-contiguous");
        return data_;
    }
    [[noreturn]] void refuse(const char* why) const { throw py::value_error(std::string(name_) + why); }
    [[noreturn]] void refuse_type(const char* why) const {
        throw py::type_error(std::string(name_) + why + std::string(dtype_));
    }

    const char* name_;
    PyObject* parts_;
    std::string_view dtype_;
    Extents shape_, strides_;
    void* data_;
};

}  // namespace sparsefast
