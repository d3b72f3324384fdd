# A CBLAS: its header and library, OpenBLAS where there is one. Defines CBLAS::CBLAS.
find_path(CBLAS_INCLUDE_DIR cblas.h PATH_SUFFIXES openblas openblas-pthread openblas-serial openblas-openmp)
find_library(CBLAS_LIBRARY NAMES openblas cblas blas)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CBLAS
  REQUIRED_VARS CBLAS_LIBRARY CBLAS_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "Debian has it in libopenblas-dev, elsewhere set CBLAS_LIBRARY and CBLAS_INCLUDE_DIR")
mark_as_advanced(CBLAS_INCLUDE_DIR CBLAS_LIBRARY)
if(CBLAS_FOUND AND NOT TARGET CBLAS::CBLAS)
  add_library(CBLAS::CBLAS UNKNOWN IMPORTED)
  set_target_properties(CBLAS::CBLAS PROPERTIES
    IMPORTED_LOCATION "${CBLAS_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${CBLAS_INCLUDE_DIR}")
endif()
