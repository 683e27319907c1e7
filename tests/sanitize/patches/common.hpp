// What the checks of unfold and fold share: shapes, arrays of just their size, places of patches, and ways to call.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>

#include "common/isa.hpp"
#include "sparsefast/patches.hpp"

namespace {

using namespace sparsefast;

constexpr int64_t kFar = std::numeric_limits<int64_t>::max();
[[maybe_unused]] int failures = 0, calls_made = 0;
std::mt19937 generator(5);
Isa isas[3];
int n_isas = 0;

int64_t below(int64_t n) { return static_cast<int64_t>(generator() % static_cast<uint64_t>(n)); }

struct Shape {
    int64_t batch, channels, height, width, patch_y, patch_x, stride_y, stride_x;
};

std::string text(const Shape& s, const char* what) {
    std::string line = what;
    for (const int64_t n : {s.batch, s.channels, s.height, s.width, s.patch_y, s.patch_x, s.stride_y, s.stride_x})
        line += " " + std::to_string(n);
    return line;
}

void check(bool ok, const char* what, const std::string& where) {
    if (ok) return;
    ++failures;
    std::printf("FAILED %s: %s (%s)\n", where.c_str(), what, isa_name(isa_current()));
}

// Elements in memory of just their size, full of one byte, `skip` elements behind an aligned address.
template <typename T>
struct Array {
    int64_t size, skip;
    std::unique_ptr<char[]> bytes;

    explicit Array(int64_t n, int byte = 0, int64_t skip_ = 0)
        : size(n), skip(skip_), bytes(new char[static_cast<std::size_t>(n + skip_) * sizeof(T)]) {
        std::memset(bytes.get(), byte, static_cast<std::size_t>(n + skip_) * sizeof(T));
    }
    T* data() const { return reinterpret_cast<T*>(bytes.get()) + skip; }
    T& operator[](int64_t i) const { return data()[i]; }
    bool operator==(const Array& other) const {
        return !std::memcmp(data(), other.data(), static_cast<std::size_t>(size) * sizeof(T));
    }
};

enum class Border { clamp_last, pad, drop };

PatchAxis axis(int64_t size, int64_t patch, int64_t stride, Border border) {
    const int64_t room = size - patch;
    if (border == Border::drop) return {size, patch, stride, room / stride + 1, room};
    const int64_t count = room > 0 ? (room + stride - 1) / stride + 1 : 1;
    return {size, patch, stride, count, border == Border::pad ? (count - 1) * stride : room};
}

// Where the patches of all images begin: (batch or 1, n, 2).
struct Places {
    int64_t n, images;
    Array<int64_t> corners;

    Places(int64_t n_, int64_t images_) : n(n_), images(images_), corners(2 * n_ * images_) {}
    explicit Places(const PatchGrid& g) : Places(g.y.count * g.x.count, 1) {
        for (int64_t l = 0; l < n; ++l) {
            corners[2 * l] = std::min(l / g.x.count * g.y.stride, g.y.last);
            corners[2 * l + 1] = std::min(l % g.x.count * g.x.stride, g.x.last);
        }
    }
    const int64_t* at(int64_t b, int64_t l) const { return corners.data() + 2 * ((images > 1 ? b : 0) * n + l); }
    Corners as_corners() const {
        static const int64_t none[2] = {0, 0};
        return {n > 0 ? corners.data() : none, n, images > 1 ? 2 * n : 0};
    }
};

// A pixel of a patch as one of the image, or -1.
int64_t pixel(const int64_t* corner, int64_t ki, int64_t kj, int64_t height, int64_t width) {
    int64_t y, x;
    if (__builtin_add_overflow(corner[0], ki, &y) || __builtin_add_overflow(corner[1], kj, &x)) return -1;
    return y >= 0 && y < height && x >= 0 && x < width ? y * width + x : -1;
}

// Threads, and the calls that the work is split into. A sanitizer takes a millisecond to start a thread, so that of
// several calls with threads one has them.
struct Way {
    int threads, calls;

    template <typename Call>
    void run(int64_t tasks, const Call& call) const {
        static int turn = 0;
        const int n_threads = threads > 1 && ++turn % 7 ? 1 : threads;
        const int64_t step = std::max<int64_t>(1, (tasks + calls - 1) / calls);
        for (int64_t begin = 0; begin < tasks; begin += step, ++calls_made)
            call(begin, std::min(begin + step, tasks), n_threads);
    }
};
constexpr Way kWays[] = {{1, 1}, {3, 1}, {1, 4}};

}  // namespace
