// Memory for layouts and workspaces, allocated on the binding's side: the core itself never allocates.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "sparsefast/core.hpp"

namespace sparsefast {

class AlignedBuffer {
   public:
    AlignedBuffer() = default;
    explicit AlignedBuffer(int64_t bytes) : bytes_((bytes + kAlignment - 1) / kAlignment * kAlignment) {
        data_.reset(std::aligned_alloc(kAlignment, static_cast<std::size_t>(bytes_)));
        if (!data_) throw std::bad_alloc();
    }
    void* data() const { return data_.get(); }
    int64_t bytes() const { return bytes_; }

   private:
    struct Free {
        void operator()(void* p) const { std::free(p); }
    };
    std::unique_ptr<void, Free> data_;
    int64_t bytes_ = 0;
};

// A workspace that the calling thread keeps between calls, so that a small call does not pay for fresh pages. It is
// valid until the thread's next call of this function.
inline void* thread_workspace(int64_t bytes) {
    thread_local AlignedBuffer kept;
    if (kept.bytes() < bytes) kept = AlignedBuffer(bytes);
    return kept.data();
}

}  // namespace sparsefast
