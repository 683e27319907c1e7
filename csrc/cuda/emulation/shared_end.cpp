// See shared_begin.cpp.
#include "cuda/emulation/shared.hpp"

alignas(64) __thread char sparsefast_emulation_shared_end[64];
