# The CUDA sources as C++ for the host, against csrc/cuda/emulation: with SPARSEFAST_CUDA_EMULATION the Python module
# sparsefast._emulated, and in any case the targets sparsefast_emulation_driver, which checks the emulation itself, and
# sparsefast_cuda_driver.

set(emulation_folder csrc/cuda/emulation)
set(SPARSEFAST_EMULATION ${emulation_folder}/fiber.cpp ${emulation_folder}/launch.cpp ${emulation_folder}/report.cpp
                         ${emulation_folder}/scheduler.cpp)
set(SPARSEFAST_EMULATION_CHECKS)
if(EXISTS "${PROJECT_SOURCE_DIR}/tests/emulation/checks.cpp")
  set(SPARSEFAST_EMULATION_CHECKS tests/emulation/kernels.cu tests/emulation/wrong_kernels.cu)
endif()

# Gives a target the emulation and these CUDA sources, each through a C++ file that includes it: what the file is called
# stays CUDA's where nvcc compiles it too. Their arrays of shared memory must lie between those of the two files about
# them, see shared_begin.cpp: the linker takes files in this order.
#
# Kernels look at memory through several types, as nvcc lets them.
function(sparsefast_emulate target)
  set(flags -fno-strict-aliasing -Wno-unknown-pragmas $<$<CONFIG:Release,RelWithDebInfo>:-O2>)
  set(files)
  foreach(source IN LISTS ARGN)
    string(REPLACE "/" "_" file "${source}")
    set(file "${PROJECT_BINARY_DIR}/generated/emulated/${file}.cpp")
    file(CONFIGURE OUTPUT "${file}" CONTENT "#include \"@PROJECT_SOURCE_DIR@/@source@\"\n" @ONLY)
    list(APPEND files "${file}")
  endforeach()
  set_source_files_properties(${files} PROPERTIES COMPILE_OPTIONS "${flags}")
  target_sources(${target} PRIVATE ${emulation_folder}/shared_begin.cpp ${files} ${emulation_folder}/shared_end.cpp
                                   ${SPARSEFAST_EMULATION})
  # Link-time optimisation would undo the order.
  target_compile_options(${target} PRIVATE -fno-lto)
  set_target_properties(${target} PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)
endfunction()

if(SPARSEFAST_EMULATION_CHECKS)
  set(THREADS_PREFER_PTHREAD_FLAG ON)
  find_package(Threads REQUIRED)
  add_executable(sparsefast_emulation_driver EXCLUDE_FROM_ALL tests/emulation/driver.cpp tests/emulation/checks.cpp)
  target_include_directories(sparsefast_emulation_driver PRIVATE "${PROJECT_SOURCE_DIR}")
  target_link_libraries(sparsefast_emulation_driver PRIVATE Threads::Threads)
  sparsefast_emulate(sparsefast_emulation_driver ${SPARSEFAST_EMULATION_CHECKS})
endif()

# Runs the kernels themselves without Python, for `make sanitize`.
set(sources ${SPARSEFAST_CUDA_SOURCES})
list(REMOVE_ITEM sources csrc/cuda/device.cu) # asks the driver
if(EXISTS "${PROJECT_SOURCE_DIR}/tests/sanitize/cuda_driver.cpp")
  add_executable(sparsefast_cuda_driver EXCLUDE_FROM_ALL tests/sanitize/cuda_driver.cpp
                                        tests/sanitize/cuda_patches.cpp tests/sanitize/cuda_ksvd.cpp)
  sparsefast_emulate(sparsefast_cuda_driver ${sources})
endif()

if(SPARSEFAST_CUDA_EMULATION AND NOT SPARSEFAST_PYTHON)
  message(FATAL_ERROR "SPARSEFAST_CUDA_EMULATION=ON builds a Python module, but SPARSEFAST_PYTHON=OFF")
elseif(SPARSEFAST_CUDA_EMULATION)
  pybind11_add_module(_emulated MODULE NO_EXTRAS csrc/bindings/emulated.cpp ${SPARSEFAST_CUDA_BINDINGS})
  set_target_properties(_emulated PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${SPARSEFAST_OUTPUT_DIR}")
  if(SPARSEFAST_CUDA_BINDINGS)
    target_compile_definitions(_emulated PRIVATE SPARSEFAST_EMULATION_KERNELS)
  endif()
  if(SPARSEFAST_EMULATION_CHECKS)
    target_sources(_emulated PRIVATE tests/emulation/checks.cpp)
    target_compile_definitions(_emulated PRIVATE SPARSEFAST_EMULATION_CHECKS)
    target_include_directories(_emulated PRIVATE "${PROJECT_SOURCE_DIR}")
    target_link_libraries(_emulated PRIVATE Threads::Threads)
  endif()
  sparsefast_emulate(_emulated ${sources} ${SPARSEFAST_EMULATION_CHECKS})
endif()
