# shellcheck shell=bash
# Shared by the system tests; sourced, never run. Gives a scratch folder ($TMP, reachable by the roles'
# users), namespaces, starting sealaned and waiting for it, questions over the control socket, and
# cleaning up: processes by pid, namespaces by name (which carries our pid), the folder by path.
#
#   SL_BIN      folder of sealaned and sealane (set by ctest)
#   SL_KEEP=1   keep the scratch folder
set -u
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SL_BIN=${SL_BIN:-$HERE/../../build/dev}
[ "$(id -u)" = 0 ] || { echo "this test needs root: it makes network namespaces" >&2; exit 1; }
TMP=$(mktemp -d /tmp/sealane-test.XXXXXX)
chmod 755 "$TMP"
PIDS=() SPACES=() FAILED=0

say() { printf '## %s\n' "$*"; }
pass() { printf 'PASS %s\n' "$*"; }
fail() { printf 'FAIL %s\n' "$*"; FAILED=$((FAILED + 1)); }
die() {
    printf 'FATAL %s\n' "$*" >&2
    local log
    for log in "$TMP"/*/log; do
        [ -f "$log" ] && { echo "--- end of $log" >&2; tail -40 "$log" >&2; }
    done
    FAILED=$((FAILED + 1))
    exit 1
}
# check WHAT COMMAND...: passes when the command does
check() {
    local what=$1
    shift
    if "$@"; then pass "$what"; else fail "$what"; fi
}
# wait_for SECONDS COMMAND...
wait_for() {
    local i n=$(($1 * 20))
    shift
    for ((i = 0; i < n; i++)); do "$@" >/dev/null 2>&1 && return 0; sleep 0.05; done
    return 1
}

cleanup() {
    local rc=$? p n
    trap - EXIT INT TERM
    for p in "${PIDS[@]:-}"; do [ -n "$p" ] && kill "$p" 2>/dev/null; done
    for p in "${PIDS[@]:-}"; do
        [ -n "$p" ] || continue
        wait_for 15 bash -c "! kill -0 $p 2>/dev/null" || kill -9 "$p" 2>/dev/null
        wait "$p" 2>/dev/null
    done
    for n in "${SPACES[@]:-}"; do [ -n "$n" ] && ip netns del "$n" 2>/dev/null; done
    if [ "${SL_KEEP:-0}" = 1 ]; then echo "kept: $TMP"; else rm -rf "$TMP"; fi
    [ "$FAILED" = 0 ] || rc=1
    [ "$rc" = 0 ] && echo "all good" || echo "not good: $FAILED checks failed"
    exit "$rc"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# space NAME: a network namespace with loopback; its full name goes to the variable NAME
space() {
    local full="sl-$1-$$"
    ip netns add "$full" || die "namespace $full"
    SPACES+=("$full")
    ip -n "$full" link set lo up
    printf -v "$1" %s "$full"
}
# wire A ADDRESS/LEN B ADDRESS/LEN: a veth pair between two namespaces; the device is veth0 in both
wire() {
    ip -n "$1" link add veth0 type veth peer name veth0 netns "$3" || die "veth"
    ip -n "$1" addr add "$2" dev veth0
    ip -n "$3" addr add "$4" dev veth0
    ip -n "$1" link set veth0 up
    ip -n "$3" link set veth0 up
}

# config NAME: a configuration from standard input, its daemon section added
config() {
    mkdir -p "$TMP/$1"
    {
        cat <<CONF
daemon { state_dir = "$TMP/$1/state"
         run_dir = "$TMP/$1/run"
         log_level = "${SL_LOG_LEVEL:-info}" }
CONF
        cat
    } >"$TMP/$1/sealane.conf"
}
# ctl NAME VERB [JSON]: asks the daemon NAME, prints its answer lines; fails when it cannot be asked
# or the last answer is not OK
ctl() {
    python3 - "$TMP/$1/run/control.sock" "$2" "${3:-{\}}" <<'PY'
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(30)
try:
    s.connect(sys.argv[1])
    f = s.makefile("rw")
    f.write(json.dumps({"verb": sys.argv[2], "args": json.loads(sys.argv[3])}) + "\n")
    f.flush()
    answer = {"rc": "NONE", "more": True}
    while answer.get("more"):
        line = f.readline()
        if not line:
            break
        answer = json.loads(line)
        print(line.strip())
except OSError as e:
    sys.exit(f"control socket: {e}")
sys.exit(0 if answer["rc"] == "OK" else 1)
PY
}
# start NAME SPACE: runs sealaned with that configuration in that namespace, waits until it answers
start() {
    ip netns exec "$2" "$SL_BIN/sealaned" -f -c "$TMP/$1/sealane.conf" >>"$TMP/$1/log" 2>&1 &
    PIDS+=($!)
    printf -v "PID_$1" %s $!
    wait_for 20 ctl "$1" status || die "sealaned $1 did not start"
}
# stop NAME: ends it in order; fails when its exit status is not 0
stop() {
    local pid=PID_$1
    kill "${!pid}" && wait "${!pid}"
}
# pid_of NAME ROLE: of a running role
pid_of() {
    ctl "$1" status 2>/dev/null | jq -er ".data.processes[] | select(.name==\"$2\" and .state==\"running\") | .pid"
}
restarts_of() { ctl "$1" status | jq -er ".data.processes[] | select(.name==\"$2\") | .restarts"; }
