#include "tests/emulation/checks.hpp"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <thread>

#include "cuda/emulation/launch.hpp"
#include "tests/emulation/kernels.hpp"

namespace emulation_tests {
namespace {

using sparsefast::emulation::Order;
constexpr Order kOrders[] = {Order::forward, Order::reversed, Order::shuffled};

// The first thing that is wrong, as a result of the function it is in.
#define REQUIRE(condition) \
    if (!(condition)) return std::string(#condition " is not so, line ") + std::to_string(__LINE__)
#define REQUIRE_NO_ERROR(call) \
    if (const char* error = call) return std::string(error)

// Numbers with few bits, so that any order of a sum gives the same.
template <typename T>
std::vector<T> numbers(int n) {
    std::vector<T> x(n);
    uint32_t state = 12345;
    for (T& v : x) {
        state = state * 1664525u + 1013904223u;
        v = static_cast<T>(static_cast<int>(state >> 20) - 2048) / 64;
    }
    return x;
}

// Puts another order for its lifetime.
class InOrder {
   public:
    explicit InOrder(Order order) : before_(sparsefast::emulation::order()) { sparsefast::emulation::set_order(order); }
    ~InOrder() { sparsefast::emulation::set_order(before_); }

   private:
    Order before_;
};

bool contains(const char* text, const char* part) { return text && std::string(text).find(part) != std::string::npos; }

template <typename T>
std::string argmax_of() {
    constexpr int rows = 9, n = 333;
    const std::vector<T> x = numbers<T>(rows * n);
    std::vector<T> values(rows, NAN);
    std::vector<int> found(rows, -1);
    REQUIRE_NO_ERROR(row_argmax(x.data(), rows, n, values.data(), found.data()));
    for (int r = 0; r < rows; ++r) {
        int best = 0;
        for (int k = 1; k < n; ++k) {
            if (std::fabs(x[r * n + k]) > std::fabs(x[r * n + best])) best = k;
        }
        REQUIRE(found[r] == best && values[r] == std::fabs(x[r * n + best]));
    }
    return "";
}

template <typename T>
std::string sums_of(int rows, int n, int threads) {
    const std::vector<T> x = numbers<T>(rows * n);
    std::vector<T> sums(rows, NAN);
    REQUIRE_NO_ERROR(row_sum(x.data(), rows, n, sums.data(), threads));
    for (int r = 0; r < rows; ++r) {
        T sum = 0;
        for (int k = 0; k < n; ++k) sum += x[r * n + k];
        REQUIRE(sums[r] == sum);
    }
    return "";
}

template <typename T>
std::string transpose_of() {
    constexpr int rows = 45, columns = 70;
    const std::vector<T> x = numbers<T>(rows * columns);
    std::vector<T> out(rows * columns, NAN);
    REQUIRE_NO_ERROR(transpose(x.data(), rows, columns, out.data()));
    for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < columns; ++c) REQUIRE(out[c * rows + r] == x[r * columns + c]);
    }
    return "";
}

std::string argmax() {
    const std::string wrong = argmax_of<float>();
    return wrong.empty() ? argmax_of<double>() : wrong;
}

std::string dynamic_sum() {
    for (int threads : {1, 32, 64, 256, 1024}) {
        std::string wrong = sums_of<float>(3, 517, threads);
        if (wrong.empty()) wrong = sums_of<double>(3, 517, threads);
        if (!wrong.empty()) return wrong;
    }
    return "";
}

std::string static_tile() {
    const std::string wrong = transpose_of<float>();
    return wrong.empty() ? transpose_of<double>() : wrong;
}

std::string warp_functions_of_masks() {
    std::vector<int> out(64 * kWarpFunctions, -1);
    REQUIRE_NO_ERROR(warp_functions(out.data()));
    for (int t = 0; t < 64; ++t) {
        const int* mine = out.data() + t * kWarpFunctions;
        const int lane = t % 32, first = t - lane, group = t & ~15;
        REQUIRE(mine[0] == first + 5 && mine[1] == (t & ~7) + 3 && mine[2] == (t ^ 1));
        REQUIRE(mine[3] == (lane + 3 < 32 ? t + 3 : t));
        REQUIRE(mine[4] == (t - 3 >= group ? t - 3 : t));
        REQUIRE(mine[5] == 0x49249249);
        REQUIRE(mine[6] == (t < 32 ? 1 : 2));
        REQUIRE(mine[7] == (t < 32 ? 31 : 63));
        REQUIRE(mine[8] == 1 << 9 && mine[9] == (t ^ 2) * 2 + 1);
        if (lane < 16) {
            REQUIRE(mine[10] == (t ^ 1) + (t ^ 2) + (t ^ 4) && mine[11] == 0xaaaa);
        } else {
            REQUIRE(mine[10] == 7 * (first + 16) + 21 && mine[11] == first + 32);
        }
    }
    return "";
}

std::string block_functions_of_predicates() {
    std::vector<int> out(48 * 9, -1);
    REQUIRE_NO_ERROR(block_functions(out.data()));
    const int expected[9] = {16, 0, 1, 48, 1, 1, 0, 0, 0};
    for (int i = 0; i < 48 * 9; ++i) REQUIRE(out[i] == expected[i % 9]);
    return "";
}

std::string arithmetic_of_one_thread() {
    double out[kArithmetic];
    REQUIRE_NO_ERROR(arithmetic(out));
    const double expected[kArithmetic] = {3231, 23, 8,  4, 1065353216.0, 2, -3.5, 4.5, 5, 4, 1099511627776.0, 16.5,
                                          10,   11, 37, 79};
    for (int i = 0; i < kArithmetic; ++i) {
        if (out[i] != expected[i]) return "number " + std::to_string(i) + " is " + std::to_string(out[i]);
    }
    return "";
}

std::string every_thread_runs_once() {
    const int sizes[][6] = {{3, 2, 5, 4, 3, 2}, {7, 1, 1, 33, 1, 1}, {1, 6, 1, 1, 1, 64}, {1, 1, 1, 8, 16, 8}};
    for (const auto& s : sizes) {
        std::vector<int> visits(s[0] * s[1] * s[2] * s[3] * s[4] * s[5], 0);
        REQUIRE_NO_ERROR(indices(visits.data(), s[0], s[1], s[2], s[3], s[4], s[5]));
        for (int v : visits) REQUIRE(v == 1);
    }
    int none = 0;
    REQUIRE_NO_ERROR(indices(&none, 0, 1, 1, 32, 1, 1));
    REQUIRE(none == 0);
    return "";
}

std::string stacks_hold_local_arrays() {
    std::vector<int> out(1024, -1);
    REQUIRE_NO_ERROR(deep_stack(out.data(), 1024));
    for (int t = 0; t < 1024; ++t) REQUIRE(out[t] == 28 * 1024 + 8 * t);
    return "";
}

std::vector<int> tickets_in(Order order, uint64_t seed) {
    std::vector<int> out(2 * 5 * 96, -1);
    const Order before = sparsefast::emulation::order();
    sparsefast::emulation::set_order(order, seed);
    if (tickets(out.data(), 5, 96)) out.clear();
    sparsefast::emulation::set_order(before);
    return out;
}

std::string orders_differ_and_repeat() {
    const std::vector<int> forward = tickets_in(Order::forward, 0), reversed = tickets_in(Order::reversed, 0);
    REQUIRE(forward.size() == 960 && reversed.size() == 960);
    for (int b = 0; b < 5; ++b) {
        for (int t = 0; t < 96; ++t) {
            const int place = b * 96 + t;
            REQUIRE(forward[place * 2] == b * 192 + t && forward[place * 2 + 1] == b * 192 + 96 + t);
            REQUIRE(reversed[place * 2] == (4 - b) * 192 + 95 - t);
        }
    }
    const std::vector<int> shuffled = tickets_in(Order::shuffled, 1);
    REQUIRE(shuffled == tickets_in(Order::shuffled, 1));
    REQUIRE(shuffled != tickets_in(Order::shuffled, 2) && shuffled != forward && shuffled != reversed);
    return "";
}

// With its barrier a kernel is right in every order; without, wrong in at least one.
template <typename Run>
std::string needs_barrier(const std::vector<float>& expected, const Run& run) {
    int wrong = 0;
    for (Order order : kOrders) {
        const InOrder in(order);
        for (bool barrier : {true, false}) {
            std::vector<float> out(expected.size(), NAN);
            REQUIRE_NO_ERROR(run(out.data(), barrier));
            const bool right = out == expected;
            REQUIRE(right || !barrier);
            wrong += !right;
        }
    }
    REQUIRE(wrong > 0);
    return "";
}

std::string missing_barriers_are_seen() {
    constexpr int n = 96;
    const std::vector<float> x = numbers<float>(n);
    std::vector<float> rotated(n), shifted(n), passed(32);
    for (int i = 0; i < n; ++i) rotated[i] = x[(i + 1) % n], shifted[i] = x[i == n - 1 ? i : i + 1];
    for (int i = 0; i < 32; ++i) passed[i] = x[i ^ 1];
    std::string wrong = needs_barrier(rotated, [&](float* out, bool b) { return rotate(x.data(), out, n, b); });
    if (!wrong.empty()) return "rotate: " + wrong;
    wrong = needs_barrier(shifted, [&](float* out, bool b) { return shift_in_place(x.data(), out, n, b); });
    if (!wrong.empty()) return "shift_in_place: " + wrong;
    wrong = needs_barrier(passed, [&](float* out, bool b) { return pass_in_warp(x.data(), out, b); });
    return wrong.empty() ? "" : "pass_in_warp: " + wrong;
}

std::string unwritten_shared_memory_is_nan() {
    std::vector<float> out(4 * 8 * 3, 0);
    const InOrder forward(Order::forward);  // block 0, which writes, comes before the others
    REQUIRE_NO_ERROR(unwritten(out.data(), 4));
    for (int i = 0; i < 4 * 8 * 3; ++i) REQUIRE(i < 8 * 3 ? out[i] == 1 : std::isnan(out[i]));
    return "";
}

std::string copies_arrive_when_waited_for() {
    const std::vector<float> x = numbers<float>(160);
    std::vector<float> out(256);
    // What the last two columns of four hold: the second group of copies.
    const auto look = [&](Copies how, bool first, bool second) {
        out.assign(256, 0);
        if (async_copies(x.data(), out.data(), how)) return false;
        for (int t = 0; t < 32; ++t) {
            const float* mine = out.data() + t * 8;
            const int from = 31 - t;
            for (int i = 0; i < 4; ++i) {
                if (first ? mine[i] != x[from * 4 + i] : !std::isnan(mine[i])) return false;
            }
            if (second ? mine[4] != x[from * 2] || mine[5] != x[from * 2 + 1] || mine[6] != x[from]
                       : !std::isnan(mine[4]) || !std::isnan(mine[5]) || !std::isnan(mine[6]))
                return false;
        }
        return true;
    };
    REQUIRE(look(Copies::right, true, true));
    REQUIRE(look(Copies::no_wait, false, false));
    REQUIRE(look(Copies::no_commit, true, false));
    REQUIRE(look(Copies::one_left, true, false));
    REQUIRE(contains(async_copies(x.data(), out.data(), Copies::misaligned), "not a multiple of its size"));
    REQUIRE(contains(async_copies(x.data(), out.data(), Copies::not_shared), "not shared memory"));
    return sums_of<float>(2, 100, 64);
}

std::string faults_are_told() {
    struct Fault {
        Wrong what;
        std::vector<const char*> parts;
    };
    const Fault faults[] = {
        {Wrong::barrier_of_some,
         {"wrong_kernel<20>, block (",
          "threads 0-19 wait at __syncthreads (wrong_kernels.cu:", "threads 20-63 have ended"}},
        {Wrong::barriers_of_two_lines, {"different barriers", "__syncthreads (wrong_kernels.cu:"}},
        {Wrong::lanes_that_never_come,
         {"threads 0-2, 4-34, 36-63 wait at __shfl_xor_sync of mask 0xffffffff",
          "threads 3, 35 wait at __syncthreads"}},
        {Wrong::lane_that_ended, {"threads 32-39, 41-63 wait at __ballot_sync of mask 0xffffffff", "40 have ended"}},
        {Wrong::lanes_that_are_not,
         {"threads 32-47 wait at __any_sync of mask 0xffffffff", "lanes that the block lacks"}},
        {Wrong::not_in_own_mask, {"not in its own mask", "__shfl_sync of mask 0xfffffff "}},
        {Wrong::two_operations, {"different operations", "__any_sync", "__all_sync"}},
        {Wrong::throws, {"an exception was thrown"}},
        {Wrong::past_shared_memory, {"wrote past its 256 bytes of dynamic shared memory"}},
    };
    for (const Fault& fault : faults) {
        const char* error = wrong(fault.what);
        for (const char* part : fault.parts) {
            if (!contains(error, part)) return std::string("no '") + part + "' in '" + (error ? error : "") + "'";
        }
        const std::string after = sums_of<double>(3, 200, 96 / 3 * 2);
        if (!after.empty()) return "afterwards: " + after;
    }
    return "";
}

std::string limits_are_kept() {
    REQUIRE(many_threads(1024, 1, 1, 1, 1, 227 << 10) == nullptr);
    REQUIRE(many_threads(16, 1, 64, 1, 1, 0) == nullptr && many_threads(1, 1, 1, 1, 65535, 0) == nullptr);
    REQUIRE(many_threads(32, 1, 1, 0, 1, 0) == nullptr);
    REQUIRE(contains(many_threads(1025, 1, 1, 1, 1, 0), "invalid launch of nothing_kernel: a block of (1025, 1, 1)"));
    REQUIRE(contains(many_threads(32, 33, 1, 1, 1, 0), "at most 1024"));
    REQUIRE(contains(many_threads(1, 1, 65, 1, 1, 0), "64 in z"));
    REQUIRE(contains(many_threads(0, 1, 1, 1, 1, 0), "a block of (0, 1, 1)"));
    REQUIRE(contains(many_threads(1, 1, 1, int64_t(1) << 31, 1, 0), "a grid of"));
    REQUIRE(contains(many_threads(1, 1, 1, (int64_t(1) << 32) + 1, 1, 0), "a grid of"));
    REQUIRE(contains(many_threads(1, 1, 1, 1, 65536, 0), "a grid of (1, 65536, 1)"));
    REQUIRE(contains(many_threads(1, 1, 1, 1, 1, (227 << 10) + 1), "232449 bytes of shared memory; at most 232448"));
    const int64_t before = sparsefast::emulation::shared_memory();
    sparsefast::emulation::set_shared_memory(64 << 10);
    const bool refused = contains(many_threads(1, 1, 1, 1, 1, 100 << 10), "at most 65536");
    sparsefast::emulation::set_shared_memory(before);
    REQUIRE(refused);
    return sums_of<float>(2, 100, 64);
}

// Each runs right ones and wrong ones: neither the results nor the errors get mixed up.
std::string threads_do_not_meet() {
    std::string results[4];
    std::vector<std::thread> threads;
    for (std::string& result : results) {
        threads.emplace_back([&result] {
            for (int i = 0; i < 20 && result.empty(); ++i) {
                result = sums_of<float>(7, 321, 128);
                if (result.empty()) result = argmax_of<double>();
                if (result.empty() && !contains(wrong(Wrong::lane_that_ended), "40 have ended")) result = "no error";
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::string& result : results) {
        if (!result.empty()) return result;
    }
    return "";
}

}  // namespace

const std::vector<Check>& checks() {
    static const std::vector<Check> all = {
        {"argmax", argmax},
        {"dynamic_sum", dynamic_sum},
        {"static_tile", static_tile},
        {"warp_functions_of_masks", warp_functions_of_masks},
        {"block_functions_of_predicates", block_functions_of_predicates},
        {"arithmetic_of_one_thread", arithmetic_of_one_thread},
        {"every_thread_runs_once", every_thread_runs_once},
        {"stacks_hold_local_arrays", stacks_hold_local_arrays},
        {"orders_differ_and_repeat", orders_differ_and_repeat},
        {"missing_barriers_are_seen", missing_barriers_are_seen},
        {"unwritten_shared_memory_is_nan", unwritten_shared_memory_is_nan},
        {"copies_arrive_when_waited_for", copies_arrive_when_waited_for},
        {"faults_are_told", faults_are_told},
        {"limits_are_kept", limits_are_kept},
        {"threads_do_not_meet", threads_do_not_meet},
    };
    return all;
}

}  // namespace emulation_tests
