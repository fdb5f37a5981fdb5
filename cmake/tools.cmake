# Targets for daily work: format, format-check, tidy.
file(GLOB_RECURSE c_files CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}
    include/*.h src/*.[ch] certs/*.[ch] enroll/*.[ch] tests/*.[ch])
find_program(CLANG_FORMAT clang-format)
find_program(RUN_CLANG_TIDY NAMES run-clang-tidy run-clang-tidy-14)
if(CLANG_FORMAT)
    add_custom_target(format COMMAND ${CLANG_FORMAT} -i ${c_files}
        WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} VERBATIM)
    add_custom_target(format-check COMMAND ${CLANG_FORMAT} --dry-run -Werror ${c_files}
        WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} VERBATIM)
endif()
if(RUN_CLANG_TIDY)
    add_custom_target(tidy
        COMMAND ${RUN_CLANG_TIDY} -quiet -p ${CMAKE_BINARY_DIR} "${CMAKE_SOURCE_DIR}/(src|certs|enroll)/.*"
        WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} VERBATIM)
endif()
# The manual pages and docs/reasons.md are made from the command's tables; a unit test checks that
# they are in step.
if(TARGET sealane)
    add_custom_target(man COMMAND ${CMAKE_SOURCE_DIR}/docs/update $<TARGET_FILE:sealane>
        WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} VERBATIM)
endif()
