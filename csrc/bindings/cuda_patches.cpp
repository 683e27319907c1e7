// Python's view of the patches family on a CUDA device: checks what describes the arrays, and queues the kernels. The
// same source serves the emulated device.
#include "sparsefast/patches_cuda.hpp"

#include <stdexcept>

#include "bindings/device_arrays.hpp"
#include "bindings/patches.hpp"

namespace sparsefast {
namespace {

void check(const char* error) {
    if (error) throw std::runtime_error(std::string("CUDA: ") + error);
}

CudaQueue queue_of(int device, std::uintptr_t stream) { return {device, reinterpret_cast<void*>(stream)}; }

int64_t extent(const DeviceArray& array, const char* name, size_t dimensions, size_t axis) {
    if (array.shape().size() != dimensions)
        throw py::value_error(std::string(name) + " must have " + std::to_string(dimensions) + " dimensions");
    return array.shape()[axis];
}

const void* dense(const py::object& array, const char* name, const char* dtype, const std::vector<int64_t>& shape) {
    return array.is_none() ? nullptr : DeviceArray(array, name).require(dtype).dense(shape);
}

Corners corners_of(const py::object& corners, int64_t batch) {
    if (corners.is_none()) return {};
    const DeviceArray a(corners, "corners");
    const int64_t images = extent(a, "corners", 3, 0), n = a.shape()[1];
    if (images != batch && images != 1) throw py::value_error("corners must be (batch or 1, n_patches, 2)");
    const auto* data = static_cast<const int64_t*>(a.require("int64").dense({images, n, 2}));
    // The address of nothing is null, which would mean a grid.
    static const int64_t none[2] = {0, 0};
    return {data && n ? data : none, n, images == 1 ? 0 : 2 * n};
}

Tiles tiles_of(const py::object& tiles, const FoldProblem& p) {
    if (tiles.is_none()) {
        if (p.corners.data) throw py::value_error("tiles must be given with corners");
        return {};
    }
    const auto parts = tiles.cast<py::tuple>();
    if (parts.size() != 3) throw py::value_error("tiles must be (tile, starts, patches)");
    const auto tile = parts[0].cast<std::pair<int64_t, int64_t>>();
    if (tile.first != kCudaFoldTileHeight || tile.second != kCudaFoldTileWidth)
        throw py::value_error("tiles must be lists for tiles of " + std::to_string(kCudaFoldTileHeight) + " by " +
                              std::to_string(kCudaFoldTileWidth) + " pixels");
    const int64_t rows = (p.grid.y.size + tile.first - 1) / tile.first;
    const int64_t columns = (p.grid.x.size + tile.second - 1) / tile.second;
    const DeviceArray patches(parts[2], "tiles.patches");
    const int64_t count = extent(patches, "tiles.patches", 1, 0);
    return {tile.first, tile.second,
            static_cast<const int64_t*>(
                DeviceArray(parts[1], "tiles.starts").require("int64").dense({p.batch * rows * columns + 1})),
            static_cast<const int64_t*>(patches.require("int64").dense({count}))};
}

void run_unfold(const py::object& images, const py::tuple& grid, const py::object& corners, bool rows,
                const py::object& out, int device, std::uintptr_t stream) {
    UnfoldProblem p{};
    const DeviceArray x(images, "images");
    p.images.batch = extent(x, "images", 4, 0);
    p.images.channels = x.shape()[1];
    p.images.data = x.data();
    p.images.batch_stride = x.strides()[0];
    p.images.channel_stride = x.strides()[1];
    p.images.y_stride = x.strides()[2];
    p.images.x_stride = x.strides()[3];
    p.itemsize = x.itemsize();
    p.rows = rows;
    p.grid = grid_of(grid, x.shape()[2], x.shape()[3]);
    p.corners = corners_of(corners, p.images.batch);
    p.patches = DeviceArray(out, "out")
                    .require(x.dtype())
                    .dense(shape_of_patches(p.grid, p.corners, p.images.batch, p.images.channels, rows));
    const py::gil_scoped_release release;
    check(cuda_unfold(p, queue_of(device, stream)));
}

void run_fold(const py::object& patches, const py::tuple& grid, const py::object& corners, const py::object& tiles,
              bool rows, const std::string& dtype, const py::object& window, const py::object& confidence,
              const py::object& inverse, bool normalize, const py::object& out, int device, std::uintptr_t stream) {
    FoldProblem p{};
    p.type = element_type(dtype);
    p.rows = rows;
    p.normalize = normalize;
    const DeviceArray to(out, "out"), from(patches, "patches");
    // NumPy has no bfloat16; its arrays hold the bits.
    const char* const stored = dtype == "bfloat16" && to.dtype() == "int16" ? "int16" : dtype.c_str();
    p.batch = extent(to, "out", 4, 0);
    p.channels = to.shape()[1];
    p.grid = grid_of(grid, to.shape()[2], to.shape()[3]);
    p.corners = corners_of(corners, p.batch);
    p.tiles = tiles_of(tiles, p);
    p.out = to.require(stored).dense({p.batch, p.channels, p.grid.y.size, p.grid.x.size});
    p.patches = from.require(stored).dense(shape_of_patches(p.grid, p.corners, p.batch, p.channels, rows));
    const char* const computing = p.type == ElementType::float64 ? "float64" : "float32";
    const int64_t n = p.corners.data ? p.corners.n_patches : p.grid.y.count * p.grid.x.count;
    p.window = dense(window, "window", computing, {p.grid.y.patch, p.grid.x.patch});
    p.confidence = dense(confidence, "confidence", computing, {p.batch, n});
    p.inverse = dense(inverse, "inverse", computing, {p.grid.y.size, p.grid.x.size});
    if (p.inverse && (!normalize || p.confidence || p.corners.data))
        throw py::value_error("inverse goes with normalize, without confidence and corners");
    const py::gil_scoped_release release;
    check(cuda_fold(p, queue_of(device, stream)));
}

}  // namespace

void bind_cuda_patches(py::module_& m) {
    m.attr("cuda_fold_tile") = std::pair<int64_t, int64_t>(kCudaFoldTileHeight, kCudaFoldTileWidth);
    m.def("cuda_unfold", &run_unfold, py::arg("images"), py::arg("grid"), py::arg("corners").none(true),
          py::arg("rows"), py::arg("out"), py::arg("device"), py::arg("stream"));
    m.def("cuda_fold", &run_fold, py::arg("patches"), py::arg("grid"), py::arg("corners").none(true),
          py::arg("tiles").none(true), py::arg("rows"), py::arg("dtype"), py::arg("window").none(true),
          py::arg("confidence").none(true), py::arg("inverse").none(true), py::arg("normalize"), py::arg("out"),
          py::arg("device"), py::arg("stream"));
}

}  // namespace sparsefast
