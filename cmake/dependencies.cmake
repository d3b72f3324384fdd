# What the library is built with, and the versions that are tested.

# Says in one line that a version is above the range, and refuses one below it.
function(xtape_check_version what version lowest highest)
  if(version VERSION_LESS lowest)
    message(FATAL_ERROR "xtape: ${what} ${version} is too old: ${lowest} to ${highest} are tested")
  elseif(NOT "${version}." MATCHES "^${highest}\\." AND version VERSION_GREATER highest)
    message(NOTICE "xtape: ${what} ${version} is newer than what is tested: ${lowest} to ${highest}")
  endif()
endfunction()

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  xtape_check_version(g++ "${CMAKE_CXX_COMPILER_VERSION}" 12 14)
elseif(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  xtape_check_version(clang "${CMAKE_CXX_COMPILER_VERSION}" 14 19)
else()
  message(NOTICE "xtape: ${CMAKE_CXX_COMPILER_ID} is not tested: g++ 12 to 14 and clang 14 to 19 are")
endif()

find_package(Threads REQUIRED)
find_package(xtensor REQUIRED)
xtape_check_version(xtensor "${xtensor_VERSION}" 0.24 0.27)
find_package(CBLAS REQUIRED)
find_package(ZLIB QUIET)  # for text compressed with gzip; not seen by those who use xtape
if(NOT ZLIB_FOUND)
  message(STATUS "zlib not found: files compressed with gzip will be refused (Debian: zlib1g-dev)")
endif()
find_package(nlohmann_json 3 REQUIRED)  # headers only, and not seen by those who use xtape

# Returns in `version` what the macros PREFIX_MAJOR, ... of a header say.
function(xtape_header_version header prefix version)
  set(numbers)
  foreach(part MAJOR MINOR PATCH)
    file(STRINGS ${header} line REGEX "define ${prefix}_${part} " LIMIT_COUNT 1)
    string(REGEX MATCH "[0-9]+" number "${line}")
    list(APPEND numbers ${number})
  endforeach()
  list(JOIN numbers . joined)
  set(${version} "${joined}" PARENT_SCOPE)
endfunction()

# For its interface to LAPACK, in one source file.
find_path(XTENSOR_BLAS_INCLUDE_DIR xtensor-blas/xlinalg.hpp)
mark_as_advanced(XTENSOR_BLAS_INCLUDE_DIR)
if(NOT XTENSOR_BLAS_INCLUDE_DIR)
  message(FATAL_ERROR "xtensor-blas not found: Debian has it in libxtensor-blas-dev, elsewhere set "
    "XTENSOR_BLAS_INCLUDE_DIR to the folder that has xtensor-blas/xlinalg.hpp")
endif()
xtape_header_version(${XTENSOR_BLAS_INCLUDE_DIR}/xtensor-blas/xblas_config.hpp XTENSOR_BLAS_VERSION blas)
xtape_check_version(xtensor-blas "${blas}" 0.20 0.23)

find_path(XSIMD_INCLUDE_DIR xsimd/xsimd.hpp)
mark_as_advanced(XSIMD_INCLUDE_DIR)
if(NOT XSIMD_INCLUDE_DIR)
  message(FATAL_ERROR "xsimd not found: Debian has it in libxsimd-dev, elsewhere set XSIMD_INCLUDE_DIR "
    "to the folder that has xsimd/xsimd.hpp")
endif()
set(config xsimd/config/xsimd_config.hpp)
xtape_header_version(${XSIMD_INCLUDE_DIR}/${config} XSIMD_VERSION simd)
xtape_check_version(xsimd "${simd}" 8 14)

set(compiler ${CMAKE_CXX_COMPILER_ID})
string(REPLACE GNU g++ compiler ${compiler})
string(REPLACE Clang clang compiler ${compiler})
message(STATUS "xtape: ${compiler} ${CMAKE_CXX_COMPILER_VERSION}, xsimd ${simd}, xtensor ${xtensor_VERSION}, xtensor-blas ${blas}")
