// Parts of a workspace.
#pragma once

#include "sparsefast/core.hpp"

namespace sparsefast {
namespace {

inline int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Hands out parts of a workspace, each aligned to a cache line; without one it only counts.
class Arena {
   public:
    explicit Arena(void* workspace) : base_(static_cast<char*>(workspace)) {}
    template <typename T>
    T* take(int64_t n) {
        T* const p = base_ ? reinterpret_cast<T*>(base_ + used_) : nullptr;
        used_ += round_up(n * static_cast<int64_t>(sizeof(T)), kAlignment);
        return p;
    }
    int64_t used() const { return used_; }

   private:
    char* base_;
    int64_t used_ = 0;
};

}  // namespace
}  // namespace sparsefast
