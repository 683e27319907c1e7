// Runs the ksvd family of the native core, without Python, over shapes, strides, types, values, instruction sets and
// thread counts. Built with a sanitizer, it shows that the core reads and writes only what it may; as it is, it checks
// that every output element is written, and that results depend neither on threads nor on how atoms are split.
#include "common/isa.hpp"
#include "ksvd_problem.hpp"

namespace {

using namespace sparsefast;
using namespace sparsefast::ksvd_driver;

int failures = 0, calls = 0;

void check(bool ok, const char* what, const Shape& s) {
    if (ok) return;
    ++failures;
    std::printf("FAILED %s: %s n=%ld F=%ld K=%ld s=%ld\n", isa_name(isa_current()), what, long(s.n), long(s.features),
                long(s.atoms), long(s.nonzero));
}

// The outputs of `call(threads, split, out)`: the same whatever was there, with one thread or several, in one piece or
// in many.
template <typename Call>
void same(const Shape& s, const char* what, const Call& call) {
    Written first(0x5a), other(0xa5);
    call(1, int64_t(1) << 40, first);
    call(3, int64_t(2), other);
    calls += 2;
    check(first == other, what, s);
}

template <typename T>
void run(const Shape& s, bool strided) {
    const Problem<T> p(s, strided, Codes::good, 1);
    check(check_codes(p.codes(), s.atoms) == -1, "good codes are refused", s);
    for (const KsvdMethod method : {KsvdMethod::approx, KsvdMethod::exact})
        for (const bool parallel : {false, true})
            same(s, "ksvd_update", [&](int threads, int64_t split, Written& out) {
                const KsvdProblem k = update_of(p, method, parallel, out);
                const Buffer workspace(ksvd_workspace_bytes(k, threads));
                ksvd_begin(k, workspace.get(), threads);
                for (int64_t at = 0; at < s.atoms; at += split)
                    ksvd_atoms(k, at, at + split < s.atoms ? at + split : s.atoms, workspace.get(), threads);
                ksvd_end(k, workspace.get(), threads);
            });
    same(s, "dictionary_stats and online_update", [&](int threads, int64_t split, Written& out) {
        const StatsProblem stats = stats_of(p, out);
        const Buffer workspace(stats_workspace_bytes(stats, threads));
        for (int64_t at = 0; at < s.n; at += split)
            stats_signals(stats, at, at + split < s.n ? at + split : s.n, workspace.get(), threads);
        for (const bool sphere : {false, true}) {
            const OnlineProblem online = online_of(p, stats, sphere, out);
            const Buffer of_online(online_workspace_bytes(online));
            const int64_t steps = online.n_iterations * s.atoms;
            for (int64_t at = 0; at < steps; at += split)
                online_atoms(online, at, at + split < steps ? at + split : steps, of_online.get());
        }
    });
    const Problem<T> bad(s, strided, Codes::bad, 1);
    if (s.n > 8) check(check_codes(bad.codes(), s.atoms) == 4, "a bad count is not found", s);
}

}  // namespace

int main() {
    const Shape shapes[] = {
        {0, 5, 7, 2},     {1, 1, 1, 1},    {9, 3, 16, 4},   {37, 7, 33, 9},  {60, 17, 5, 0},
        {200, 64, 20, 5}, {90, 100, 6, 3}, {40, 131, 9, 4}, {2500, 16, 2, 2}};  // several tiles an atom
    Isa isas[3];
    int n_isas = isa_available(isas);
#if defined(__SANITIZE_THREAD__)
    n_isas = 1;  // it is slow, and threads are the same for all
#endif
    for (int i = 0; i < n_isas; ++i) {
        isa_force(isa_name(isas[i]));
        for (const Shape& s : shapes)
            for (const bool strided : {false, true}) {
                run<float>(s, strided);
                run<double>(s, strided);
            }
    }
    std::printf("ksvd: %d calls, %d checks failed\n", calls, failures);
    return failures != 0;
}
