# shellcheck shell=bash
# Shared by all tests that are shell scripts; sourced, by system/lib.sh and interop/lab.sh, never run.
# Gives a scratch folder ($TMP, reachable by the roles' users), checks that are counted, waiting, and
# cleaning up: processes by pid, namespaces by name (which carries our pid), the folder by path.
#
#   SL_BIN      folder of sealaned and sealane (set by ctest)
#   SL_KEEP=1   keep the scratch folder
set -u
SL_BIN=${SL_BIN:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/build/dev}
[ "$(id -u)" = 0 ] || { echo "this test needs root: it makes network namespaces" >&2; exit 1; }
TMP=$(mktemp -d /tmp/sealane-test.XXXXXX)
chmod 755 "$TMP"
PIDS=() SPACES=() FAILED=0 PASSED=0

pass() { PASSED=$((PASSED + 1)); printf 'PASS %s\n' "$*"; }
fail() { FAILED=$((FAILED + 1)); printf 'FAIL %s\n' "$*"; }
die() {
    printf 'FATAL %s\n' "$*" >&2
    local log
    for log in "$TMP"/*/log; do
        [ -f "$log" ] && { echo "--- end of $log" >&2; tail -40 "$log" >&2; }
    done
    FAILED=$((FAILED + 1))
    exit 1
}
# check WHAT COMMAND...: passes when the command does; what it prints is shown
check() {
    local what=$1
    shift
    if "$@"; then pass "$what"; else fail "$what"; fi
}
# ok WHAT COMMAND..., not WHAT COMMAND...: the command must succeed, or fail; what it prints is shown
# only when it does not
ok() {
    local what=$1
    shift
    if "$@" >"$TMP/last.out" 2>&1; then pass "$what"
    else fail "$what"; sed 's/^/    /' "$TMP/last.out" | tail -15; fi
}
not() {
    local what=$1
    shift
    if "$@" >"$TMP/last.out" 2>&1; then fail "$what"; sed 's/^/    /' "$TMP/last.out" | tail -15
    else pass "$what"; fi
}
# wait_for SECONDS COMMAND...
wait_for() {
    local i n=$(($1 * 20))
    shift
    for ((i = 0; i < n; i++)); do "$@" >/dev/null 2>&1 && return 0; sleep 0.05; done
    return 1
}
# stop_pid PID: it and its children, and waits
stop_pid() {
    local p kids
    kids=$(pgrep -P "$1")
    for p in "$1" $kids; do kill "$p" 2>/dev/null; done
    for p in "$1" $kids; do
        wait_for 15 bash -c "! kill -0 $p 2>/dev/null" || kill -9 "$p" 2>/dev/null
    done
    wait "$1" 2>/dev/null
}
# add_space NAME: a network namespace with loopback
add_space() {
    ip netns add "$1" || die "namespace $1"
    SPACES+=("$1")
    ip -n "$1" link set lo up
}

cleanup() {
    local rc=$? p n
    trap - EXIT INT TERM
    for p in "${PIDS[@]:-}"; do [ -n "$p" ] && stop_pid "$p"; done
    for n in "${SPACES[@]:-}"; do [ -n "$n" ] && ip netns del "$n" 2>/dev/null; done
    if [ "${SL_KEEP:-0}" = 1 ]; then echo "kept: $TMP"; else rm -rf "$TMP"; fi
    [ "$FAILED" = 0 ] || rc=1
    [ $((PASSED + FAILED)) = 0 ] || printf '\n%d checks passed, %d failed\n' "$PASSED" "$FAILED"
    exit "$rc"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
