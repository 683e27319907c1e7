// Each kernel of the family as a class of its workspace and its launches.
#pragma once

#include "cuda/ksvd/launch.hpp"
#include "cuda/ksvd/online.cuh"
#include "cuda/ksvd/stats.cuh"
#include "cuda/ksvd/update.cuh"

namespace sparsefast {
namespace {

template <typename Class, typename Problem>
const char* run_or_measure(const Problem& problem, void* workspace, CudaQueue queue, int64_t* bytes) {
    const Class call(problem, workspace);
    if (bytes) {
        *bytes = call.arena.used();
        return nullptr;
    }
    const DeviceGuard guard(queue.device);
    return guard.error() ? guard.error() : call.run(queue);
}

}  // namespace
}  // namespace sparsefast
