// The names by which Python calls coders and methods of the omp family.
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <utility>

#include "sparsefast/omp.hpp"

namespace sparsefast {

inline OmpCoder coder_of(const std::string& name) {
    const std::pair<const char*, OmpCoder> all[] = {
        {"omp", OmpCoder::omp},       {"ols", OmpCoder::ols},   {"positive", OmpCoder::positive},
        {"masked", OmpCoder::masked}, {"topk", OmpCoder::topk}, {"iht", OmpCoder::iht},
    };
    for (const auto& [known, coder] : all)
        if (name == known) return coder;
    throw pybind11::value_error("coder='" + name + "' must be omp, ols, positive, masked, topk or iht");
}

inline const char* method_name(OmpMethod method) {
    constexpr const char* names[] = {"gram", "residual", "small"};
    return names[static_cast<int>(method)];
}

}  // namespace sparsefast
