// Which instruction sets the CPU kernels were compiled for, which of them this machine can run, and which is in use.
#pragma once

namespace sparsefast {

// Ordered: a higher level includes the lower ones.
enum class Isa : int { baseline = 1, v3 = 3, v4 = 4 };

// The name users see: x86-64, x86-64-v3, x86-64-v4, aarch64 or generic.
const char* isa_name(Isa isa);

// The levels that were compiled in and that this processor runs, best first. Returns how many; `out` holds 3.
int isa_available(Isa* out);

Isa isa_current();

// Forces a level by its name; false when the name is unknown or the level cannot run here.
bool isa_force(const char* name);

}  // namespace sparsefast
