// Checks of arrays in device memory at the border of the native core. Python describes each as a tuple (address, dtype,
// shape, strides in elements), since the libraries that own them are unknown here.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <string>
#include <vector>

#include "sparsefast/core.hpp"

namespace sparsefast {
namespace py = pybind11;

class DeviceArray {
   public:
    DeviceArray(const py::object& description, const char* name) : name_(name) {
        const auto parts = description.cast<py::tuple>();
        if (parts.size() != 4) throw py::value_error(name_ + " must be (address, dtype, shape, strides)");
        data_ = reinterpret_cast<void*>(parts[0].cast<std::uintptr_t>());
        dtype_ = parts[1].cast<std::string>();
        shape_ = parts[2].cast<std::vector<int64_t>>();
        strides_ = parts[3].cast<std::vector<int64_t>>();
        if (shape_.size() != strides_.size()) throw py::value_error(name_ + " needs a stride for each dimension");
        for (const int64_t n : shape_)
            if (n < 0) throw py::value_error(name_ + " has a negative length");
        const auto size = static_cast<std::uintptr_t>(itemsize());
        if (reinterpret_cast<std::uintptr_t>(data_) % size) throw py::value_error(name_ + " is not aligned");
    }

    void* data() const { return data_; }
    const std::string& dtype() const { return dtype_; }
    const std::vector<int64_t>& shape() const { return shape_; }
    const std::vector<int64_t>& strides() const { return strides_; }

    DType float_type() const {
        if (dtype_ == "float32") return DType::float32;
        if (dtype_ == "float64") return DType::float64;
        throw py::type_error(name_ + " must be float32 or float64, not " + dtype_);
    }
    Matrix matrix() const {
        if (shape_.size() != 2) throw py::value_error(name_ + " must have 2 dimensions");
        return {data_, shape_[0], shape_[1], strides_[0], strides_[1]};
    }
    int64_t stride_of_vector(int64_t n) const {
        if (shape_.size() != 1 || shape_[0] != n) throw py::value_error(name_ + " has the wrong shape");
        return strides_[0];
    }

    // The elements of a dense array of this shape.
    void* dense(const std::vector<int64_t>& shape) const {
        if (shape_ != shape) throw py::value_error(name_ + " has the wrong shape");
        for (const int64_t n : shape)
            if (n == 0) return data_;  // without elements that could lie apart
        int64_t step = 1;
        for (size_t i = shape_.size(); i--; step *= shape_[i])
            if (shape_[i] > 1 && strides_[i] != step) throw py::value_error(name_ + " must be C-contiguous");
        return data_;
    }
    // An output: dense, of this shape; cols < 0 for a vector.
    void* output(int64_t rows, int64_t cols) const {
        return dense(cols < 0 ? std::vector<int64_t>{rows} : std::vector<int64_t>{rows, cols});
    }
    const DeviceArray& require(const char* dtype) const {
        if (dtype_ != dtype) throw py::type_error(name_ + " must be " + dtype + ", not " + dtype_);
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
        if (shape_.size() != 1 || shape_[0] < bytes) throw py::value_error(name_ + " is too small");
        if (bytes && reinterpret_cast<std::uintptr_t>(data_) % kAlignment)
            throw py::value_error(name_ + " must be aligned to " + std::to_string(kAlignment) + " bytes");
        return data_;
    }

    int itemsize() const {
        if (dtype_ == "float64" || dtype_ == "int64") return 8;
        if (dtype_ == "float32" || dtype_ == "int32") return 4;
        if (dtype_ == "int16" || dtype_ == "float16" || dtype_ == "bfloat16") return 2;
        if (dtype_ == "uint8" || dtype_ == "bool") return 1;
        throw py::type_error(name_ + " has dtype " + dtype_);
    }

   private:
    std::string name_, dtype_;
    void* data_;
    std::vector<int64_t> shape_, strides_;
};

}  // namespace sparsefast
