# Targets for daily work: format, format-check, tidy, man.
file(GLOB_RECURSE c_files CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}
    include/*.h src/*.[ch] certs/*.[ch] enroll/*.[ch] tests/*.[ch])
find_program(CLANG_FORMAT clang-format)
find_program(CLANG_TIDY NAMES clang-tidy-14 clang-tidy)
if(CLANG_FORMAT)
    add_custom_target(format COMMAND ${CLANG_FORMAT} -i ${c_files}
        WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} VERBATIM)
    add_custom_target(format-check COMMAND ${CLANG_FORMAT} --dry-run -Werror ${c_files}
        WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} VERBATIM)
endif()
# File by file with a limit each, so that one the analyser gets lost in is named. Wants a build with clang:
# cmake --build --preset clang -t tidy.
if(CLANG_TIDY)
    include(ProcessorCount)
    ProcessorCount(processors)
    file(GLOB_RECURSE tidy_files CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}
        src/*.c certs/*.c enroll/*.c)
    list(JOIN tidy_files " " tidy_files)
    add_custom_target(tidy
        COMMAND sh -c "echo ${tidy_files} | xargs -P ${processors} -n 1 timeout 300 \
            ${CLANG_TIDY} --quiet -p ${CMAKE_BINARY_DIR}"
        WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} VERBATIM)
endif()
# The manual pages and docs/reasons.md are made from the command's tables; a unit test checks that
# they are in step.
if(TARGET sealane)
    add_custom_target(man COMMAND ${CMAKE_SOURCE_DIR}/docs/update $<TARGET_FILE:sealane>
        WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} VERBATIM)
endif()
