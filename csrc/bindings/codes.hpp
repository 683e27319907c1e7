// Sparse codes that come in as NumPy arrays.
#pragma once

#include <string>

#include "bindings/arrays.hpp"
#include "sparsefast/products.hpp"

namespace sparsefast {

inline int64_t rows_of(const py::array& a, const char* name) {
    if (a.ndim() != 2) throw py::value_error(std::string(name) + " must have 2 dimensions");
    return a.shape(0);
}

// Codes whose entries, padding too, name atoms that are there.
inline SparseCodes codes_of(const py::array* values, const py::array& indices, const py::array& counts, DType dtype,
                            int64_t n_atoms) {
    SparseCodes c{};
    c.n_signals = rows_of(indices, "indices");
    c.n_nonzero = indices.shape(1);
    check_type(indices, "indices", 'i', 8);
    c.index_type = IndexType::int64;
    c.indices = dense_of(indices, "indices", {c.n_signals, c.n_nonzero});
    check_type(counts, "counts", 'i', 4);
    c.counts = static_cast<const int32_t*>(dense_of(counts, "counts", {c.n_signals}));
    if (values) {
        check_float(*values, "values", dtype);
        c.values = dense_of(*values, "values", {c.n_signals, c.n_nonzero});
    }
    bool good;
    {
        const py::gil_scoped_release release;
        good = codes_fit(c, n_atoms);
    }
    if (!good)
        throw py::index_error("code: indices must be 0 to " + std::to_string(n_atoms - 1) + " and counts 0 to " +
                              std::to_string(c.n_nonzero));
    return c;
}

}  // namespace sparsefast
