# One object per instruction set from each source in SPARSEFAST_CPU_KERNELS: x86-64, x86-64-v3 and x86-64-v4, as far as
# the compiler knows them; a single one on other processors. A source keeps all but its table of kernels, which is named
# after SPARSEFAST_ISA, within the object: of an inline function that two objects share, the linker would keep one copy.
#
# SPARSEFAST_CPU_ISAS names those to build: without the others a build takes a third of the time, and runs slower or not
# at all elsewhere.
#
# Sets SPARSEFAST_KERNEL_OBJECTS, SPARSEFAST_ISA_DEFINITIONS (for sources that must know which exist) and
# SPARSEFAST_ISAS_COMPILED (their public names, best last).
include(CheckCXXCompilerFlag)
include(CheckCXXSourceCompiles)

# Contraction and no errno let loops vectorise; reassociation (-ffast-math) would break "the same bits for any batch".
# Sanitizers get -O1: inlined to the full, an instrumented kernel takes minutes to compile.
set(kernel_optimisation $<$<NOT:$<CONFIG:Debug>>:-O3>)
if(SPARSEFAST_SANITIZE)
  set(kernel_optimisation -O1)
endif()
# Vectors are passed between inlined functions of one object only, whatever the ABI of wider ones (-Wno-psabi).
set(kernel_flags ${kernel_optimisation} -Wno-psabi -fno-math-errno -ffp-contract=fast -fno-trapping-math
                 -fno-exceptions -fvisibility=hidden)
set(SPARSEFAST_CPU_ISAS "x86-64-v3;x86-64-v4" CACHE STRING "Instruction sets beside the baseline")
set_property(CACHE SPARSEFAST_CPU_ISAS PROPERTY STRINGS "x86-64-v3;x86-64-v4" x86-64-v3 x86-64-v4 "")
set(SPARSEFAST_KERNEL_OBJECTS)
set(SPARSEFAST_ISA_DEFINITIONS)
set(SPARSEFAST_ISAS_COMPILED)

function(sparsefast_kernels isa level name)
  set(target sparsefast_kernels_${isa})
  add_library(${target} OBJECT ${SPARSEFAST_CPU_KERNELS})
  target_compile_options(${target} PRIVATE ${kernel_flags} ${ARGN})
  target_compile_definitions(${target} PRIVATE SPARSEFAST_ISA=${isa} SPARSEFAST_ISA_LEVEL=${level})
  set(SPARSEFAST_KERNEL_OBJECTS ${SPARSEFAST_KERNEL_OBJECTS} $<TARGET_OBJECTS:${target}> PARENT_SCOPE)
  set(SPARSEFAST_ISAS_COMPILED ${SPARSEFAST_ISAS_COMPILED} ${name} PARENT_SCOPE)
endfunction()

# What the compiler targets, which CMAKE_SYSTEM_PROCESSOR does not say when cross-compiling.
check_cxx_source_compiles("#if !defined(__x86_64__)\n#error\n#endif\nint main() {}" SPARSEFAST_X86_64)
check_cxx_source_compiles("#if !defined(__aarch64__)\n#error\n#endif\nint main() {}" SPARSEFAST_AARCH64)

if(SPARSEFAST_X86_64)
  check_cxx_compiler_flag("-march=x86-64-v3" SPARSEFAST_KNOWS_V3)
  check_cxx_compiler_flag("-march=x86-64-v4 -mprefer-vector-width=512" SPARSEFAST_KNOWS_V4)
  sparsefast_kernels(baseline 1 x86-64 -march=x86-64)
  if(SPARSEFAST_KNOWS_V3 AND "x86-64-v3" IN_LIST SPARSEFAST_CPU_ISAS)
    sparsefast_kernels(v3 3 x86-64-v3 -march=x86-64-v3)
    list(APPEND SPARSEFAST_ISA_DEFINITIONS SPARSEFAST_HAVE_V3)
  endif()
  if(SPARSEFAST_KNOWS_V4 AND "x86-64-v4" IN_LIST SPARSEFAST_CPU_ISAS)
    sparsefast_kernels(v4 4 x86-64-v4 -march=x86-64-v4 -mprefer-vector-width=512)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      # False alarms within gcc's own AVX-512 headers (its bug 105593); the other objects keep these warnings.
      target_compile_options(sparsefast_kernels_v4 PRIVATE -Wno-uninitialized -Wno-maybe-uninitialized)
    endif()
    list(APPEND SPARSEFAST_ISA_DEFINITIONS SPARSEFAST_HAVE_V4)
  endif()
elseif(SPARSEFAST_AARCH64)
  sparsefast_kernels(baseline 1 aarch64)
else()
  sparsefast_kernels(baseline 1 generic)
endif()
