# Libraries of Debian 12; all required but libipsec-mb.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
add_library(sealane_deps INTERFACE)
foreach(module libcrypto>=3.0 libssl>=3.0 libcurl ldap lber libevent libevent_pthreads sqlite3 jansson
        libconfuse libseccomp libcap-ng libmnl)
    string(REGEX REPLACE "[^a-zA-Z0-9]" "_" var ${module})
    pkg_check_modules(dep_${var} REQUIRED IMPORTED_TARGET ${module})
    target_link_libraries(sealane_deps INTERFACE PkgConfig::dep_${var})
endforeach()
target_link_libraries(sealane_deps INTERFACE Threads::Threads)
