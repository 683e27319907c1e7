// What the bindings of the patches family share, on the CPU and on a CUDA device: grids and shapes, checked.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <utility>
#include <vector>

#include "sparsefast/patches.hpp"

namespace sparsefast {
namespace py = pybind11;

inline ElementType element_type(const std::string& name) {
    const std::pair<const char*, ElementType> all[] = {
        {"uint8", ElementType::uint8},     {"float16", ElementType::float16}, {"bfloat16", ElementType::bfloat16},
        {"float32", ElementType::float32}, {"float64", ElementType::float64},
    };
    for (const auto& [known, type] : all)
        if (name == known) return type;
    throw py::value_error("dtype='" + name + "' must be uint8, float16, bfloat16, float32 or float64");
}

// A sparsefast.kernels.patch_grid.Axis of an image of this size: patches whose pixels can be counted without overflow,
// and none of which starts before the image.
inline PatchAxis axis_of(const py::handle& axis, int64_t size) {
    constexpr int64_t kMost = int64_t(1) << 40;
    const auto numbers = axis.cast<std::vector<int64_t>>();
    if (numbers.size() != 5) throw py::value_error("grid must have five numbers an axis");
    const PatchAxis a{numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]};
    for (const int64_t n : numbers)
        if (n > kMost) throw py::value_error("grid is too large");
    if (a.size != size) throw py::value_error("grid is for images of another size");
    if (a.size < 1 || a.patch < 1 || a.stride < 1 || a.count < 1 || a.last < 0)
        throw py::value_error("grid must have positive sizes");
    if (a.count > kMost / a.stride) throw py::value_error("grid is too large");
    if ((a.count - 1) * a.stride > a.last && a.last > a.size - a.patch)
        throw py::value_error("grid has a last patch that is not in the image");
    return a;
}

// Of a grid for patches at corners only the sizes count.
inline PatchGrid grid_of(const py::tuple& grid, int64_t height, int64_t width) {
    if (grid.size() != 2) throw py::value_error("grid must have two axes");
    return {axis_of(grid[0], height), axis_of(grid[1], width)};
}

// The bits of elements: bfloat16, which NumPy lacks, comes as int16.
inline void check_elements(const py::array& a, const char* name, ElementType type) {
    constexpr char kinds[] = {'u', 'f', 'i', 'f', 'f'};
    constexpr int sizes[] = {1, 2, 2, 4, 8};
    const int i = static_cast<int>(type);
    if (a.dtype().kind() != kinds[i] || a.itemsize() != sizes[i])
        throw py::type_error(std::string(name) + " has the wrong dtype");
}

inline std::vector<int64_t> shape_of_patches(const PatchGrid& g, const Corners& corners, int64_t batch,
                                             int64_t channels, bool rows) {
    int64_t features, n = corners.n_patches;
    bool fits = !__builtin_mul_overflow(channels, g.y.patch, &features);
    fits = fits && !__builtin_mul_overflow(features, g.x.patch, &features);
    if (!corners.data) fits = fits && !__builtin_mul_overflow(g.y.count, g.x.count, &n);
    if (!fits) throw py::value_error("patches would have too many elements");
    return rows ? std::vector<int64_t>{batch, n, features} : std::vector<int64_t>{batch, features, n};
}

}  // namespace sparsefast
