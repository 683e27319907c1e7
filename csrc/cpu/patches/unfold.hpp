// Patches out of images: patch_l(c, i, j) = image(c, y_l + i, x_l + j), 0 outside of the image.
//
// images  (B, C, H, W) of any strides     patches  (B, C, ph, pw, L), "columns", or (B, L, C, ph, pw), "rows"; dense
//
// Every task writes runs of the output from front to back, and reads what the cache holds: each pixel is read as often
// as patches cover it, and written once for each. So a long run of stores is what bounds it. In columns a row of
// patches is a run of an image's row, with its stride; in rows each row of a patch is, mostly too short for a call of
// memcpy. Source: im2col of convolution.
#pragma once

#include "cpu/patches/geometry.hpp"
#include "cpu/patches/phases.hpp"
#include "cpu/patches/writer.hpp"

namespace sparsefast {
namespace {

// Patches of an axis that start at multiples of the stride; the one that may follow starts at `last`.
SF_INLINE int64_t regular(const PatchAxis& a) {
    const int64_t n = a.last / a.stride + 1;
    return n < a.count ? n : a.count;
}
SF_INLINE int64_t start_of(const PatchAxis& a, int64_t i) { return i * a.stride < a.last ? i * a.stride : a.last; }
SF_INLINE bool inside(int64_t at, int64_t size) { return at >= 0 && at < size; }

// The pixel behind a corner; one that no image reaches, instead of an overflow, where the corner is far away.
SF_INLINE int64_t pixel_at(int64_t corner, int64_t offset) {
    int64_t sum;
    return __builtin_add_overflow(corner, offset, &sum) ? -1 : sum;
}

template <typename T>
class Unfold {
   public:
    Unfold(const UnfoldProblem& p, bool stream)
        : p_(p), tasks_(p), stream_(stream), order_(tasks_.by_phases ? p.grid.x.stride : 1, true) {}

    void range(int64_t begin, int64_t end) const {
        for (int64_t task = begin; task < end; ++task) {
            const int64_t part = task % tasks_.parts, image = task / tasks_.parts;
            const int64_t first = part * tasks_.items_a_part;
            const int64_t stop =
                first + tasks_.items_a_part < tasks_.items ? first + tasks_.items_a_part : tasks_.items;
            if (p_.rows)
                rows(image, first, stop);
            else
                columns(image / tasks_.channels, image % tasks_.channels, first, stop);
        }
        streams_end();
    }

   private:
    const T* channel(int64_t b, int64_t c) const {
        return static_cast<const T*>(p_.images.data) + b * p_.images.batch_stride + c * p_.images.channel_stride;
    }
    const int64_t* corners(int64_t b) const { return p_.corners.data + b * p_.corners.batch_stride; }
    int64_t n_patches() const { return p_.corners.data ? p_.corners.n_patches : p_.grid.y.count * p_.grid.x.count; }
    T* out() const { return static_cast<T*>(p_.patches); }

    void columns(int64_t b, int64_t c, int64_t first, int64_t stop) const {
        const PatchAxis &ay = p_.grid.y, &ax = p_.grid.x;
        if (p_.corners.data) return columns_at(b, c, first, stop);
        if (tasks_.by_phases) return columns_by_phases(b, c, first, stop);
        for (int64_t ki = 0; ki < ay.patch; ++ki)
            for (int64_t kj = 0; kj < ax.patch; ++kj) {
                T* const to = plane(b, c, ki, kj) + first * ax.count;
                if (stream_)
                    plane_of(StreamWriter<T>(to), b, c, ki, kj, first, stop);
                else
                    plane_of(DirectWriter<T>(to), b, c, ki, kj, first, stop);
            }
    }

    template <typename Writer>
    void plane_of(Writer writer, int64_t b, int64_t c, int64_t ki, int64_t kj, int64_t first, int64_t stop) const {
        const PatchAxis &ay = p_.grid.y, &ax = p_.grid.x;
        const T* const from = channel(b, c);
        const int64_t sy = p_.images.y_stride, sx = p_.images.x_stride;
        const int64_t evenly = regular(ax), reach = kj < ax.size ? (ax.size - 1 - kj) / ax.stride + 1 : 0;
        const int64_t seen = evenly < reach ? evenly : reach;
        for (int64_t i = first; i < stop; ++i) {
            const int64_t y = start_of(ay, i) + ki;
            if (y >= ay.size) {
                writer.zeros(ax.count);
                continue;
            }
            const T* const row = from + y * sy + kj * sx;
            writer.run(row, seen, ax.stride * sx);
            if (seen < evenly) writer.zeros(evenly - seen);
            if (evenly < ax.count) writer.run(row + ax.last * sx, 1, 1);
        }
        writer.finish();
    }

    // With a stride: the rows of the image in phases first, so that a row of patches is a run of one of them.
    void columns_by_phases(int64_t b, int64_t c, int64_t first, int64_t stop) const {
        typedef typename SameSize<T>::type S;
        alignas(64) T phases[kPhaseBytes / sizeof(T) + Lanes<S>::n];
        const PatchAxis &ay = p_.grid.y, &ax = p_.grid.x;
        const int64_t length = ceil_div(ax.size, ax.stride), row = length * ax.stride, y0 = start_of(ay, first);
        const int64_t end = start_of(ay, stop - 1) + ay.patch, y1 = end < ay.size ? end : ay.size;
        for (int64_t y = y0; y < y1; ++y)
            order_.to_phases(reinterpret_cast<const S*>(channel(b, c) + y * p_.images.y_stride), ax.size,
                             reinterpret_cast<S*>(phases + (y - y0) * row), length);
        const int64_t evenly = regular(ax);
        for (int64_t ki = 0; ki < ay.patch; ++ki)
            for (int64_t kj = 0; kj < ax.patch; ++kj) {
                const int64_t of_first = kj % ax.stride * length + kj / ax.stride;
                const auto each = [&](auto writer) {
                    const int64_t reach = kj < ax.size ? (ax.size - 1 - kj) / ax.stride + 1 : 0;
                    const int64_t seen = evenly < reach ? evenly : reach, x = ax.last + kj;
                    for (int64_t i = first; i < stop; ++i) {
                        const int64_t y = start_of(ay, i) + ki;
                        if (y >= ay.size) {
                            writer.zeros(ax.count);
                            continue;
                        }
                        const T* const from = phases + (y - y0) * row;
                        writer.padded_run(from + of_first, seen);
                        if (seen < evenly) writer.zeros(evenly - seen);
                        if (evenly < ax.count) writer.run(from + x % ax.stride * length + x / ax.stride, 1, 1);
                    }
                    writer.finish();
                };
                T* const to = plane(b, c, ki, kj) + first * ax.count;
                if (stream_)
                    each(StreamWriter<T>(to));
                else
                    each(DirectWriter<T>(to));
            }
    }

    T* plane(int64_t b, int64_t c, int64_t ki, int64_t kj) const {
        const PatchAxis &ay = p_.grid.y, &ax = p_.grid.x;
        return out() + (((b * p_.images.channels + c) * ay.patch + ki) * ax.patch + kj) * n_patches();
    }

    // Patches at corners, some at a time: where each begins is looked at once for all of its pixels.
    void columns_at(int64_t b, int64_t c, int64_t first, int64_t stop) const {
        constexpr int64_t kAtOnce = 256;
        int64_t offsets[kAtOnce];
        bool whole[kAtOnce];
        const PatchAxis &ay = p_.grid.y, &ax = p_.grid.x;
        const int64_t sy = p_.images.y_stride, sx = p_.images.x_stride;
        const T* const from = channel(b, c);
        for (; first < stop; first += kAtOnce) {
            const int64_t n = stop - first < kAtOnce ? stop - first : kAtOnce;
            const int64_t* const at = corners(b) + 2 * first;
            for (int64_t l = 0; l < n; ++l) {
                const int64_t y = at[2 * l], x = at[2 * l + 1];
                whole[l] = y >= 0 && x >= 0 && y <= ay.size - ay.patch && x <= ax.size - ax.patch;
                offsets[l] = whole[l] ? y * sy + x * sx : 0;
            }
            for (int64_t ki = 0; ki < ay.patch; ++ki)
                for (int64_t kj = 0; kj < ax.patch; ++kj) {
                    T* const to = plane(b, c, ki, kj) + first;
                    const T* const pixel = from + ki * sy + kj * sx;
                    for (int64_t l = 0; l < n; ++l)
                        to[l] = whole[l] ? pixel[offsets[l]] : pixel_or_zero(from, at + 2 * l, ki, kj);
                }
        }
    }

    T pixel_or_zero(const T* from, const int64_t* corner, int64_t ki, int64_t kj) const {
        const int64_t y = pixel_at(corner[0], ki), x = pixel_at(corner[1], kj);
        const bool in = inside(y, p_.grid.y.size) && inside(x, p_.grid.x.size);
        return in ? from[y * p_.images.y_stride + x * p_.images.x_stride] : T(0);
    }

    void rows(int64_t b, int64_t first, int64_t stop) const {
        const int64_t features = p_.images.channels * patch_pixels(p_.grid);
        const int64_t per_item = p_.corners.data ? 1 : p_.grid.x.count;
        T* const to = out() + (b * n_patches() + first * per_item) * features;
        if (stream_)
            patches(StreamWriter<T>(to), b, first, stop);
        else
            patches(DirectWriter<T>(to), b, first, stop);
    }

    template <typename Writer>
    void patches(Writer writer, int64_t b, int64_t first, int64_t stop) const {
        if (p_.corners.data) {
            for (int64_t l = first; l < stop; ++l) patch(writer, b, corners(b)[2 * l], corners(b)[2 * l + 1]);
        } else {
            const PatchAxis &ay = p_.grid.y, &ax = p_.grid.x;
            for (int64_t i = first; i < stop; ++i)
                for (int64_t j = 0; j < ax.count; ++j) patch(writer, b, start_of(ay, i), start_of(ax, j));
        }
        writer.finish();
    }

    template <typename Writer>
    SF_INLINE void patch(Writer& writer, int64_t b, int64_t y, int64_t x) const {
        const int64_t ph = p_.grid.y.patch, pw = p_.grid.x.patch, h = p_.grid.y.size, w = p_.grid.x.size;
        if (y < 0 || x < 0 || y > h - ph || x > w - pw || p_.images.x_stride != 1) return cut_patch(writer, b, y, x);
        const T* from = channel(b, 0) + y * p_.images.y_stride + x;
        for (int64_t c = 0; c < p_.images.channels; ++c, from += p_.images.channel_stride) {
            const T* row = from;
            const int64_t sy = p_.images.y_stride;
            switch (pw) {
#define SF_WIDTH(N)                                                                       \
    case N:                                                                               \
        for (int64_t ki = 0; ki < ph; ++ki, row += sy) writer.template short_run<N>(row); \
        break;
                SF_PATCH_WIDTHS(SF_WIDTH)
#undef SF_WIDTH
                default:
                    for (int64_t ki = 0; ki < ph; ++ki, row += sy) writer.run(row, pw, 1);
            }
        }
    }

    // A patch that is not wholly in the image, or whose pixels lie apart.
    template <typename Writer>
    void cut_patch(Writer& writer, int64_t b, int64_t y, int64_t x) const {
        const int64_t pw = p_.grid.x.patch, w = p_.grid.x.size, sx = p_.images.x_stride;
        // The part [left, right) of a row of the patch is in the image.
        const int64_t left = x >= 0 ? 0 : x > -pw ? -x : pw, right = x >= w ? left : x > w - pw ? w - x : pw;
        const int64_t in = right > left ? right - left : 0;
        for (int64_t c = 0; c < p_.images.channels; ++c) {
            for (int64_t ki = 0; ki < p_.grid.y.patch; ++ki) {
                const int64_t row = pixel_at(y, ki);
                if (!inside(row, p_.grid.y.size) || in == 0) {
                    writer.zeros(pw);
                    continue;
                }
                writer.zeros(left);
                writer.run(channel(b, c) + row * p_.images.y_stride + (x + left) * sx, in, sx);
                writer.zeros(pw - left - in);
            }
        }
    }

    UnfoldProblem p_;
    UnfoldTasks tasks_;
    bool stream_;
    PhaseOrder<typename SameSize<T>::type> order_;
};

}  // namespace
}  // namespace sparsefast
