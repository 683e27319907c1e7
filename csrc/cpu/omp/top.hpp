// The s numbers of largest magnitude among many that arrive in the order of their indices: a heap with the worst kept
// entry at its root, sorted at the end. Among equals the lowest index is kept, and comes first; no zero is kept.
#pragma once

#include "cpu/omp/scan.hpp"

namespace sparsefast {
namespace {

template <typename T>
class Top {
   public:
    // Room for `capacity` numbers and indices, of which `size` are a heap already.
    Top(T* numbers, int32_t* indices, int64_t capacity, int64_t size = 0)
        : numbers_(numbers), indices_(indices), capacity_(capacity), size_(size) {}

    int64_t size() const { return size_; }

    // Offers numbers [0, n), n a multiple of the lanes, under indices from `first` on. The key is Magnitude, or AsIs
    // for positive numbers alone.
    template <typename Key>
    SF_INLINE void offer(const T* numbers, int64_t n, int64_t first, const Key& key) {
        constexpr int lanes = Lanes<T>::n;
        constexpr int V = 4;
        const auto look = [&](int64_t at) {
            const Vec<T> keys = key(load(numbers + at), at);
            if (!any<T>(keys > threshold())) return;
            T part[lanes];
            store(part, keys);
            for (int l = 0; l < lanes; ++l)
                if (part[l] > threshold()) insert(numbers[at + l], static_cast<int32_t>(first + at + l));
        };
        int64_t at = 0;
        for (; at + V * lanes <= n; at += V * lanes) {
            Vec<T> largest = key(load(numbers + at), at);
#pragma GCC unroll 4
            for (int v = 1; v < V; ++v) {
                const Vec<T> keys = key(load(numbers + at + v * lanes), at + v * lanes);
                largest = keys > largest ? keys : largest;
            }
            if (!any<T>(largest > threshold())) continue;
            for (int v = 0; v < V; ++v) look(at + v * lanes);
        }
        for (; at < n; at += lanes) look(at);
    }

    // Best first: decreasing magnitudes, increasing indices among equals. The heap is one no more.
    void sort() {
        for (int64_t last = size_ - 1; last > 0; --last) {
            const T number = numbers_[last];
            const int32_t index = indices_[last];
            numbers_[last] = numbers_[0];
            indices_[last] = indices_[0];
            sift(number, index, last);
        }
    }

   private:
    static T magnitude(T number) { return number < 0 ? -number : number; }
    T threshold() const { return size_ == capacity_ ? magnitude(numbers_[0]) : T(0); }

    static bool worse(T number, int32_t index, T other, int32_t other_index) {
        const T a = magnitude(number), b = magnitude(other);
        return a < b || (a == b && index > other_index);
    }

    void insert(T number, int32_t index) {
        if (size_ == capacity_) return sift(number, index, size_);
        int64_t at = size_++;
        for (; at > 0; at = (at - 1) / 2) {
            const int64_t parent = (at - 1) / 2;
            if (!worse(number, index, numbers_[parent], indices_[parent])) break;
            numbers_[at] = numbers_[parent];
            indices_[at] = indices_[parent];
        }
        numbers_[at] = number;
        indices_[at] = index;
    }

    // Puts an entry in place of the root of a heap of n.
    void sift(T number, int32_t index, int64_t n) {
        int64_t at = 0;
        for (;;) {
            int64_t child = 2 * at + 1;
            if (child >= n) break;
            if (child + 1 < n && worse(numbers_[child + 1], indices_[child + 1], numbers_[child], indices_[child]))
                ++child;
            if (!worse(numbers_[child], indices_[child], number, index)) break;
            numbers_[at] = numbers_[child];
            indices_[at] = indices_[child];
            at = child;
        }
        numbers_[at] = number;
        indices_[at] = index;
    }

    T* numbers_;
    int32_t* indices_;
    int64_t capacity_, size_ = 0;
};

}  // namespace
}  // namespace sparsefast
