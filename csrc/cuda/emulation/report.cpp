// What went wrong within a launch, in words.
#include <string>
#include <utility>
#include <vector>

#include "cuda/emulation/scheduler.hpp"

namespace sparsefast {
namespace emulation {
namespace {

constexpr const char* kOperations[] = {
    "__shfl_sync",         "__shfl_xor_sync",   "__shfl_down_sync",  "__shfl_up_sync", "__ballot_sync",
    "__any_sync",          "__all_sync",        "__reduce_max_sync", "__syncwarp",     "__syncthreads",
    "__syncthreads_count", "__syncthreads_and", "__syncthreads_or",  "grid_barrier"};

std::string hexadecimal(unsigned v) {
    std::string text;
    do {
        text.insert(text.begin(), "0123456789abcdef"[v & 15]);
    } while (v >>= 4);
    return "0x" + text;
}

// "__ballot_sync of mask 0xff (omp.cu:12)"
std::string describe(const Thread& thread, bool of_warp) {
    std::string text = kOperations[thread.stop & 15];
    if (of_warp) text += " of mask " + hexadecimal(thread.mask);
    const std::string file = thread.file;
    return text + " (" + file.substr(file.rfind('/') + 1) + ":" + std::to_string(thread.stop >> 4) + ")";
}

// Threads in one state, as runs of consecutive numbers.
struct Group {
    std::string state;
    std::vector<std::pair<int, int>> runs;

    void add(int i) {
        if (!runs.empty() && runs.back().second == i - 1)
            runs.back().second = i;
        else
            runs.push_back({i, i});
    }
};

std::string in_words(const char* what, const std::vector<Group>& groups) {
    std::string text;
    for (const Group& group : groups) {
        text += (text.empty() ? "" : "; ") + std::string(what);
        for (const auto& [first, last] : group.runs) {
            if (&first != &group.runs.front().first) text += ", ";
            text += std::to_string(first) + (first == last ? "" : "-" + std::to_string(last));
        }
        text += " " + group.state;
    }
    return text;
}

}  // namespace

// As written in the launch, without the brackets that keep its commas together.
std::string Machine::kernel_name() const {
    std::string name = kernel_;
    if (name.size() > 2 && name.front() == '(' && name.back() == ')') name = name.substr(1, name.size() - 2);
    return name;
}

std::string Machine::where() const {
    return kernel_name() + ", block (" + std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) + ", " +
           std::to_string(blockIdx.z) + "): ";
}

// "threads 0-15, 32 wait at __syncthreads (omp.cu:12); threads 16-31, 33-127 have ended". Threads are numbered within
// their block, x fastest.
std::string Machine::who_waits() const {
    std::vector<Group> groups;
    for (int t = 0; t < n_threads_; ++t) {
        const Warp& warp = warps_[t / kLanes];
        const unsigned lane = 1u << t % kLanes;
        std::string state = "can go on";
        if (warp.ended & lane) state = "have ended";
        if ((warp.waiting | warp.arrived) & lane)
            state = "wait at " + describe(threads_[t], (warp.waiting & lane) != 0);
        if (warp.waiting & lane && threads_[t].mask & ~warp.exist) state += ", which names lanes that the block lacks,";
        std::size_t g = 0;
        while (g < groups.size() && groups[g].state != state) ++g;
        if (g == groups.size()) groups.push_back({state, {}});
        groups[g].add(t);
    }
    return in_words("threads ", groups);
}

// Of a cooperative launch, whose blocks have run until they waited or ended: nothing if they met at one barrier, or all
// have ended.
std::string Machine::why_not_together(int n_blocks) const {
    std::vector<Group> groups;
    for (int b = 0; b < n_blocks; ++b) {
        const std::string state =
            rooms_[b]->ended ? "have ended" : "wait at " + describe(rooms_[b]->threads[0], /*of_warp=*/false);
        std::size_t g = 0;
        while (g < groups.size() && groups[g].state != state) ++g;
        if (g == groups.size()) groups.push_back({state, {}});
        groups[g].add(b);
    }
    return groups.size() == 1 ? "" : kernel_name() + ": the blocks do not meet: " + in_words("blocks ", groups);
}

void Machine::fail(const char* what) {
    error_ = where() + what + who_waits();
    fiber_end(threads_[current_].fiber, caller_);
}

}  // namespace emulation
}  // namespace sparsefast
