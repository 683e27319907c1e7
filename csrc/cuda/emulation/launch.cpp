// Settings, checks of a launch, the loop over blocks.
#include "cuda/emulation/launch.hpp"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#include "cuda/emulation/scheduler.hpp"

namespace sparsefast {
namespace emulation {
namespace {

constexpr int64_t kSharedMemory = 227 << 10;  // of an H200, as of an H100
constexpr const char* kNames[] = {"forward", "reversed", "shuffled"};

const char* const kFirstOrder = std::getenv("SPARSEFAST_EMULATED_ORDER");

int first_order() {
    Order order = Order::forward;
    if (kFirstOrder) order_by_name(kFirstOrder, &order);
    return static_cast<int>(order);
}

int64_t first_shared_memory() {
    const char* bytes = std::getenv("SPARSEFAST_EMULATED_SHARED");
    return bytes ? std::atoll(bytes) : kSharedMemory;
}

std::atomic<int> the_order{first_order()};
std::atomic<uint64_t> the_seed{0};
int first_multiprocessors() {
    const char* count = std::getenv("SPARSEFAST_EMULATED_MULTIPROCESSORS");
    return count ? std::atoi(count) : 3;
}

std::atomic<int64_t> the_shared_memory{first_shared_memory()};
std::atomic<int> the_multiprocessors{first_multiprocessors()};

// A well-mixed number that is never zero (the finaliser of splitmix64).
uint64_t mix(uint64_t v) {
    v += 0x9e3779b97f4a7c15u;
    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
    v = (v ^ v >> 27) * 0x94d049bb133111ebu;
    return (v ^ v >> 31) | 1;
}

uint64_t gcd(uint64_t a, uint64_t b) { return b ? gcd(b, a % b) : a; }

// Blocks in the order that is set. Shuffled ones come in steps that share no factor with their number, which reaches
// each of them once.
class Blocks {
   public:
    Blocks(Order order, uint64_t n, uint64_t seed) : reversed_(order == Order::reversed), n_(n) {
        if (order != Order::shuffled) return;
        next_ = seed % n;
        step_ = mix(seed) % n;
        while (gcd(step_, n) != 1) ++step_;
    }
    uint64_t next() {
        const uint64_t b = next_;
        next_ = (next_ + step_) % n_;
        return reversed_ ? n_ - 1 - b : b;
    }

   private:
    bool reversed_;
    uint64_t n_, next_ = 0, step_ = 1;
};

uint3 index_of(uint64_t block) {
    return {static_cast<unsigned>(block % gridDim.x), static_cast<unsigned>(block / gridDim.x % gridDim.y),
            static_cast<unsigned>(block / gridDim.x / gridDim.y)};
}

std::string check(dim3 grid, dim3 block, std::size_t dynamic_bytes, bool cooperative) {
    const uint64_t threads = uint64_t(block.x) * block.y * block.z;
    const auto size = [](dim3 d) {
        return "(" + std::to_string(d.x) + ", " + std::to_string(d.y) + ", " + std::to_string(d.z) + ")";
    };
    Order first;
    if (kFirstOrder && !order_by_name(kFirstOrder, &first))
        return "SPARSEFAST_EMULATED_ORDER=" + std::string(kFirstOrder) + " must be forward, reversed or shuffled";
    if (threads == 0) return "a block of " + size(block) + " threads";
    if (block.x > 1024 || block.y > 1024 || block.z > 64 || threads > 1024)
        return "a block of " + size(block) + " threads; at most 1024, and 64 in z, are possible";
    if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
        return "a grid of " + size(grid) + " blocks; at most (2147483647, 65535, 65535) are possible";
    const int64_t limit = the_shared_memory;
    if (dynamic_bytes > static_cast<uint64_t>(limit < 0 ? 0 : limit))
        return std::to_string(dynamic_bytes) + " bytes of shared memory; at most " + std::to_string(limit) +
               " are possible";
    const uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z;
    const int most = multiprocessors() < Stacks::kMost / static_cast<int>(threads)
                         ? multiprocessors()
                         : Stacks::kMost / static_cast<int>(threads);
    if (cooperative && blocks > static_cast<uint64_t>(most < 0 ? 0 : most))
        return "a cooperative grid of " + size(grid) + " blocks; at most " + std::to_string(most) +
               " of them have room at once";
    return "";
}

}  // namespace

void set_order(Order order, uint64_t seed) {
    the_order = static_cast<int>(order);
    the_seed = seed;
}
Order order() { return static_cast<Order>(the_order.load()); }
const char* order_name(Order order) { return kNames[static_cast<int>(order)]; }
bool order_by_name(const char* name, Order* result) {
    for (int i = 0; i < 3; ++i) {
        if (std::strcmp(name, kNames[i]) == 0) {
            *result = static_cast<Order>(i);
            return true;
        }
    }
    return false;
}
void set_shared_memory(int64_t bytes) { the_shared_memory = bytes; }
int64_t shared_memory() { return the_shared_memory; }
void set_multiprocessors(int count) { the_multiprocessors = count; }
int multiprocessors() { return the_multiprocessors; }

const char* Machine::launch(const char* kernel, dim3 grid, dim3 block, std::size_t dynamic_bytes, bool cooperative,
                            Body body, void* context) {
    const uint64_t n_blocks = uint64_t(grid.x) * grid.y * grid.z;
    if (n_blocks == 0) return nullptr;
    if (running_) return "a kernel was launched from within a kernel";
    kernel_ = kernel;
    cooperative_ = cooperative;
    error_ = check(grid, block, dynamic_bytes, cooperative);
    if (error_.empty() && !reserve(cooperative ? static_cast<int>(n_blocks) : 1, block, dynamic_bytes))
        error_ = "no memory for its threads";
    if (!error_.empty()) {
        error_ = "invalid launch of " + kernel_name() + ": " + error_;
        return error_.c_str();
    }
    body_ = body;
    context_ = context;
    order_ = order();
    gridDim = grid;
    blockDim = block;
    running_ = true;
    if (cooperative)
        run_together(static_cast<int>(n_blocks), mix(the_seed));
    else
        run_apart(n_blocks, mix(the_seed));
    running_ = false;
    return error_.empty() ? nullptr : error_.c_str();
}

void Machine::run_apart(uint64_t n_blocks, uint64_t seed) {
    Blocks blocks(order_, n_blocks, seed);
    for (uint64_t i = 0; i < n_blocks && error_.empty(); ++i) {
        const uint64_t b = blocks.next();
        random_ = mix(seed ^ mix(b));
        blockIdx = index_of(b);
        begin_block(0);
        run_block();
    }
}

// All blocks as far as the grid's barrier, each time in another order if that is shuffled.
void Machine::run_together(int n_blocks, uint64_t seed) {
    for (bool first = true, done = false; !done; first = false, seed = mix(seed)) {
        Blocks blocks(order_, n_blocks, seed);
        for (int i = 0; i < n_blocks; ++i) {
            const int b = static_cast<int>(blocks.next());
            if (first) {
                random_ = mix(seed ^ mix(b));
                blockIdx = index_of(b);
                begin_block(b);
            } else {
                resume(b);
            }
            run_block();
            if (!error_.empty()) return;
            pause();
        }
        error_ = why_not_together(n_blocks);
        done = !error_.empty() || rooms_[0]->ended;
    }
}

}  // namespace emulation
}  // namespace sparsefast
