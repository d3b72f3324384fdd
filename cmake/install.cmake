# Installs the library, its headers and what other projects find it by: find_package(xtape) with the
# target xtape::xtape, and pkg-config. Nothing installed names a directory of this machine.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/xtape)

# The components are those of the Debian packages: library, development, tools.
set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME development)
install(TARGETS xtape EXPORT xtape
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT development
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT library)
install(DIRECTORY include/xtape DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.hpp)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT library)
install(PROGRAMS tools/keras_weights.py tools/tensor_files.py tools/to_ctranslate2.py
  DESTINATION ${CMAKE_INSTALL_DATADIR}/xtape/tools COMPONENT tools)
set(programs)
foreach(program example_seq2seq example_language_model)
  if(TARGET ${program})
    list(APPEND programs ${program})
  endif()
endforeach()
add_custom_target(programs DEPENDS ${programs})
if(programs)
  file(RELATIVE_PATH to_library /prefix/${CMAKE_INSTALL_BINDIR} /prefix/${CMAKE_INSTALL_LIBDIR})
  set_target_properties(${programs} PROPERTIES INSTALL_RPATH $ORIGIN/${to_library})
  install(TARGETS ${programs} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools)
  install(DIRECTORY examples/recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/xtape COMPONENT tools)
endif()

if(TARGET xtape_mpi)
  install(TARGETS xtape_mpi EXPORT xtape_mpi
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(EXPORT xtape_mpi FILE xtapeMpiTargets.cmake NAMESPACE xtape:: DESTINATION ${package_dir})
endif()
install(EXPORT xtape FILE xtapeTargets.cmake NAMESPACE xtape:: DESTINATION ${package_dir})
get_target_property(library_type xtape TYPE)
if(library_type STREQUAL "STATIC_LIBRARY")
  set(XTAPE_STATIC TRUE)  # whoever links it links BLAS and zlib too
else()
  set(XTAPE_STATIC FALSE)
endif()
if(ZLIB_FOUND)
  set(XTAPE_ZLIB TRUE)
else()
  set(XTAPE_ZLIB FALSE)
endif()
configure_package_config_file(cmake/xtapeConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/xtapeConfig.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/xtapeConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES cmake/FindCBLAS.cmake ${CMAKE_CURRENT_BINARY_DIR}/xtapeConfig.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/xtapeConfigVersion.cmake DESTINATION ${package_dir})

# The library's name is enough where the linker looks by itself, as for Debian's packages.
get_filename_component(blas_name ${CBLAS_LIBRARY} NAME)
string(REGEX REPLACE "^lib([^.]+)\\..*$" "-l\\1" linked ${blas_name})
if(NOT CBLAS_CONTAINS_LAPACK)
  set(linked "-llapack ${linked}")
  if(CBLAS_LAPACK_LIBRARY MATCHES "\\.a$")
    string(APPEND linked " -lgfortran -lm")
  endif()
endif()
if(ZLIB_FOUND)
  string(APPEND linked " -lz")
endif()
if(XTAPE_STATIC)
  set(pc_static_libs " ${linked} -pthread")
  set(pc_private_libs "")
else()
  set(pc_static_libs "")
  set(pc_private_libs "${linked} -pthread")
endif()
file(RELATIVE_PATH pc_prefix /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
string(REGEX REPLACE "/$" "" pc_prefix ${pc_prefix})
configure_file(cmake/xtape.pc.in ${CMAKE_CURRENT_BINARY_DIR}/xtape.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/xtape.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
