// Runs the CUDA kernels of the patches family on the emulated device, as cuda_driver.cpp does those of the omp family:
// in buffers of just the size of their arrays, over shapes, elements, layouts, corners far outside and orders of
// threads. An output is written twice over different bytes, and must come out the same.
#include "cuda_patches.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "cuda/emulation/launch.hpp"
#include "sparsefast/patches_cuda.hpp"

namespace {

using namespace sparsefast;
using emulation::Order;
using Bytes = std::vector<unsigned char>;

constexpr CudaQueue kQueue{0, nullptr};
constexpr int64_t kFar = std::numeric_limits<int64_t>::max();
int failures = 0, calls = 0;

void check(bool ok, const char* what) {
    if (ok) return;
    ++failures;
    std::printf("FAILED %s\n", what);
}

struct Shape {
    int64_t batch, channels, height, width, patch_y, patch_x, stride_y, stride_x;
};

enum class Border { clamp_last, pad, drop };

PatchAxis axis(int64_t size, int64_t patch, int64_t stride, Border border) {
    const int64_t room = size - patch;
    if (border == Border::drop) return {size, patch, stride, room / stride + 1, room};
    const int64_t count = room > 0 ? (room + stride - 1) / stride + 1 : 1;
    return {size, patch, stride, count, border == Border::pad ? (count - 1) * stride : room};
}

// What `call` writes into `bytes` bytes, the same in each order of threads.
template <typename Call>
Bytes written(int64_t bytes, const char* name, const Call& call) {
    Bytes first;
    for (const Order order : {Order::forward, Order::reversed, Order::shuffled}) {
        emulation::set_order(order, 7);
        Bytes out(bytes, order == Order::reversed ? 0xa5 : 0x5a);
        const char* const error = call(out.data());
        ++calls;
        check(!error, error ? error : "");
        if (order == Order::forward) first = out;
        check(out == first, name);
    }
    return first;
}

Bytes random_bytes(int64_t n, std::mt19937& random) {
    Bytes bytes(n);
    for (unsigned char& b : bytes) b = static_cast<unsigned char>(random());
    return bytes;
}

template <typename T>
std::vector<T> random_numbers(int64_t n, std::mt19937& random) {
    std::normal_distribution<T> normal;
    std::vector<T> numbers(n);
    for (T& v : numbers) v = normal(random);
    return numbers;
}

struct Lists {
    std::vector<int64_t> starts{0}, patches;

    Lists(const Shape& s, const std::vector<int64_t>& corners, int64_t n, bool shared) {
        for (int64_t b = 0; b < s.batch; ++b)
            for (int64_t y = 0; y < s.height; y += kCudaFoldTileHeight)
                for (int64_t x = 0; x < s.width; x += kCudaFoldTileWidth) {
                    for (int64_t i = 0; i < n; ++i) {
                        const int64_t* const corner = corners.data() + 2 * ((shared ? 0 : b * n) + i);
                        if (corner[0] > y - s.patch_y && corner[0] < std::min(y + kCudaFoldTileHeight, s.height) &&
                            corner[1] > x - s.patch_x && corner[1] < std::min(x + kCudaFoldTileWidth, s.width))
                            patches.push_back(i);
                    }
                    starts.push_back(static_cast<int64_t>(patches.size()));
                }
    }
};

class Family {
   public:
    Family(const Shape& shape, Border border, bool rows) : s_(shape), rows_(rows), random_(1) {
        grid_ = {axis(s_.height, s_.patch_y, s_.stride_y, border), axis(s_.width, s_.patch_x, s_.stride_x, border)};
    }

    void on_the_grid() { run(Corners{}, grid_.y.count * grid_.x.count, Tiles{}); }

    void at_corners(bool shared) {
        const int64_t n = 9;
        std::vector<int64_t> corners((shared ? 1 : s_.batch) * n * 2);
        for (size_t i = 0; i < corners.size(); ++i) {
            const int64_t size = i % 2 ? s_.width : s_.height, patch = i % 2 ? s_.patch_x : s_.patch_y;
            corners[i] = static_cast<int64_t>(random_() % (size + 2 * patch + 2)) - patch - 1;
            if (random_() % 8 == 0) corners[i] = random_() % 2 ? kFar : -kFar - 1;
        }
        const Lists lists(s_, corners, n, shared);
        run({corners.data(), n, shared ? 0 : 2 * n}, n,
            {kCudaFoldTileHeight, kCudaFoldTileWidth, lists.starts.data(), lists.patches.data()});
    }

   private:
    void run(const Corners& corners, int64_t n, const Tiles& tiles) {
        for (const int itemsize : {1, 2, 4, 8}) unfold_once(corners, n, itemsize);
        for (const ElementType type : {ElementType::uint8, ElementType::float16, ElementType::bfloat16,
                                       ElementType::float32, ElementType::float64})
            fold_all(corners, n, tiles, type);
    }

    void unfold_once(const Corners& corners, int64_t n, int itemsize) {
        const int64_t pixels = s_.height * s_.width;
        const Bytes images = random_bytes(s_.batch * s_.channels * pixels * itemsize, random_);
        UnfoldProblem p{};
        p.itemsize = itemsize;
        p.rows = rows_;
        p.grid = grid_;
        p.corners = corners;
        p.images = {const_cast<unsigned char*>(images.data()),
                    s_.batch,
                    s_.channels,
                    s_.channels * pixels,
                    pixels,
                    s_.width,
                    1};
        if (s_.height == 1) p.images.y_stride = kFar / 2;  // of no meaning
        if (itemsize == 2 && s_.height > 1) {              // from the last row on
            p.images.data = const_cast<unsigned char*>(images.data()) + (s_.height - 1) * s_.width * itemsize;
            p.images.y_stride = -s_.width;
        }
        written(elements(n) * itemsize, "unfold depends on what was there, or on the order of threads",
                [&](unsigned char* out) {
                    p.patches = out;
                    return cuda_unfold(p, kQueue);
                });
    }

    void fold_all(const Corners& corners, int64_t n, const Tiles& tiles, ElementType type) {
        constexpr int64_t sizes[] = {1, 2, 2, 4, 8};
        const int64_t size = sizes[static_cast<int>(type)], pixels = s_.height * s_.width;
        const Bytes patches = random_bytes(elements(n) * size, random_);
        // In float64 those of another size; of the numbers none matters.
        const int64_t wide = type == ElementType::float64 ? 2 : 1;
        const auto window = random_numbers<float>(wide * s_.patch_y * s_.patch_x, random_);
        const auto confidence = random_numbers<float>(wide * s_.batch * n, random_);
        const auto inverse = random_numbers<float>(wide * pixels, random_);
        for (int variant = 0; variant < 4; ++variant) {
            FoldProblem p{};
            p.type = type;
            p.rows = rows_;
            p.normalize = variant != 1;
            p.grid = grid_;
            p.corners = corners;
            p.tiles = tiles;
            p.batch = s_.batch;
            p.channels = s_.channels;
            p.patches = patches.data();
            if (variant > 0) p.window = window.data();
            if (variant == 2) p.confidence = confidence.data();
            if (variant == 3 && !corners.data) p.inverse = inverse.data();
            written(s_.batch * s_.channels * pixels * size,
                    "fold depends on what was there, or on the order of threads", [&](unsigned char* out) {
                        p.out = out;
                        return cuda_fold(p, kQueue);
                    });
        }
    }

    int64_t elements(int64_t n) const { return s_.batch * s_.channels * s_.patch_y * s_.patch_x * n; }

    Shape s_;
    bool rows_;
    PatchGrid grid_;
    std::mt19937 random_;
};

}  // namespace

int run_cuda_patches() {
    const Shape shapes[] = {{1, 1, 1, 1, 1, 1, 1, 1},  {0, 3, 5, 7, 2, 3, 1, 2},   {2, 3, 5, 7, 2, 3, 2, 3},
                            {1, 4, 9, 20, 4, 4, 3, 3}, {2, 1, 18, 33, 8, 8, 5, 4}, {1, 5, 3, 130, 2, 5, 1, 3},
                            {2, 2, 41, 6, 7, 3, 4, 1}, {1, 1, 1, 9, 3, 2, 1, 1},   {1, 2, 6, 5, 9, 8, 1, 2},
                            {1, 3, 11, 13, 2, 3, 5, 7}};
    for (const Shape& shape : shapes)
        for (const bool rows : {false, true}) {
            const bool larger = shape.patch_y > shape.height || shape.patch_x > shape.width;
            for (const Border border : {Border::pad, Border::clamp_last, Border::drop})
                if (!larger || border == Border::pad) Family(shape, border, rows).on_the_grid();
            Family(shape, Border::pad, rows).at_corners(true);
            Family(shape, Border::pad, rows).at_corners(false);
        }
    std::printf("CUDA kernels of patches on the emulated device: %d launches, %d failures\n", calls, failures);
    return failures;
}
