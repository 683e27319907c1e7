// Where the work of a CUDA kernel is queued.
#pragma once

namespace sparsefast {

struct CudaQueue {
    int device;
    void* stream;
};

}  // namespace sparsefast
