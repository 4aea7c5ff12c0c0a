# Reads our CMake files without Slicer: cmake -DROOT=… -DREPORT=… [-DINSTALLED=…] -P slicer_stand_in.cmake
#
# Stands for the few commands of Slicer's and CMake's that an extension's files call. REPORT receives a line for each
# value; with INSTALLED, the files are copied as Slicer's build and installation lay them out (the folder
# qt-scripted-modules), that is, with the path that the list has.
cmake_minimum_required(VERSION 3.16.3)

set(BUILD_TESTING ON)
set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/nothing.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/nothing.cmake)
set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/nothing.cmake)
file(WRITE "${REPORT}" "")

function(report key value)
  file(APPEND "${REPORT}" "${key}=${value}\n")
endfunction()

macro(project name)
  report(project "${name}")
endmacro()

macro(find_package name)
  report(package "${name}")
endmacro()

macro(add_subdirectory folder)
  list(APPEND FOLDERS "${CMAKE_CURRENT_SOURCE_DIR}")
  set(CMAKE_CURRENT_SOURCE_DIR "${CMAKE_CURRENT_SOURCE_DIR}/${folder}")
  include("${CMAKE_CURRENT_SOURCE_DIR}/CMakeLists.txt")
  list(POP_BACK FOLDERS CMAKE_CURRENT_SOURCE_DIR)
endmacro()

# Libraries are compiled by CMake's own build, not here.
function(add_library name)
  foreach(file IN LISTS ARGN)
    if(file MATCHES "\\.c$")
      if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
        message(FATAL_ERROR "The library ${name} names '${file}', which is not there")
      endif()
      report("library.${name}" "${file}")
    endif()
  endforeach()
endfunction()

function(set_target_properties)
endfunction()

function(set_source_files_properties)
endfunction()

function(install)
endfunction()

function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(PARSE_ARGV 0 MY "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES")
  if(NOT MY_NAME OR MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "Not for slicerMacroBuildScriptedModule: '${MY_UNPARSED_ARGUMENTS}' (NAME '${MY_NAME}')")
  endif()
  report(module "${MY_NAME}")
  report("${MY_NAME}.generic_tests" "${MY_WITH_GENERIC_TESTS}")
  foreach(kind IN ITEMS SCRIPTS RESOURCES)
    foreach(file IN LISTS MY_${kind})
      if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
        message(FATAL_ERROR "${kind} of ${MY_NAME} names '${file}', which is not there")
      endif()
      report("${MY_NAME}.${kind}" "${file}")
      if(INSTALLED)
        configure_file("${CMAKE_CURRENT_SOURCE_DIR}/${file}" "${INSTALLED}/${file}" COPYONLY)
      endif()
    endforeach()
  endforeach()
endfunction()

function(slicer_add_python_unittest)
  cmake_parse_arguments(PARSE_ARGV 0 MY "" "TESTNAME_PREFIX;SCRIPT" "SLICER_ARGS")
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${MY_SCRIPT}")
    message(FATAL_ERROR "There is no test '${MY_SCRIPT}'")
  endif()
  file(RELATIVE_PATH test "${ROOT}" "${CMAKE_CURRENT_SOURCE_DIR}/${MY_SCRIPT}")
  report(test "${test}")
endfunction()

set(CMAKE_CURRENT_SOURCE_DIR "${ROOT}")
include("${ROOT}/CMakeLists.txt")
foreach(name IN ITEMS HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS STATUS TIER ENABLED
    LICENSE_FILE README_FILE)
  report("EXTENSION_${name}" "${EXTENSION_${name}}")
endforeach()
