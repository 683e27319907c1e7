// How a call is laid out: signals a tile, and where its arrays lie. Tiles are large where there are many signals, so
// that the dictionary is read seldom, and small where that would leave multiprocessors idle. What does not fit into
// shared memory lies in the block's part of the workspace, and the grid is then no larger than that has parts. Rows of
// the Gram matrix are kept only in shared memory: elsewhere they are as near where they are.
#pragma once

#include "cuda/omp/pursuit.cuh"

namespace sparsefast {
namespace {

constexpr int64_t kAtomsAWarp = 512;          // of larger dictionaries, a block codes a signal
constexpr int64_t kSharedWanted = 100 << 10;  // bytes a block, so that two fit on a multiprocessor
constexpr int64_t kFullGrid = 264;            // tiles that fill a large device twice
constexpr int64_t kPartsOfWorkspace = 256, kMostBlocks = 1 << 20;

struct Plan {
    int signals;      // a tile
    bool shared;      // arrays in shared memory, else in the workspace
    bool keeps_rows;  // of the Gram matrix
    bool warps;       // a warp a signal, else a block
    int64_t bytes;    // of the arrays of a block
    int64_t grid;
    int64_t workspace;  // bytes
};

// Whether correlations are made from rows of the Gram matrix.
__host__ __device__ inline bool by_rows(const OmpProblem& p) {
    return p.dictionary.method == OmpMethod::gram && (p.coder == OmpCoder::omp || p.coder == OmpCoder::ols);
}

// The arrays of a block, carved from one piece of memory.
template <typename T>
struct BlockArrays {
    TileArrays<T> tile;
    PursuitArrays<T> pursuit;

    // `base` may be null to count; arrays of the pursuit are those of team `team` of `teams`.
    __host__ __device__ BlockArrays(const OmpProblem& p, int64_t ld, const Plan& plan, int teams, int team, char* base,
                                    int64_t* bytes) {
        const int signals = plan.signals;
        const int64_t f = p.dictionary.n_features;
        const bool masked = p.coder == OmpCoder::masked, ols = p.coder == OmpCoder::ols;
        const bool pursues = p.coder != OmpCoder::topk;
        const int64_t most = f < p.dictionary.n_atoms ? f : p.dictionary.n_atoms;
        const int64_t s = !pursues ? 0 : p.n_nonzero < most ? p.n_nonzero : most;
        int64_t used = 0;
        const auto take = [&](int64_t count, int64_t size, int64_t parts, int64_t part) {
            const int64_t each = padded(count * size, 16);
            char* const at = base + used + each * part;
            used += each * parts;
            return at;
        };
        const auto numbers = [&](int64_t count, int64_t parts, int64_t part) {
            return reinterpret_cast<T*>(take(count, sizeof(T), parts, part));
        };
        tile.signals = signals;
        tile.x = numbers(f * signals, 1, 0);
        tile.mask = masked ? numbers(f * signals, 1, 0) : nullptr;
        tile.c = numbers(ld * signals, 1, 0);
        pursuit.inverse = numbers(s * (s + 1) / 2, teams, team);
        pursuit.gamma = numbers(s, teams, team);
        pursuit.g = numbers(s, teams, team);
        pursuit.w = numbers(s, teams, team);
        pursuit.lengths = numbers(s, teams, team);
        pursuit.v = pursues && !by_rows(p) ? numbers(f, teams, team) : nullptr;
        pursuit.per_atom = masked || ols ? numbers(ld, teams, team) : nullptr;
        pursuit.rows = plan.keeps_rows ? numbers(s * ld, teams, team) : nullptr;
        pursuit.support = reinterpret_cast<int*>(take(s, sizeof(int), teams, team));
        if (bytes) *bytes = padded(used, kAlignment);
    }
};

template <typename T>
Plan plan_of(const OmpProblem& p, int64_t shared_limit) {
    Plan plan{};
    const int64_t ld = padded(p.dictionary.n_atoms, 32), n = p.signals.rows;
    plan.warps = p.dictionary.n_atoms <= kAtomsAWarp;
    const int teams = plan.warps ? kBlock / kWarp : 1;
    const auto bytes = [&] {
        int64_t b = 0;
        const BlockArrays<T> count(p, ld, plan, teams, 0, nullptr, &b);
        return b;
    };
    const int64_t limit = shared_limit - static_cast<int64_t>(sizeof(SignalFacts<T>)) - 1024;
    plan.keeps_rows = by_rows(p);
    plan.signals = kSignals;
    if (bytes() > limit) plan.keeps_rows = false;
    plan.signals = kMostSignals;
    while (plan.signals > kSignals && (n < plan.signals * kFullGrid || bytes() > kSharedWanted)) plan.signals /= 2;
    plan.bytes = bytes();
    plan.shared = plan.bytes <= limit;
    const int64_t tiles = (n + plan.signals - 1) / plan.signals;
    const int64_t most = plan.shared ? kMostBlocks : kPartsOfWorkspace;
    plan.grid = tiles < most ? tiles : most;
    plan.workspace = plan.shared ? 0 : plan.grid * plan.bytes;
    return plan;
}

}  // namespace
}  // namespace sparsefast
