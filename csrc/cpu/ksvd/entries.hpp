// The entries of sparse codes in the order of their atoms: a counting sort, stable, so that the entries of an atom
// stand in increasing row whatever the number of threads.
#pragma once

#include "common/arena.hpp"
#include "common/parallel.hpp"
#include "cpu/ksvd/rows.hpp"
#include "sparsefast/ksvd.hpp"

namespace sparsefast {
namespace {

SF_INLINE int64_t atom_of(const SparseCodes& codes, int64_t entry) {
    return codes.index_type == IndexType::int64 ? static_cast<const int64_t*>(codes.indices)[entry]
                                                : static_cast<const int32_t*>(codes.indices)[entry];
}

template <typename T>
struct Entries {
    int64_t n_atoms;
    int64_t* starts;  // (n_atoms + 1,): atom k has entries [starts[k], starts[k + 1])
    Entry<T>* all;    // (n_signals * n_nonzero,)
    int64_t* counts;  // (chunks, n_atoms)
    int64_t chunks;

    Entries(Arena& arena, const SparseCodes& codes, int64_t n_atoms, int n_threads) : n_atoms(n_atoms) {
        const int64_t n = codes.n_signals * codes.n_nonzero;
        chunks = n_threads > 1 ? n_threads : 1;
        starts = arena.take<int64_t>(n_atoms + 1);
        all = arena.take<Entry<T>>(n);
        counts = arena.take<int64_t>(chunks * n_atoms);
    }

    void fill(const SparseCodes& codes, int n_threads) {
        const int64_t share = (codes.n_signals + chunks - 1) / chunks;
        const auto each = [&](int64_t chunk, auto&& visit) {
            const int64_t begin = chunk * share,
                          end = begin + share < codes.n_signals ? begin + share : codes.n_signals;
            for (int64_t n = begin; n < end; ++n)
                for (int64_t s = 0; s < codes.counts[n]; ++s) visit(n, s, n * codes.n_nonzero + s);
        };
        parallel_tasks(chunks, n_threads, [&](int64_t chunk, int) {
            int64_t* const mine = counts + chunk * n_atoms;
            for (int64_t k = 0; k < n_atoms; ++k) mine[k] = 0;
            each(chunk, [&](int64_t, int64_t, int64_t entry) { ++mine[atom_of(codes, entry)]; });
        });
        int64_t next = 0;
        for (int64_t k = 0; k < n_atoms; ++k) {
            starts[k] = next;
            for (int64_t chunk = 0; chunk < chunks; ++chunk) {
                const int64_t n = counts[chunk * n_atoms + k];
                counts[chunk * n_atoms + k] = next;
                next += n;
            }
        }
        starts[n_atoms] = next;
        const T* const from = static_cast<const T*>(codes.values);
        parallel_tasks(chunks, n_threads, [&](int64_t chunk, int) {
            int64_t* const place = counts + chunk * n_atoms;
            each(chunk, [&](int64_t n, int64_t s, int64_t entry) {
                all[place[atom_of(codes, entry)]++] = {n, from[entry], static_cast<int32_t>(s)};
            });
        });
    }
};

}  // namespace
}  // namespace sparsefast
