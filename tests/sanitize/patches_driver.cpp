// Runs the patches family of the native core, without Python, as omp_driver.cpp does the omp family: in buffers of just
// their size, over shapes, borders, layouts, elements, strides of images, corners, weights, instruction sets, threads
// and splits. Built with a sanitizer, it shows that the core reads and writes only what it may. As it is, it checks
//
//     unfold and fold against plain loops: bit for bit, since the numbers are such that every sum is exact;
//     that every output element is written: outputs begin as different bytes, and come out the same;
//     that random numbers, whose sums are rounded, give the same bits for all threads, splits, layouts and places.
#include "patches/fold.hpp"
#include "patches/unfold.hpp"

namespace {

void all_elements(const Shape& s, const PatchGrid& grid, const Places& places, bool on_grid, const std::string& where) {
    unfold_all<uint8_t>(s, grid, places, on_grid, where);
    unfold_all<uint16_t>(s, grid, places, on_grid, where);
    unfold_all<uint32_t>(s, grid, places, on_grid, where);
    unfold_all<uint64_t>(s, grid, places, on_grid, where);
    fold_all<Uint8>(s, grid, places, on_grid, where);
    fold_all<Float16>(s, grid, places, on_grid, where);
    fold_all<Brain16>(s, grid, places, on_grid, where);
    fold_all<Float32>(s, grid, places, on_grid, where);
    fold_all<Float64>(s, grid, places, on_grid, where);
}

void on_grid(const Shape& s, Border border) {
    const PatchGrid grid{axis(s.height, s.patch_y, s.stride_y, border), axis(s.width, s.patch_x, s.stride_x, border)};
    const char* const names[] = {"clamp_last", "pad", "drop"};
    all_elements(s, grid, Places(grid), true, text(s, names[static_cast<int>(border)]));
}

// Anywhere: around the image, far outside of it, and where adding to them would overflow.
void at_corners(const Shape& s) {
    const PatchGrid sizes{{s.height, s.patch_y, 1, 1, 0}, {s.width, s.patch_x, 1, 1, 0}};
    for (const int64_t n : {0, 1, 23})
        for (const int64_t images : {int64_t(1), s.batch}) {
            if (n == 0 && images > 1) continue;
            const Places places(n, images);
            for (int64_t i = 0; i < places.corners.size; ++i) {
                const int64_t size = i % 2 ? s.width : s.height, patch = i % 2 ? s.patch_x : s.patch_y;
                const int64_t far[] = {kFar, -kFar - 1, -kFar, kFar - patch, size, -patch};
                places.corners[i] = below(6) ? below(size + 2 * patch + 2) - patch - 1 : far[below(6)];
            }
            all_elements(s, sizes, places, false, text(s, images > 1 ? "corners of each image" : "corners"));
        }
}

// Outputs that are written past the caches.
void large() {
    const auto run = [](const auto& unfold_both, int64_t batch, int64_t patch_x, Border border) {
        const Shape s{batch, 3, 100, 201, 5, patch_x, 1, 1};
        const PatchGrid grid{axis(s.height, s.patch_y, 1, border), axis(s.width, s.patch_x, 1, border)};
        unfold_both(s, grid, Places(grid));
    };
    run(unfold_large<uint8_t>, 9, 7, Border::pad);
    run(unfold_large<uint16_t>, 3, 13, Border::pad);
    run(unfold_large<uint32_t>, 2, 16, Border::drop);
    run(unfold_large<uint64_t>, 2, 7, Border::pad);
}

}  // namespace

int main() {
    const Shape shapes[] = {
        {1, 1, 1, 1, 1, 1, 1, 1},    {0, 3, 5, 7, 2, 3, 1, 2},
        {2, 0, 5, 7, 2, 3, 1, 2},    {2, 3, 5, 7, 2, 3, 2, 3},
        {1, 4, 9, 20, 4, 4, 3, 4},   {2, 1, 18, 33, 8, 8, 5, 5},
        {1, 9, 3, 130, 2, 5, 1, 6},  {2, 2, 21, 41, 7, 9, 4, 7},
        {1, 2, 6, 5, 9, 8, 1, 2},    {3, 1, 11, 97, 2, 3, 5, 8},
        {2, 1, 5, 90, 3, 12, 9, 9},  {1, 2, 50, 83, 3, 3, 40, 40},
        {2, 1, 17, 19, 5, 10, 1, 1}, {1, 1, 3, 5, 2, 2, 1 << 30, 1 << 30},
    };
    const Shape larger[] = {
        {1, 1, 2, 1300, 1, 1100, 1, 70},  // rows and patches that are more than is converted at once
        {1, 1, 130, 134, 130, 130, 1, 7},
        {1, 9, 37, 530, 3, 3, 6, 6},  // several tiles of sums along both axes, and groups of channels
    };
    n_isas = isa_available(isas);
    std::size_t step = 1, n_shapes = sizeof shapes / sizeof *shapes;
#if defined(__SANITIZE_THREAD__)
    // It is slow, and threads are the same for all instruction sets, and all shapes of several tasks.
    n_isas = 1;
    step = 4;
#endif
    for (std::size_t i = 0; i < n_shapes; i += step) {
        const Shape& s = shapes[n_shapes - 1 - i];
        on_grid(s, Border::pad);
        if (s.patch_y <= s.height && s.patch_x <= s.width) {
            on_grid(s, Border::clamp_last);
            on_grid(s, Border::drop);
        }
        at_corners(s);
    }
    if (step == 1) {
        for (const Shape& s : larger) on_grid(s, Border::clamp_last);
        large();
    } else {
        on_grid(larger[2], Border::clamp_last);
    }
    std::printf("patches: %d calls, %d checks failed\n", calls_made, failures);
    return failures != 0;
}
