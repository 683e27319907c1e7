// The CUDA devices of this machine, and whether this build can run on them.
#pragma once

#include <string>
#include <vector>

namespace sparsefast {

struct CudaDevice {
    std::string name;
    std::string reason;  // why this build cannot run on it; empty when it can
};

struct CudaStatus {
    bool available = false;  // at least one of the devices asked about can run this build's kernels
    std::string reason;      // why not; empty when available
    std::string driver;      // the CUDA version the driver supports, as "13.0"; empty without a driver
    std::vector<CudaDevice> devices;
};

// Asks the driver; never fails and works without one. Finding out whether a device can run this build opens a context
// on it (tenths of a second and some hundred MB there), so `device` limits the question to one; -1 asks about all.
CudaStatus cuda_status(int device);

}  // namespace sparsefast
