# shellcheck shell=bash
# Shared by the system tests; sourced, never run. Gives, beside what is in ../common.sh, namespaces,
# starting sealaned and waiting for it, and questions over the control socket.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$HERE/../common.sh"

say() { printf '## %s\n' "$*"; }

# space NAME: a network namespace with loopback; its full name goes to the variable NAME
space() {
    add_space "sl-$1-$$"
    printf -v "$1" %s "sl-$1-$$"
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
