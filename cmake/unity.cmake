# Compiles the sources of a target in a folder as one, if XTAPE_UNITY: headers are parsed, and their templates compiled,
# once for all. Names without linkage are therefore different within a folder.
function(unite target)
  if(NOT XTAPE_UNITY)
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  foreach(source ${sources})
    get_filename_component(folder ${source} DIRECTORY)
    string(MAKE_C_IDENTIFIER "${folder}" folder)
    set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${folder})
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
endfunction()
