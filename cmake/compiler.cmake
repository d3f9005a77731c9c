# Language, warnings, sanitizers and the linker: the same for every target.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

set(SYZYGY_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize=: address,undefined or thread")
option(SYZYGY_FUZZ "libFuzzer's programs (clang): everything is instrumented for its coverage" OFF)
option(SYZYGY_KILL_POINTS "Kill points for the restart tests; never in a release" OFF)

add_library(syzygy_options INTERFACE)
# clang's -Wshadow lets a constructor's parameter bear its member's name, g++ calls that =local.
target_compile_options(syzygy_options INTERFACE -Wall -Wextra -Wpedantic
  $<IF:$<CXX_COMPILER_ID:GNU>,-Wshadow=local,-Wshadow> -Wnon-virtual-dtor -Wconversion -Wno-sign-conversion -Werror)
if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # A class that stands behind a header keeps helpers of its own file; in a unity build that file looks like a header.
  target_compile_options(syzygy_options INTERFACE -Wno-subobject-linkage)
endif()
target_include_directories(syzygy_options INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})
if(SYZYGY_KILL_POINTS)
  target_compile_definitions(syzygy_options INTERFACE SYZYGY_KILL_POINTS=1)
endif()

if(SYZYGY_SANITIZE)
  # UBSan's vptr check opens a pipe to look at a pointer, and aborts where no descriptor is left, as in the test of just that.
  add_compile_options(-fsanitize=${SYZYGY_SANITIZE} -fno-sanitize=vptr -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SYZYGY_SANITIZE})
endif()

if(SYZYGY_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_link_options(-fuse-ld=lld)
else()
  add_link_options(-fuse-ld=mold)
endif()

# syzygy_library(NAME SOURCES... ): a static library of one folder, with our warnings.
function(syzygy_library name)
  add_library(${name} STATIC ${ARGN})
  target_link_libraries(${name} PUBLIC syzygy_options)
endfunction()
