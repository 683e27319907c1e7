// Unfold against a plain loop.
#pragma once

#include <vector>

#include "common.hpp"

namespace {

// Strides of (batch, channels, y, x) with which images lie in memory.
struct Strides {
    int64_t of[4];
};
std::vector<Strides> strides_of(const Shape& s) {
    const int64_t c = s.channels, h = s.height, w = s.width;
    return {{{c * h * w, h * w, w, 1}},
            {{h * w * c, 1, w * c, c}},
            {{-c * h * w, h * w, -w, -1}},
            {{0, h * w * 4, w * 4, 4}},
            {{h * w, 0, w, 1}},
            {{c * h, h, 1, 0}},
            {{c * h * w, h * w, 0, 1}},
            {{2 * c * h * w, 2 * h * w, 2, -2 * h}}};
}

template <typename T>
class Unfolding {
   public:
    Unfolding(const Shape& s, const PatchGrid& grid, const Places& places, const Strides& strides)
        : s_(s), places_(places), n_features_(s.channels * s.patch_y * s.patch_x) {
        int64_t low = 0, high = 0;
        const int64_t lengths[] = {s.batch, s.channels, s.height, s.width};
        bool empty = false;
        for (int i = 0; i < 4; ++i) {
            const int64_t reach = (lengths[i] - 1) * strides.of[i];
            empty = empty || lengths[i] == 0;
            (reach < 0 ? low : high) += reach;
        }
        images_ = std::make_unique<Array<T>>(empty ? 0 : high - low + 1, 0, below(3));
        for (int64_t i = 0; i < images_->size; ++i) (*images_)[i] = static_cast<T>(generator() | 1u);
        p_.itemsize = sizeof(T);
        p_.grid = grid;
        p_.images = {images_->data() - (empty ? 0 : low),
                     s.batch,
                     s.channels,
                     strides.of[0],
                     strides.of[1],
                     strides.of[2],
                     strides.of[3]};
    }

    void run(bool rows, bool at_corners, const std::string& where) {
        p_.rows = rows;
        p_.corners = at_corners ? places_.as_corners() : Corners{};
        const Array<T> wanted = plain(rows);
        for (int i = 0; i < n_isas; ++i) {
            isa_force(isa_name(isas[i]));
            int byte = 0x5a;
            for (const Way& way : kWays) check(written(way, byte ^= 0xff) == wanted, "unfold", where);
        }
    }

    // Sanitizers see no store that goes past the caches: the output lies between bytes that must stay.
    void run_large(bool rows) {
        constexpr int64_t kGuard = 4096;
        const Array<T> wanted = plain(rows);
        p_.rows = rows;
        for (int i = 0; i < n_isas; ++i) {
            isa_force(isa_name(isas[i]));
            Array<T> out(size() + 2 * kGuard, 0x5a, 1 + below(40));
            const Array<T> guard(kGuard, 0x5a);
            p_.patches = out.data() + kGuard;
            unfold(p_, 0, unfold_tasks(p_), 2);
            ++calls_made;
            const auto same = [&](const T* a, const Array<T>& b) {
                return !std::memcmp(a, b.data(), static_cast<std::size_t>(b.size) * sizeof(T));
            };
            check(same(out.data() + kGuard, wanted), "unfold", "large");
            check(same(out.data(), guard) && same(out.data() + kGuard + size(), guard), "what lies beside", "large");
        }
    }

   private:
    Array<T> written(const Way& way, int byte) {
        Array<T> out(size(), byte, below(5));
        p_.patches = out.data();
        check(unfold_bytes_a_task(p_) >= 0, "bytes", "unfold");
        way.run(unfold_tasks(p_), [&](int64_t begin, int64_t end, int threads) { unfold(p_, begin, end, threads); });
        return out;
    }
    int64_t size() const { return s_.batch * places_.n * n_features_; }

    Array<T> plain(bool rows) const {
        Array<T> out(size());
        const Images& x = p_.images;
        for (int64_t b = 0, k = 0; b < s_.batch; ++b, k = 0)
            for (int64_t c = 0; c < s_.channels; ++c)
                for (int64_t ki = 0; ki < s_.patch_y; ++ki)
                    for (int64_t kj = 0; kj < s_.patch_x; ++kj, ++k)
                        for (int64_t l = 0; l < places_.n; ++l) {
                            const int64_t at = pixel(places_.at(b, l), ki, kj, s_.height, s_.width);
                            if (at < 0) continue;
                            const T value =
                                static_cast<const T*>(x.data)[b * x.batch_stride + c * x.channel_stride +
                                                              at / s_.width * x.y_stride + at % s_.width * x.x_stride];
                            out[rows ? (b * places_.n + l) * n_features_ + k : (b * n_features_ + k) * places_.n + l] =
                                value;
                        }
        return out;
    }

    const Shape& s_;
    const Places& places_;
    int64_t n_features_;
    std::unique_ptr<Array<T>> images_;
    UnfoldProblem p_{};
};

template <typename T>
void unfold_all(const Shape& s, const PatchGrid& grid, const Places& places, bool on_grid, const std::string& where) {
    // Each size of elements has some of the strides, and others for the next places.
    static std::size_t turn = 0;
    ++turn;
    const std::vector<Strides> all = strides_of(s);
    for (std::size_t i = turn % 3; i < all.size(); i += 3) {
        Unfolding<T> unfolding(s, grid, places, all[i]);
        for (const bool rows : {false, true})
            for (const bool at_corners : {false, true})
                if (on_grid || at_corners)
                    unfolding.run(rows, at_corners,
                                  where + (rows ? " rows" : " columns") + (at_corners ? " at corners" : "") +
                                      ", strides " + std::to_string(i));
    }
}

template <typename T>
void unfold_large(const Shape& s, const PatchGrid& grid, const Places& places) {
    Unfolding<T> unfolding(s, grid, places, strides_of(s)[0]);
    for (const bool rows : {false, true}) unfolding.run_large(rows);
}

}  // namespace
