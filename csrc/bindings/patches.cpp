// Python's view of the patches family: checks arrays, releases the GIL, answers Ctrl-C between pieces of a long call.
#include "sparsefast/patches.hpp"

#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/patches.hpp"

namespace sparsefast {
namespace {

// What one slow core reads and writes in about a quarter of a second, and below which a second thread costs more than
// it brings.
constexpr double kBytesAPiece = 5e8, kBytesAThread = 2e5;

// As in_pieces, for tasks that are bounded by the bytes that they move.
template <typename Kernel>
void tasks_in_pieces(int64_t tasks, double bytes_a_task, int n_threads, const Kernel& kernel) {
    const double wanted = bytes_a_task * static_cast<double>(tasks) / kBytesAThread;
    const int threads = static_cast<int>(std::max(1.0, std::min(static_cast<double>(n_threads), wanted)));
    const double fit = kBytesAPiece * threads / std::max(bytes_a_task, 1.0);
    const int64_t step =
        fit < static_cast<double>(tasks) ? std::max<int64_t>(threads, static_cast<int64_t>(fit)) : tasks;
    for (int64_t begin = 0; begin < tasks; begin += step) {
        if (begin) check_interrupt();
        kernel(begin, std::min(begin + step, tasks), threads);
    }
}

const void* dense(const py::object& array, const char* name, const std::vector<int64_t>& shape, bool wide) {
    if (array.is_none()) return nullptr;
    const auto a = array.cast<py::array>();
    check_type(a, name, 'f', wide ? 8 : 4);
    return dense_of(a, name, shape);
}

Images images_of(const py::array& a) {
    if (a.ndim() != 4) throw py::value_error("images must have 4 dimensions");
    const py::ssize_t size = a.itemsize();
    int64_t strides[4];
    for (int i = 0; i < 4; ++i) {
        if (a.shape(i) > 1 && a.strides(i) % size) throw py::value_error("images is not aligned to its elements");
        strides[i] = a.strides(i) / size;
    }
    if (reinterpret_cast<std::uintptr_t>(a.data()) % static_cast<std::uintptr_t>(size))
        throw py::value_error("images is not aligned to its elements");
    return {const_cast<void*>(a.data()), a.shape(0), a.shape(1), strides[0], strides[1], strides[2], strides[3]};
}

Corners corners_of(const py::object& corners, int64_t batch) {
    if (corners.is_none()) return {};
    const auto a = corners.cast<py::array>();
    check_type(a, "corners", 'i', 8);
    if (a.ndim() != 3 || a.shape(2) != 2 || (a.shape(0) != batch && a.shape(0) != 1))
        throw py::value_error("corners must be (batch or 1, n_patches, 2)");
    const auto* data = static_cast<const int64_t*>(dense_of(a, "corners", {a.shape(0), a.shape(1), 2}));
    static const int64_t none[2] = {0, 0};
    return {a.size() ? data : none, a.shape(1), a.shape(0) == 1 ? 0 : 2 * a.shape(1)};
}

void run_unfold(const py::array& images, const py::tuple& grid, const py::object& corners, bool rows,
                const py::array& out, int n_threads) {
    UnfoldProblem p{};
    p.images = images_of(images);
    p.itemsize = static_cast<int>(images.itemsize());
    if (p.itemsize != 1 && p.itemsize != 2 && p.itemsize != 4 && p.itemsize != 8)
        throw py::type_error("images has elements of the wrong size");
    p.grid = grid_of(grid, images.shape(2), images.shape(3));
    p.rows = rows;
    p.corners = corners_of(corners, p.images.batch);
    check_type(out, "out", images.dtype().kind(), images.itemsize());
    p.patches = const_cast<void*>(
        dense_of(out, "out", shape_of_patches(p.grid, p.corners, p.images.batch, p.images.channels, rows)));
    require_writeable(out, "out");
    tasks_in_pieces(unfold_tasks(p), unfold_bytes_a_task(p), n_threads, [&](int64_t begin, int64_t end, int threads) {
        const py::gil_scoped_release release;
        unfold(p, begin, end, threads);
    });
}

// The tile lists of patches at corners; every index in them is checked again where it is used, or here.
Tiles tiles_of(const py::object& tiles, const FoldProblem& p, py::array* starts, py::array* patches) {
    if (tiles.is_none()) {
        if (p.corners.data) throw py::value_error("tiles must be given with corners");
        return {};
    }
    const auto parts = tiles.cast<py::tuple>();
    const auto size = parts[0].cast<std::pair<int64_t, int64_t>>();
    if (size.first < 1 || size.second < 1) throw py::value_error("tiles must be of at least one pixel");
    *starts = parts[1].cast<py::array>();
    *patches = parts[2].cast<py::array>();
    check_type(*starts, "tiles.starts", 'i', 8);
    check_type(*patches, "tiles.patches", 'i', 8);
    const int64_t rows = (p.grid.y.size + size.first - 1) / size.first;
    const int64_t cols = (p.grid.x.size + size.second - 1) / size.second, n = p.batch * rows * cols;
    const auto* of_tile = static_cast<const int64_t*>(dense_of(*starts, "tiles.starts", {n + 1}));
    if (patches->ndim() != 1) throw py::value_error("tiles.patches must have 1 dimension");
    const int64_t count = patches->shape(0);
    for (int64_t t = 0; t <= n; ++t)
        if (of_tile[t] < (t ? of_tile[t - 1] : 0) || of_tile[t] > count)
            throw py::value_error("tiles.starts must increase, up to the number of tiles.patches");
    return {size.first, size.second, of_tile,
            static_cast<const int64_t*>(dense_of(*patches, "tiles.patches", {count}))};
}

void run_fold(const py::array& patches, const py::tuple& grid, const py::object& corners, const py::object& tiles,
              bool rows, const std::string& dtype, const py::object& window, const py::object& confidence,
              const py::object& inverse, bool normalize, const py::array& out, int n_threads) {
    FoldProblem p{};
    p.type = element_type(dtype);
    const bool wide = p.type == ElementType::float64;
    if (out.ndim() != 4) throw py::value_error("out must have 4 dimensions");
    check_elements(patches, "patches", p.type);
    check_elements(out, "out", p.type);
    p.batch = out.shape(0);
    p.channels = out.shape(1);
    p.grid = grid_of(grid, out.shape(2), out.shape(3));
    p.rows = rows;
    p.normalize = normalize;
    p.corners = corners_of(corners, p.batch);
    py::array starts, lists;
    p.tiles = tiles_of(tiles, p, &starts, &lists);
    p.patches = dense_of(patches, "patches", shape_of_patches(p.grid, p.corners, p.batch, p.channels, rows));
    p.window = dense(window, "window", {p.grid.y.patch, p.grid.x.patch}, wide);
    const int64_t n = p.corners.data ? p.corners.n_patches : p.grid.y.count * p.grid.x.count;
    p.confidence = dense(confidence, "confidence", {p.batch, n}, wide);
    p.inverse = dense(inverse, "inverse", {p.grid.y.size, p.grid.x.size}, wide);
    if (p.inverse && (!normalize || p.confidence || p.corners.data))
        throw py::value_error("inverse goes with normalize, without confidence and corners");
    p.out = const_cast<void*>(dense_of(out, "out", {p.batch, p.channels, p.grid.y.size, p.grid.x.size}));
    require_writeable(out, "out");
    tasks_in_pieces(fold_tasks(p), fold_bytes_a_task(p), n_threads, [&](int64_t begin, int64_t end, int threads) {
        const int64_t bytes = fold_workspace_bytes(p, threads);
        AlignedBuffer large;
        if (bytes > kKeptWorkspace) large = AlignedBuffer(bytes);
        void* const workspace = bytes > kKeptWorkspace ? large.data() : thread_workspace(bytes);
        const py::gil_scoped_release release;
        fold(p, begin, end, workspace, threads);
    });
}

}  // namespace

void bind_patches(py::module_& m) {
    m.def("unfold", &run_unfold, py::arg("images"), py::arg("grid"), py::arg("corners").none(true), py::arg("rows"),
          py::arg("out"), py::arg("n_threads"));
    m.def("fold", &run_fold, py::arg("patches"), py::arg("grid"), py::arg("corners").none(true),
          py::arg("tiles").none(true), py::arg("rows"), py::arg("dtype"), py::arg("window").none(true),
          py::arg("confidence").none(true), py::arg("inverse").none(true), py::arg("normalize"), py::arg("out"),
          py::arg("n_threads"));
}

}  // namespace sparsefast
