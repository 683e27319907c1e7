// Runs the threads of a block, one block at a time, on the calling thread, each as a fiber. The blocks of a cooperative
// launch are alive together: each runs until all its threads wait at the grid's barrier, or have ended.
//
// A thread runs until it waits for others or ends; then the scheduler goes on with the first, the last or any thread
// that can, as the order has it. A warp thus runs as far ahead of the others, and a lane as far ahead of its warp, as
// barriers let it: what a missing one would protect is used too early in at least one of the orders.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cuda/emulation/fiber.hpp"
#include "cuda/emulation/launch.hpp"
#include "cuda/emulation/operations.hpp"

namespace sparsefast {
namespace emulation {

constexpr int kMostThreads = 1024;  // of a block
constexpr int kLanes = 32;

struct Thread {
    Fiber fiber;
    uint3 index;
    uint32_t stop;  // the code of a Stop: what it waits at
    unsigned mask;  // if that is of a warp
    const char* file;
};

// Bits are lanes.
struct Warp {
    unsigned exist;
    unsigned ready;
    unsigned waiting;  // at a warp operation
    unsigned arrived;  // at a barrier of the block
    unsigned ended;
    bool alike;  // all that wait are at the same operation with the same mask, these:
    uint32_t stop;
    unsigned mask;
    uint64_t value[kLanes];  // brought
    int8_t source[kLanes];   // of a shuffle: the lane to read from
};

// An asynchronous copy that has not been waited for.
struct Copy {
    void* to;
    const void* from;
    int bytes;
    int group;
};

// What a block has to itself while others are alive.
struct Room {
    Thread threads[kMostThreads];
    Warp warps[kMostThreads / kLanes];
    std::vector<Copy> copies[kMostThreads];
    int copy_groups[kMostThreads];  // committed by each thread
    std::vector<char> dynamic_memory;
    char* dynamic = nullptr;  // shared memory

    // While another block runs:
    std::vector<char> statics;
    uint3 index;
    uint64_t random;
    uint32_t barrier;
    bool ended;
};

// All state of launches of one thread of the process; launches of different threads have nothing in common.
class Machine {
   public:
    const char* launch(const char* kernel, dim3 grid, dim3 block, std::size_t dynamic_bytes, bool cooperative,
                       Body body, void* context);

    Turn warp_operation(Stop stop, const char* file, unsigned mask, uint64_t value, int source, int width);
    Turn block_operation(Stop stop, const char* file, bool predicate);
    void copy_start(const Copy& copy);
    void copy_commit() { ++room_->copy_groups[current_]; }
    void copy_wait(int groups);
    void* dynamic_shared() const { return room_->dynamic; }

   private:
    static void thread_main();
    bool reserve(int rooms, dim3 block, std::size_t dynamic_bytes);
    void enter(int room);
    void begin_block(int room);
    void run_block();
    void run_apart(uint64_t n_blocks, uint64_t seed);
    void run_together(int n_blocks, uint64_t seed);
    void pause();
    void resume(int room);
    std::string why_not_together(int n_blocks) const;
    Turn wait();  // the current thread, until it is picked
    int pick();
    unsigned choose(unsigned bits);
    void complete(int warp, unsigned mask, Operation operation);
    bool is_shared(const void* address, std::size_t bytes) const;
    bool overrun() const;

    // Ends the launch with a text, from within a thread, whose functions never return: they may own nothing.
    [[noreturn]] void fail(const char* what);
    std::string kernel_name() const;
    std::string where() const;
    std::string who_waits() const;

    std::vector<std::unique_ptr<Room>> rooms_;
    Room* room_;  // of the block that runs, as are these:
    Thread* threads_;
    Warp* warps_;
    Fiber caller_;
    int current_;
    int n_threads_;
    unsigned ready_warps_;
    int n_ended_;

    int n_arrived_;     // at the block's barrier
    int n_true_;        // of these, with a true predicate
    uint32_t barrier_;  // the code of its Stop
    bool cooperative_;
    bool parked_;  // all of the block are at the grid's barrier

    Order order_;
    uint64_t random_;
    Body body_;
    void* context_;
    const char* kernel_;
    std::string error_;
    bool running_ = false;

    std::size_t dynamic_bytes_;
    Stacks stacks_;
};

}  // namespace emulation
}  // namespace sparsefast
