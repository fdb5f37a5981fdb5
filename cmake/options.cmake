# Language level, warnings, hardening and sanitizers, as one interface target.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

set(SL_SANITIZE "" CACHE STRING "sanitizers to build with: address,undefined or thread")
option(SL_FUZZ "build fuzz targets with libFuzzer (clang)" OFF)
option(SL_COVERAGE "build for line coverage" OFF)
option(SL_FAULTS "build in the fault switches that tests use" ON)
option(SL_BENCH "build the benchmarks" OFF)

add_library(sealane_options INTERFACE)
target_compile_definitions(sealane_options INTERFACE _GNU_SOURCE)
target_compile_options(sealane_options INTERFACE
    -Wall -Wextra -Wshadow -Wconversion -Wvla -Wmissing-prototypes -Wstrict-prototypes
    -Wformat=2 -Wundef -Wpointer-arith -Wwrite-strings -fno-strict-aliasing -fno-common
    -fstack-protector-strong)
if(SL_FAULTS)
    target_compile_definitions(sealane_options INTERFACE SL_FAULTS=1)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(sealane_options INTERFACE
        -D_FORTIFY_SOURCE=2 -fcf-protection=full -ftrivial-auto-var-init=zero -g)
    target_link_options(sealane_options INTERFACE -Wl,-z,relro,-z,now -pie)
endif()
if(SL_SANITIZE)
    target_compile_options(sealane_options INTERFACE
        -fsanitize=${SL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(sealane_options INTERFACE -fsanitize=${SL_SANITIZE})
endif()
if(SL_FUZZ)
    target_compile_options(sealane_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(SL_COVERAGE)
    target_compile_options(sealane_options INTERFACE --coverage -O0)
    target_link_options(sealane_options INTERFACE --coverage)
endif()
