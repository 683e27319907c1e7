// Both ends of the memory that __shared__ arrays have, in the thread that asks.
#pragma once

extern __thread char sparsefast_emulation_shared_begin[64] __attribute__((visibility("hidden")));
extern __thread char sparsefast_emulation_shared_end[64] __attribute__((visibility("hidden")));
