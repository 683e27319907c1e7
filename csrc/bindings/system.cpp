// What was built, what this machine offers, and which instruction set is in use.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "build_config.hpp"
#include "common/isa.hpp"
#include "sparsefast/device.hpp"

namespace py = pybind11;
namespace sparsefast {
namespace {

std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> parts;
    std::stringstream stream(text);
    for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
    return parts;
}

py::dict build_info() {
    py::dict info;
    info["version"] = SPARSEFAST_VERSION;
    info["compiler"] = SPARSEFAST_COMPILER;
    info["openmp"] = static_cast<bool>(SPARSEFAST_HAS_OPENMP);
    info["isas_compiled"] = split(SPARSEFAST_ISAS);
    info["cuda"] = py::none();
#if SPARSEFAST_CUDA_ENABLED
    py::dict cuda;
    cuda["version"] = SPARSEFAST_CUDA_VERSION;
    cuda["architectures"] = split(SPARSEFAST_CUDA_ARCHS);
    info["cuda"] = cuda;
#endif
    return info;
}

// The same question where the build holds no CUDA code.
CudaStatus device_status(int device) {
#if SPARSEFAST_CUDA_ENABLED
    return cuda_status(device);
#else
    (void)device;
    CudaStatus status;
    status.reason = "this build holds no CUDA code: " SPARSEFAST_CUDA_REASON;
    return status;
#endif
}

py::dict cuda_status_dict(std::optional<int> device) {
    if (device && *device < 0) throw py::value_error("device=" + std::to_string(*device) + " must not be negative");
    CudaStatus status;
    {
        py::gil_scoped_release release;
        status = device_status(device.value_or(-1));
    }
    std::vector<std::string> names;
    std::vector<std::string> reasons;
    for (const CudaDevice& found : status.devices) {
        names.push_back(found.name);
        reasons.push_back(found.reason);
    }
    py::dict result;
    result["available"] = status.available;
    result["reason"] = status.reason;
    result["driver"] = status.driver.empty() ? py::object(py::none()) : py::str(status.driver);
    result["devices"] = names;
    result["device_reasons"] = reasons;
    return result;
}

std::vector<std::string> isas() {
    Isa levels[3];
    const int n = isa_available(levels);
    std::vector<std::string> names;
    for (int i = 0; i < n; ++i) names.push_back(isa_name(levels[i]));
    return names;
}

void set_isa(const std::string& name) {
    if (isa_force(name.c_str())) return;
    std::string allowed;
    for (const std::string& other : isas()) allowed += (allowed.empty() ? "" : ", ") + other;
    throw py::value_error("isa='" + name + "' must be an instruction set of this machine: " + allowed);
}

}  // namespace

void bind_system(py::module_& m) {
    m.def("build_info", &build_info);
    m.def("cuda_status", &cuda_status_dict, py::arg("device") = py::none(),
          "Whether this build can run on the CUDA devices here; opens a context on each, or only on `device`.");
    m.def("isa", [] { return isa_name(isa_current()); });
    m.def("isas", &isas, "Instruction sets usable here, best first.");
    m.def("set_isa", &set_isa, py::arg("isa"));
}

}  // namespace sparsefast
