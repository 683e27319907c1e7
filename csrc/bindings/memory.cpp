// Memory for large outputs that is used again once the arrays in it are gone, and a comparison of bytes.
//
// A fresh page costs a fault and a fill with zeros: for codes of RGB pixels that is more than the coding itself. Blocks
// of freed outputs are therefore kept, up to kKeptBytes and kKeptBlocks in all. Small arrays stay with NumPy, whose
// allocator does the same for them.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "sparsefast/core.hpp"

namespace py = pybind11;

namespace sparsefast {
namespace {

constexpr std::size_t kKeptBytes = std::size_t(256) << 20;
constexpr std::size_t kKeptBlocks = 256;  // which a search looks through one by one
constexpr std::size_t kHugePage = std::size_t(2) << 20;

struct Block {
    void* data;
    std::size_t bytes;
};

class BlockPool {
   public:
    // Sizes come in eighths of powers of two, so that batches of about one size share blocks.
    static std::size_t rounded(std::size_t bytes) {
        std::size_t step = kAlignment;
        while (step * 16 < bytes) step *= 2;
        return (bytes + step - 1) / step * step;
    }

    Block take(std::size_t wanted) {
        const std::size_t bytes = rounded(wanted);
        {
            // Never waits: in the child of a fork the lock may be held by a thread that is not there.
            const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
            if (lock.owns_lock())
                for (std::size_t i = free_.size(); i-- > 0;)
                    if (free_[i].bytes == bytes) {
                        const Block block = free_[i];
                        free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(i));
                        kept_ -= bytes;
                        return block;
                    }
        }
        const bool huge = bytes >= 2 * kHugePage;
        const std::size_t alignment = huge ? kHugePage : kAlignment;
        const std::size_t size = (bytes + alignment - 1) / alignment * alignment;
        void* const data = std::aligned_alloc(alignment, size);
        if (!data) throw std::bad_alloc();
#if defined(__linux__)
        if (huge) madvise(data, size, MADV_HUGEPAGE);
#endif
        return {data, bytes};
    }

    void give(Block block) {
        std::vector<Block> dropped;
        {
            const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
            if (!lock.owns_lock() || block.bytes > kKeptBytes / 2) {
                std::free(block.data);
                return;
            }
            free_.push_back(block);
            kept_ += block.bytes;
            while (kept_ > kKeptBytes || free_.size() > kKeptBlocks) {  // the oldest go first
                dropped.push_back(free_.front());
                kept_ -= free_.front().bytes;
                free_.erase(free_.begin());
            }
        }
        for (const Block& old : dropped) std::free(old.data);
    }

    std::size_t release() {
        std::vector<Block> dropped;
        std::size_t bytes = 0;
        {
            const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
            if (!lock.owns_lock()) return 0;
            dropped.swap(free_);
            std::swap(bytes, kept_);
        }
        for (const Block& old : dropped) std::free(old.data);
        return bytes;
    }

   private:
    std::mutex mutex_;
    std::vector<Block> free_;
    std::size_t kept_ = 0;
};

// Never destroyed: arrays may be freed after the last destructor has run.
BlockPool& pool() {
    static BlockPool* const instance = new BlockPool;
    return *instance;
}

py::array empty(const std::vector<py::ssize_t>& shape, const py::dtype& dtype) {
    std::size_t bytes = static_cast<std::size_t>(dtype.itemsize());
    for (const py::ssize_t n : shape) {
        if (n < 0) throw py::value_error("shape must not be negative");
        if (__builtin_mul_overflow(bytes, static_cast<std::size_t>(n), &bytes) || bytes > (std::size_t(1) << 62))
            throw std::bad_alloc();
    }
    if (dtype.kind() == 'O') throw py::type_error("dtype must not hold Python objects");
    auto block = std::make_unique<Block>(pool().take(bytes ? bytes : 1));
    py::capsule owner(block.get(), [](void* p) {
        const std::unique_ptr<Block> gone(static_cast<Block*>(p));
        pool().give(*gone);
    });
    return py::array(dtype, shape, block.release()->data, owner);
}

bool same_bytes(const py::array& a, const py::array& b) {
    constexpr int contiguous = py::array::c_style;
    if (!(a.flags() & contiguous) || !(b.flags() & contiguous)) throw py::value_error("arrays must be C-contiguous");
    return a.nbytes() == b.nbytes() && (a.nbytes() == 0 || !std::memcmp(a.data(), b.data(), a.nbytes()));
}

}  // namespace

void bind_memory(py::module_& m) {
    m.def("empty", &empty, py::arg("shape"), py::arg("dtype"),
          "An uninitialised C-contiguous array whose memory is used again after it is freed.");
    m.def("release_memory", [] { return pool().release(); }, "Gives kept memory back; returns how many bytes.");
    m.def("same_bytes", &same_bytes, py::arg("a"), py::arg("b"));
}

}  // namespace sparsefast
