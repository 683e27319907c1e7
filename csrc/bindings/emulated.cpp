// The Python module sparsefast._emulated: the CUDA kernels on an emulated device, for their tests. Development builds
// alone have it (SPARSEFAST_CUDA_EMULATION).
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include "cuda/emulation/launch.hpp"
#ifdef SPARSEFAST_EMULATION_CHECKS
#include "tests/emulation/checks.hpp"
#endif

namespace py = pybind11;

namespace sparsefast {
#ifdef SPARSEFAST_EMULATION_KERNELS
void bind_cuda_omp(py::module_& m);
void bind_cuda_patches(py::module_& m);
void bind_cuda_ksvd(py::module_& m);
void bind_cuda_products(py::module_& m);
#endif

namespace {

void set_order(const std::string& name, uint64_t seed) {
    emulation::Order order;
    if (!emulation::order_by_name(name.c_str(), &order))
        throw py::value_error("order '" + name + "' must be forward, reversed or shuffled");
    emulation::set_order(order, seed);
}

void set_shared_memory(int64_t bytes) {
    if (bytes < 0) throw py::value_error("bytes must not be negative");
    emulation::set_shared_memory(bytes);
}

#ifdef SPARSEFAST_EMULATION_CHECKS
std::vector<std::string> check_names() {
    std::vector<std::string> names;
    for (const emulation_tests::Check& check : emulation_tests::checks()) names.push_back(check.name);
    return names;
}

std::string run_check(const std::string& name) {
    for (const emulation_tests::Check& check : emulation_tests::checks()) {
        if (name != check.name) continue;
        const py::gil_scoped_release release;
        return check.run();
    }
    throw py::value_error("there is no check '" + name + "'");
}
#endif

}  // namespace
}  // namespace sparsefast

PYBIND11_MODULE(_emulated, m) {
    using namespace sparsefast;
    m.doc() = "CUDA kernels of sparsefast on an emulated device. Internal, and not in wheels.";
    m.def("set_order", &set_order, py::arg("name"), py::arg("seed") = 0,
          "Which of the threads that can run does so next: the first, the last or any (forward, reversed, shuffled).");
    m.def("order", [] { return emulation::order_name(emulation::order()); });
    m.def("set_shared_memory", &set_shared_memory, py::arg("bytes"), "What a block may have of it.");
    m.def("shared_memory", &emulation::shared_memory);
    m.def("set_multiprocessors", &emulation::set_multiprocessors, py::arg("count"),
          "How many blocks of a cooperative launch have room at once; 0 for a device that has no such launches.");
    m.def("multiprocessors", &emulation::multiprocessors);
#ifdef SPARSEFAST_EMULATION_KERNELS
    bind_cuda_omp(m);
    bind_cuda_patches(m);
    bind_cuda_ksvd(m);
    bind_cuda_products(m);
#endif
#ifdef SPARSEFAST_EMULATION_CHECKS
    py::module_ self_test = m.def_submodule("self_test", "Checks of the emulation itself, of tests/emulation.");
    self_test.def("names", &check_names);
    self_test.def("run", &run_check, py::arg("name"), "What is wrong, or nothing.");
#endif
}
