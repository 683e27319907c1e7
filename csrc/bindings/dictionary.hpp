// The packed dictionary as a Python object.
#pragma once

#include "bindings/arrays.hpp"
#include "sparsefast/omp.hpp"

namespace sparsefast {

// A dictionary in the layout of the kernels; it owns its memory and keeps no reference to the arrays it was made from.
class PackedDictionary {
   public:
    // Without with_gram there is none, whatever the size, and `gram` is not looked at.
    PackedDictionary(const py::array& atoms, const py::object& gram, int n_threads, bool with_gram) {
        const Matrix d = matrix_of(atoms, "dictionary");
        if (d.rows < 1 || d.cols < 1) throw py::value_error("dictionary must not be empty");
        if (d.rows > INT32_MAX) throw py::value_error("dictionary has more than 2^31 - 1 atoms");
        dictionary_.dtype = dtype_of(atoms, "dictionary");
        dictionary_.n_atoms = d.rows;
        dictionary_.n_features = d.cols;
        Matrix g{};
        if (with_gram && !gram.is_none()) {
            const auto array = gram.cast<py::array>();
            g = matrix_of(array, "gram");
            if (g.rows != d.rows || g.cols != d.rows || dtype_of(array, "gram") != dictionary_.dtype)
                throw py::value_error("gram must be (n_atoms, n_atoms) of the dictionary's dtype");
        }
        dictionary_.method =
            with_gram ? omp_method(d.rows, d.cols, dictionary_.dtype, g.data != nullptr) : OmpMethod::residual;
        packed_ = AlignedBuffer(omp_packed_bytes(dictionary_));
        {
            py::gil_scoped_release release;
            omp_pack_atoms(dictionary_, d, packed_.data());
        }
        if (dictionary_.method != OmpMethod::gram) return;
        const double flops_a_row = 2.0 * static_cast<double>(d.rows) * static_cast<double>(d.cols);
        const int threads = threads_for(flops_a_row * static_cast<double>(d.rows), n_threads);
        const auto rows = static_cast<int64_t>(kFlopsAPiece * threads / flops_a_row) / kGramRows * kGramRows;
        const int64_t step = std::max(kGramRows * threads, rows);
        for (int64_t begin = 0; begin < d.rows; begin += step) {
            {
                py::gil_scoped_release release;
                omp_pack_gram(dictionary_, g, packed_.data(), begin, std::min(begin + step, d.rows), threads);
            }
            check_interrupt();
        }
    }

    const OmpDictionary& dictionary() const { return dictionary_; }
    const void* data() const { return packed_.data(); }
    int64_t bytes() const { return packed_.bytes(); }

   private:
    OmpDictionary dictionary_{};
    AlignedBuffer packed_;
};

}  // namespace sparsefast
