#include "cuda/emulation/scheduler.hpp"

#include <cstring>
#include <memory>
#include <new>

#include "cuda/emulation/shared.hpp"

__thread uint3 threadIdx = {0, 0, 0};
__thread uint3 blockIdx = {0, 0, 0};
__thread dim3 blockDim;
__thread dim3 gridDim;

namespace sparsefast {
namespace emulation {
namespace {

__thread Machine* machine = nullptr;

// All ones: a NaN of each floating type, -1 and the largest index.
constexpr int kPoison = 0xff;
// Behind the dynamic shared memory, to see what is written there.
constexpr std::size_t kBehind = 256;
constexpr uintptr_t kSharedAlignment = 128;

// Of the static arrays of all kernels, see shared_begin.cpp.
std::ptrdiff_t shared_bytes() {
    uintptr_t begin = reinterpret_cast<uintptr_t>(sparsefast_emulation_shared_begin);
    uintptr_t end = reinterpret_cast<uintptr_t>(sparsefast_emulation_shared_end);
    asm("" : "+r"(begin), "+r"(end));  // gcc 12 would subtract in a way that the linker cannot relocate
    return static_cast<std::ptrdiff_t>(end - begin);
}

// The lane that `lane` reads from, as the device has it: past the end of a group of `width` lanes it is itself.
int source_lane(Operation operation, int lane, int source, int width) {
    const int first = lane & ~(width - 1), last = lane | (width - 1);
    switch (operation) {
        case Operation::shuffle: return first | (source & (width - 1));
        case Operation::shuffle_xor: source = lane ^ source; break;
        case Operation::shuffle_down: source = lane + source; break;
        default: return lane - source < first ? lane : lane - source;
    }
    return source > last || source < 0 ? lane : source;
}

}  // namespace

const char* run(const char* kernel, dim3 grid, dim3 block, std::size_t dynamic_bytes, bool cooperative, Body body,
                void* context) {
    static thread_local std::unique_ptr<Machine> own;
    if (!own) own.reset(new (std::nothrow) Machine());
    if (!own) return "no memory for a launch";
    if (shared_bytes() < 0) return "shared memory cannot be found: the linker did not keep the order of its files";
    machine = own.get();
    return machine->launch(kernel, grid, block, dynamic_bytes, cooperative, body, context);
}

// The first function of every fiber.
void Machine::thread_main() {
    fiber_began();
    Machine& m = *machine;
    bool threw = false;
    try {
        m.body_(m.context_);
    } catch (...) {
        threw = true;  // the handler must end before the fiber does
    }
    if (threw) m.fail("an exception was thrown: ");
    m.warps_[m.current_ / kLanes].ended |= 1u << m.current_ % kLanes;
    ++m.n_ended_;
    const Turn turn = m.wait();
    fiber_end(*turn.own, *turn.next);
}

// One of the bits, which are not all zero.
inline unsigned Machine::choose(unsigned bits) {
    if (order_ == Order::forward) return __builtin_ctz(bits);
    if (order_ == Order::reversed) return 31 - __builtin_clz(bits);
    random_ ^= random_ << 13, random_ ^= random_ >> 7, random_ ^= random_ << 17;
    const unsigned turn = static_cast<unsigned>(random_ >> 59);
    const unsigned turned = bits >> turn | bits << (-turn & 31);
    return (__builtin_ctz(turned) + turn) & 31;
}

// The next thread to run, off the lists of those that can; -1 when there is none.
inline int Machine::pick() {
    if (!ready_warps_) return -1;
    const unsigned w = choose(ready_warps_);
    const unsigned lane = choose(warps_[w].ready);
    warps_[w].ready &= ~(1u << lane);
    if (!warps_[w].ready) ready_warps_ &= ~(1u << w);
    return static_cast<int>(w * kLanes + lane);
}

inline Turn Machine::wait() {
    Fiber* const own = &threads_[current_].fiber;
    current_ = pick();
    if (current_ < 0) return {own, &caller_};
    threadIdx = threads_[current_].index;
    return {own, &threads_[current_].fiber};
}

bool Machine::reserve(int rooms, dim3 block, std::size_t dynamic_bytes) {
    n_threads_ = static_cast<int>(block.x * block.y * block.z);
    dynamic_bytes_ = dynamic_bytes;
    if (!stacks_.reserve(rooms * n_threads_)) return false;
    const std::size_t bytes = dynamic_bytes + kBehind + kSharedAlignment;
    try {
        while (static_cast<int>(rooms_.size()) < rooms) rooms_.push_back(std::make_unique<Room>());
        for (int r = 0; r < rooms; ++r) {
            Room& room = *rooms_[r];
            if (room.dynamic_memory.size() < bytes) room.dynamic_memory.resize(bytes);
            if (rooms > 1) room.statics.resize(static_cast<std::size_t>(shared_bytes()));
            const uintptr_t start = reinterpret_cast<uintptr_t>(room.dynamic_memory.data());
            room.dynamic =
                reinterpret_cast<char*>((start + kSharedAlignment - 1) / kSharedAlignment * kSharedAlignment);
        }
    } catch (const std::bad_alloc&) {
        return false;
    }
    return true;
}

void Machine::enter(int room) {
    room_ = rooms_[room].get();
    threads_ = room_->threads;
    warps_ = room_->warps;
}

void Machine::begin_block(int room) {
    enter(room);
    parked_ = false;
    n_ended_ = n_arrived_ = n_true_ = 0;
    ready_warps_ = 0;
    const dim3 size = blockDim;
    uint3 index = {0, 0, 0};
    for (int t = 0; t < n_threads_; ++t) {
        Thread& thread = threads_[t];
        thread.index = index;
        room_->copies[t].clear();
        room_->copy_groups[t] = 0;
        // Tops of stacks a multiple of 4 KiB apart would compete for the few places that a cache has for such
        // addresses.
        fiber_prepare(thread.fiber, stacks_.at(room * n_threads_ + t), Stacks::kBytes, t * 192 % 4096, thread_main);
        if (++index.x == size.x) {
            index.x = 0;
            if (++index.y == size.y) index.y = 0, ++index.z;
        }
    }
    for (int w = 0; w * kLanes < n_threads_; ++w) {
        Warp& warp = warps_[w];
        const int lanes = n_threads_ - w * kLanes;
        warp.exist = warp.ready = lanes < kLanes ? (1u << lanes) - 1 : 0xffffffffu;
        warp.waiting = warp.arrived = warp.ended = 0;
        ready_warps_ |= 1u << w;
    }
    std::memset(room_->dynamic, kPoison, dynamic_bytes_ + kBehind);
    std::memset(sparsefast_emulation_shared_begin, kPoison, static_cast<std::size_t>(shared_bytes()));
}

void Machine::run_block() {
    current_ = pick();
    threadIdx = threads_[current_].index;
    fiber_switch(caller_, threads_[current_].fiber);
    if (!error_.empty()) return;
    if (n_ended_ < n_threads_ && !parked_)
        error_ = where() + who_waits();
    else if (overrun())
        error_ = where() + "wrote past its " + std::to_string(dynamic_bytes_) + " bytes of dynamic shared memory";
}

// Leaves the block that runs as it is, for another to run.
void Machine::pause() {
    room_->index = blockIdx;
    room_->random = random_;
    room_->barrier = barrier_;
    room_->ended = !parked_;
    if (!room_->statics.empty())  // a block alone keeps them where they are
        std::memcpy(room_->statics.data(), sparsefast_emulation_shared_begin, room_->statics.size());
}

// Goes on with a block that waited for the grid, of which all blocks have come.
void Machine::resume(int room) {
    enter(room);
    blockIdx = room_->index;
    random_ = room_->random;
    parked_ = false;
    n_ended_ = n_arrived_ = n_true_ = 0;
    for (int w = 0; w * kLanes < n_threads_; ++w) {
        warps_[w].ready = warps_[w].exist;
        warps_[w].arrived = 0;
        ready_warps_ |= 1u << w;
    }
    if (!room_->statics.empty())
        std::memcpy(sparsefast_emulation_shared_begin, room_->statics.data(), room_->statics.size());
}

bool Machine::overrun() const {
    const char* behind = room_->dynamic + dynamic_bytes_;
    for (std::size_t i = 0; i < kBehind; ++i) {
        if (behind[i] != static_cast<char>(kPoison)) return true;
    }
    return false;
}

// All lanes of the mask have come, with this mask, to one operation.
inline void Machine::complete(int w, unsigned mask, Operation operation) {
    Warp& warp = warps_[w];
    Thread* const threads = threads_ + w * kLanes;
    if (operation <= Operation::shuffle_up) {
        for (unsigned left = mask; left; left &= left - 1) {
            const int lane = __builtin_ctz(left), source = warp.source[lane];
            threads[lane].fiber.message = mask >> source & 1 ? warp.value[source] : ~uint64_t(0);
        }
    } else if (operation != Operation::syncwarp) {
        uint64_t joint = 0;
        for (unsigned left = mask; left; left &= left - 1) {
            const int lane = __builtin_ctz(left);
            const uint64_t value = warp.value[lane];
            if (operation == Operation::reduce_max)
                joint = value > joint ? value : joint;
            else
                joint |= value << lane;
        }
        for (unsigned left = mask; left; left &= left - 1) threads[__builtin_ctz(left)].fiber.message = joint;
    }
    warp.waiting &= ~mask;
    warp.ready |= mask;
    ready_warps_ |= 1u << w;
}

Turn Machine::warp_operation(Stop stop, const char* file, unsigned mask, uint64_t value, int source, int width) {
    const int w = current_ / kLanes, lane = current_ % kLanes;
    Warp& warp = warps_[w];
    Thread& thread = threads_[current_];
    thread.stop = stop.code;
    thread.mask = mask;
    thread.file = file;
    warp.value[lane] = value;
    if (stop.operation() <= Operation::shuffle_up)
        warp.source[lane] = static_cast<int8_t>(source_lane(stop.operation(), lane, source, width));
    if (!warp.waiting) {
        warp.stop = stop.code;
        warp.mask = mask;
        warp.alike = true;
    } else {
        warp.alike = warp.alike && mask == warp.mask && stop.code == warp.stop;
    }
    warp.waiting |= 1u << lane;
    if (!(mask >> lane & 1)) fail("a thread is not in its own mask: ");
    if ((warp.waiting & mask) == mask) {
        bool agree = true, meet = true;
        if (!warp.alike) {
            for (unsigned left = mask; left; left &= left - 1) {
                const Thread& other = threads_[w * kLanes + __builtin_ctz(left)];
                agree = agree && other.mask == mask;
                meet = meet && other.stop == stop.code;
            }
        }
        if (agree && !meet) fail("threads of one mask meet at different operations: ");
        if (agree) complete(w, mask, stop.operation());
    }
    return wait();
}

Turn Machine::block_operation(Stop stop, const char* file, bool predicate) {
    Thread& thread = threads_[current_];
    thread.stop = stop.code;
    thread.file = file;
    warps_[current_ / kLanes].arrived |= 1u << current_ % kLanes;
    if (stop.operation() == Operation::grid_barrier && !cooperative_)
        fail("a barrier of the grid, in a launch that is not cooperative: ");
    if (n_arrived_ == 0) barrier_ = stop.code;
    if (stop.code != barrier_) fail("threads of one block meet at different barriers: ");
    n_true_ += predicate;
    if (++n_arrived_ == n_threads_ && stop.operation() == Operation::grid_barrier) {
        parked_ = true;
    } else if (n_arrived_ == n_threads_) {
        if (stop.operation() != Operation::syncthreads) {
            const int result = stop.operation() == Operation::syncthreads_count ? n_true_
                               : stop.operation() == Operation::syncthreads_and ? n_true_ == n_threads_
                                                                                : n_true_ != 0;
            for (int t = 0; t < n_threads_; ++t) threads_[t].fiber.message = static_cast<uint64_t>(result);
        }
        n_arrived_ = n_true_ = 0;
        for (int w = 0; w * kLanes < n_threads_; ++w) {
            warps_[w].ready = warps_[w].exist;
            warps_[w].arrived = 0;
            ready_warps_ |= 1u << w;
        }
    }
    return wait();
}

bool Machine::is_shared(const void* address, std::size_t bytes) const {
    const auto within = [&](const char* begin, const char* end) {
        const uintptr_t a = reinterpret_cast<uintptr_t>(address);
        return a >= reinterpret_cast<uintptr_t>(begin) && a + bytes <= reinterpret_cast<uintptr_t>(end);
    };
    return within(room_->dynamic, room_->dynamic + dynamic_bytes_) ||
           within(sparsefast_emulation_shared_begin, sparsefast_emulation_shared_end);
}

void Machine::copy_start(const Copy& copy) {
    const auto aligned = [&](const void* p) { return reinterpret_cast<uintptr_t>(p) % copy.bytes == 0; };
    if (!aligned(copy.to) || !aligned(copy.from))
        fail("copy_async with an address that is not a multiple of its size: ");
    if (!is_shared(copy.to, copy.bytes)) fail("copy_async to what is not shared memory: ");
    std::memset(copy.to, kPoison, copy.bytes);
    room_->copies[current_].push_back(copy);
    room_->copies[current_].back().group = room_->copy_groups[current_];
}

void Machine::copy_wait(int groups) {
    std::vector<Copy>& copies = room_->copies[current_];
    std::size_t kept = 0;
    for (const Copy& copy : copies) {
        if (copy.group < room_->copy_groups[current_] - groups)
            std::memcpy(copy.to, copy.from, copy.bytes);
        else
            copies[kept++] = copy;
    }
    copies.resize(kept);
}

Turn warp_operation(Stop stop, const char* file, unsigned mask, uint64_t value, int source, int width) {
    return machine->warp_operation(stop, file, mask, value, source, width);
}
Turn block_operation(Stop stop, const char* file, bool predicate) {
    return machine->block_operation(stop, file, predicate);
}
void copy_start(void* to, const void* from, int bytes) { machine->copy_start({to, from, bytes, 0}); }
void copy_commit() { machine->copy_commit(); }
void copy_wait(int groups) { machine->copy_wait(groups); }
void* dynamic_shared() { return machine->dynamic_shared(); }

}  // namespace emulation
}  // namespace sparsefast
