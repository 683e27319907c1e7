// Linked before all files of kernels, shared_end.cpp after them: their __shared__ arrays, thread-local and without an
// initial value, then lie between these two in memory. That is how the emulation finds them, to poison them.
#include "cuda/emulation/shared.hpp"

alignas(64) __thread char sparsefast_emulation_shared_begin[64];
