# Compiles the sources of a target in a folder as one, if XTAPE_UNITY: headers are parsed, and their templates compiled,
# once for all. Names with internal linkage, and macros, must therefore differ within a folder. CMAKE_UNITY_BUILD of a
# project around this one would unite other folders.
function(unite target)
  if(NOT XTAPE_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD OFF)
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  foreach(source ${sources})
    get_filename_component(folder ${source} DIRECTORY)
    string(MAKE_C_IDENTIFIER "${folder}" folder)
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${folder})
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  # g++ takes united sources for headers, and warns of their names with internal linkage.
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endfunction()
