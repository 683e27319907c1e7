// The device probe. A kernel that does nothing is compiled as all others are; whether the runtime finds code for it on
// a device answers for all of them, PTX that the driver refuses included.
#include <cuda_runtime.h>

#include "sparsefast/device.hpp"

namespace sparsefast {
namespace {

__global__ void probe_kernel() {}

std::string version_text(int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// The error of a failed call, also taken off the runtime's record, which later launches of anybody would find.
std::string take_error(cudaError_t error) {
    cudaGetLastError();
    return cudaGetErrorString(error);
}

std::string why_not(int device) {
    cudaError_t error = cudaSetDevice(device);
    if (error != cudaSuccess) return take_error(error);
    cudaFuncAttributes attributes;
    error = cudaFuncGetAttributes(&attributes, probe_kernel);
    if (error == cudaSuccess) return "";
    const std::string text = take_error(error);
    int major = 0, minor = 0;
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
    return "this build holds no code for compute capability " + std::to_string(major) + "." + std::to_string(minor) +
           " (" + text + ")";
}

}  // namespace

CudaStatus cuda_status(int device) {
    CudaStatus status;
    int driver = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
        cudaGetLastError();
        status.reason = "no NVIDIA driver was found";
        return status;
    }
    status.driver = version_text(driver);

    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaErrorInsufficientDriver) {
        take_error(error);
        status.reason =
            "the NVIDIA driver supports CUDA " + status.driver + ", this build needs " + version_text(CUDART_VERSION);
        return status;
    }
    if (error != cudaSuccess || count == 0) {
        status.reason =
            error == cudaSuccess || error == cudaErrorNoDevice ? "the NVIDIA driver sees no device" : take_error(error);
        cudaGetLastError();
        return status;
    }

    int current = 0;
    const bool restore = cudaGetDevice(&current) == cudaSuccess;
    for (int i = 0; i < count; ++i) {
        cudaDeviceProp properties;
        CudaDevice found;
        found.name = cudaGetDeviceProperties(&properties, i) == cudaSuccess ? properties.name : "unknown";
        if (device < 0 || device == i) {
            found.reason = why_not(i);
            status.available = status.available || found.reason.empty();
            if (status.reason.empty()) status.reason = found.reason;
        }
        status.devices.push_back(found);
    }
    if (restore) cudaSetDevice(current);
    if (device >= count) status.reason = "there is no device " + std::to_string(device);
    if (status.available) status.reason.clear();
    return status;
}

}  // namespace sparsefast
