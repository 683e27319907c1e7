// The kernels of dictionary learning, compiled once for each instruction set. Each is described beside its class.
#include "cpu/kernels.hpp"
#include "cpu/ksvd/online.hpp"
#include "cpu/ksvd/stats.hpp"
#include "cpu/ksvd/sweep.hpp"

namespace sparsefast {
namespace {

// Calls visit(class for the problem's dtype), which is made anew each time: it is but pointers into the workspace.
template <template <typename> class Class, typename Problem, typename Visit, typename... More>
auto with(const Problem& p, const Visit& visit, More... more) {
    if (p.dtype == DType::float32) {
        Class<float> object(p, more...);
        return visit(object);
    }
    Class<double> object(p, more...);
    return visit(object);
}

int64_t sweep_bytes(const KsvdProblem& p, int n_threads) {
    return with<Sweep>(p, [](auto& sweep) { return sweep.bytes(); }, static_cast<void*>(nullptr), n_threads);
}
void sweep_begin(const KsvdProblem& p, void* workspace, int n_threads) {
    with<Sweep>(p, [](auto& sweep) { sweep.begin(); }, workspace, n_threads);
}
void sweep_atoms(const KsvdProblem& p, int64_t begin, int64_t end, void* workspace, int n_threads) {
    with<Sweep>(p, [&](auto& sweep) { sweep.atoms(begin, end); }, workspace, n_threads);
}
void sweep_end(const KsvdProblem& p, void* workspace, int n_threads) {
    with<Sweep>(p, [](auto& sweep) { sweep.end(); }, workspace, n_threads);
}

int64_t stats_bytes(const StatsProblem& p, int n_threads) {
    return with<Stats>(p, [](auto& stats) { return stats.bytes(); }, static_cast<void*>(nullptr), n_threads);
}
void add_stats(const StatsProblem& p, int64_t begin, int64_t end, void* workspace, int n_threads) {
    with<Stats>(p, [&](auto& stats) { stats.signals(begin, end); }, workspace, n_threads);
}

int64_t online_bytes(const OnlineProblem& p) {
    return with<Online>(p, [](auto& online) { return online.bytes(); }, static_cast<void*>(nullptr));
}
void online_range(const OnlineProblem& p, int64_t begin, int64_t end, void* workspace) {
    with<Online>(p, [&](auto& online) { online.updates(begin, end); }, workspace);
}

}  // namespace

const KsvdKernels SF_TABLE(ksvd_kernels_) = {sweep_bytes, sweep_begin, sweep_atoms,  sweep_end,
                                             stats_bytes, add_stats,   online_bytes, online_range};

}  // namespace sparsefast
