# shellcheck shell=bash
# The Debian packages that quickstart and check need; sourced by both.
#
#   sl_packages build|demo|test...   installs those groups, all at once, when any is missing
sl_packages_build="gcc clang cmake ninja-build pkg-config libc6-dev libssl-dev libcurl4-openssl-dev
    libldap-dev libevent-dev libsqlite3-dev libjansson-dev libconfuse-dev libseccomp-dev libcap-ng-dev
    libmnl-dev check libsubunit-dev"
sl_packages_demo="iproute2 iputils-ping iperf3 tcpdump tshark openssl slapd ldap-utils jq procps curl"
sl_packages_test="debootstrap xxd clang-format clang-tidy libclang-rt-14-dev llvm-14 mandoc nftables nginx-light sqlite3
    python3 python3-scapy python3-cryptography strongswan-charon strongswan-swanctl strongswan-pki
    libcharon-extra-plugins libstrongswan-extra-plugins libstrongswan-standard-plugins scep gcovr"

sl_packages() {
    local group package missing=()
    for group in "$@"; do
        local list=sl_packages_$group
        for package in ${!list}; do
            dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
                missing+=("$package")
        done
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || { echo "root is needed to install: ${missing[*]}" >&2; return 1; }
    echo "installing ${#missing[@]} Debian packages"
    # Debian starts what it installs; nothing that is installed here is to run by itself.
    local policy=/usr/sbin/policy-rc.d made=
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && made=yes
    fi
    local log rc=0
    log=$(mktemp)
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
        --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null || rc=$?
    [ -z "$made" ] || rm -f $policy
    [ $rc = 0 ] || tail -20 "$log" >&2
    rm -f "$log"
    return $rc
}
