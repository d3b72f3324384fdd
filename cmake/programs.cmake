# For the programs in examples/.
find_package(CLI11 QUIET)  # for their options

# Training under mpirun.
function(use_mpi target)
  if(TARGET xtape_mpi)
    target_link_libraries(${target} PUBLIC xtape::mpi)
    target_compile_definitions(${target} PUBLIC WITH_MPI)
  endif()
endfunction()

# Parses headers once for all sources of a target (PRIVATE <...>), or takes those of another target with the
# same definitions (REUSE_FROM ...). The flags are explained in CMakeLists.txt.
function(precompile target)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_precompile_headers(${target} ${ARGN})
    target_compile_options(${target} PRIVATE -fpch-preprocess -Wno-array-bounds
      -Wno-stringop-overflow)
  endif()
endfunction()
