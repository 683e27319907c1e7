// The Python module sparsefast._C. Each family registers itself in its own file.
#include <pybind11/pybind11.h>

#include "build_config.hpp"

namespace py = pybind11;

namespace sparsefast {
void bind_system(py::module_& m);
void bind_memory(py::module_& m);
void bind_omp(py::module_& m);
void bind_patches(py::module_& m);
void bind_ksvd(py::module_& m);
void bind_products(py::module_& m);
void bind_bottleneck(py::module_& m);
void bind_cuda_omp(py::module_& m);
void bind_cuda_patches(py::module_& m);
void bind_cuda_ksvd(py::module_& m);
void bind_cuda_products(py::module_& m);
}  // namespace sparsefast

PYBIND11_MODULE(_C, m) {
    m.doc() = "Native kernels of sparsefast. Internal: call sparsefast's own functions.";
    sparsefast::bind_system(m);
    sparsefast::bind_memory(m);
    sparsefast::bind_omp(m);
    sparsefast::bind_patches(m);
    sparsefast::bind_ksvd(m);
    sparsefast::bind_products(m);
    sparsefast::bind_bottleneck(m);
#if SPARSEFAST_CUDA_ENABLED
    sparsefast::bind_cuda_omp(m);
    sparsefast::bind_cuda_patches(m);
    sparsefast::bind_cuda_ksvd(m);
    sparsefast::bind_cuda_products(m);
#endif
}
