# The module sparsefast._C and, beside it, the build record that sparsefast/_native.py reads.
find_package(Python 3.11 REQUIRED COMPONENTS Interpreter Development.Module)
if(NOT pybind11_DIR)
  execute_process(COMMAND "${Python_EXECUTABLE}" -m pybind11 --cmakedir OUTPUT_VARIABLE pybind11_DIR
                  OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed ERROR_QUIET)
  if(failed)
    message(FATAL_ERROR "pybind11 was not found for ${Python_EXECUTABLE}: run ${Python_EXECUTABLE} -m pip install pybind11")
  endif()
endif()
set(PYBIND11_FINDPYTHON ON)
find_package(pybind11 2.12 REQUIRED CONFIG)

# No link-time optimisation (NO_EXTRAS): it would inline across the objects of different instruction sets.
pybind11_add_module(_C MODULE NO_EXTRAS ${SPARSEFAST_BINDINGS})
target_link_libraries(_C PRIVATE sparsefast_core)
set_target_properties(_C PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${SPARSEFAST_OUTPUT_DIR}")
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  # Symbols of the static cudart stay inside, for PyTorch brings its own.
  target_link_options(_C PRIVATE -Wl,--exclude-libs,ALL)
endif()

list(JOIN SPARSEFAST_ISAS_COMPILED "," isas)
list(JOIN SPARSEFAST_CUDA_ARCHS "," archs)
set(cuda_reason "${SPARSEFAST_CUDA_REASON}")
string(REPLACE "\\" "/" cuda_reason "${cuda_reason}")
string(REPLACE "\"" "'" cuda_reason "${cuda_reason}")
if(SPARSEFAST_CUDA_ENABLED)
  set(cuda_json true)
else()
  set(cuda_json false)
endif()
configure_file(cmake/build_config.hpp.in generated/build_config.hpp @ONLY)
configure_file(cmake/build_record.json.in generated/_build.json @ONLY)
target_include_directories(_C PRIVATE "${PROJECT_BINARY_DIR}/generated")
add_custom_command(TARGET _C POST_BUILD COMMAND "${CMAKE_COMMAND}" -E copy "${PROJECT_BINARY_DIR}/generated/_build.json"
                                                "$<TARGET_FILE_DIR:_C>/_build.json")
