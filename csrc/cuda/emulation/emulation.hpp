// CUDA C++ as far as the kernels here use it, for a host compiler: each thread of a block is a fiber, and what waits
// for other threads switches to them. Included by cuda/platform.cuh where the compiler is not nvcc.
#pragma once

#include "cuda/emulation/arithmetic.hpp"
#include "cuda/emulation/launch.hpp"
#include "cuda/emulation/operations.hpp"
#include "cuda/emulation/vocabulary.hpp"
