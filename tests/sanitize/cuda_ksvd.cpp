// Runs the CUDA kernels of the ksvd family on the emulated device, as cuda_driver.cpp does those of the omp family: in
// buffers of just the size of their arrays, over shapes, types, values, codes that name what is not there, orders of
// threads and numbers of multiprocessors. Each output is written over different bytes, and must come out the same.
#include "cuda_ksvd.hpp"

#include "cuda/emulation/launch.hpp"
#include "ksvd_problem.hpp"
#include "sparsefast/ksvd_cuda.hpp"

namespace {

using namespace sparsefast;
using namespace sparsefast::ksvd_driver;
using emulation::Order;

constexpr CudaQueue kQueue{0, nullptr};
int failures = 0, calls = 0;

void check(bool ok, const char* what) {
    if (ok) return;
    ++failures;
    std::printf("FAILED %s\n", what);
}
void launched(const char* error) {
    ++calls;
    check(!error, error ? error : "");
}

template <typename Call>
void same(const char* what, const Call& call) {
    Written first(0x5a);
    emulation::set_order(Order::forward);
    call(first);
    int multiprocessors = 1;
    for (const Order order : {Order::reversed, Order::shuffled}) {
        Written other(0xa5);
        emulation::set_order(order, 7);
        emulation::set_multiprocessors(multiprocessors);
        call(other);
        check(first == other, what);
        multiprocessors += 4;
    }
    emulation::set_multiprocessors(3);
}

template <typename T>
void run(const Shape& s, bool strided) {
    const Problem<T> p(s, strided, Codes::bad, 1);
    for (const KsvdMethod method : {KsvdMethod::approx, KsvdMethod::exact})
        for (const bool parallel : {false, true})
            same("ksvd_update depends on order, multiprocessors or what was there", [&](Written& out) {
                const KsvdProblem k = update_of(p, method, parallel, out);
                const Buffer workspace(cuda_ksvd_workspace_bytes(k));
                launched(cuda_ksvd(k, workspace.get(), kQueue));
            });
    same("dictionary_stats or online_update depend on order, multiprocessors or what was there", [&](Written& out) {
        const StatsProblem stats = stats_of(p, out);
        const Buffer workspace(cuda_stats_workspace_bytes(stats));
        launched(cuda_stats(stats, workspace.get(), kQueue));
        for (const bool sphere : {false, true}) {
            const OnlineProblem online = online_of(p, stats, sphere, out);
            const Buffer of_online(cuda_online_workspace_bytes(online));
            launched(cuda_online(online, of_online.get(), kQueue));
        }
    });
}

}  // namespace

int run_cuda_ksvd() {
    const Shape shapes[] = {{0, 5, 7, 2},   {1, 1, 1, 1},    {9, 3, 16, 4},   {37, 7, 33, 9}, {12, 17, 5, 0},
                            {90, 64, 6, 3}, {50, 100, 3, 2}, {20, 131, 5, 4}, {9, 600, 2, 2}, {30, 5, 2100, 3}};
    for (const Shape& s : shapes)
        for (const bool strided : {false, true}) {
            run<float>(s, strided);
            run<double>(s, strided);
        }
    std::printf("CUDA kernels of the ksvd family: %d launches, %d failures\n", calls, failures);
    return failures;
}
