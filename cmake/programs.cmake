# For the programs in examples/.
find_package(CLI11 QUIET)  # for their options

# Training under mpirun.
function(use_mpi target)
  if(TARGET xtape_mpi)
    target_link_libraries(${target} PUBLIC xtape::mpi)
    target_compile_definitions(${target} PUBLIC WITH_MPI)
  endif()
endfunction()

# Parses these headers once for all sources of a target; the flags are explained in CMakeLists.txt.
function(parse_headers_once target)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_precompile_headers(${target} PRIVATE ${ARGN})
    target_compile_options(${target} PRIVATE -fpch-preprocess -Wno-array-bounds
      -Wno-stringop-overflow)
  endif()
endfunction()

# Uses what another target parsed. Both have the same definitions.
function(reuse_headers target owner)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_precompile_headers(${target} REUSE_FROM ${owner})
    target_compile_options(${target} PRIVATE -fpch-preprocess -Wno-array-bounds
      -Wno-stringop-overflow)
  endif()
endfunction()
