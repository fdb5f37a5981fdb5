#!/bin/bash
# Full IKEv2 handshakes (X25519, ECDSA P-256, AES-128-GCM, one child SA each) that a strongSwan
# initiator asks of a responder: sealane and charon in turn, each fresh, SL_BENCH_RUNS (3) times
# SL_BENCH_HANDSHAKES (1000), 8 at once; initiator on CPU 1, responder on CPU 0. Prints rate, CPU per
# handshake, and memory per established SA; medians and ratios. The rate is bounded by the initiator
# as soon as the responder is the cheaper of the two, so the CPU per handshake is the comparison.
. "$(dirname "$0")/../interop/lab.sh"
runs=${SL_BENCH_RUNS:-3} count=${SL_BENCH_HANDSHAKES:-1000}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
hz=$(getconf CLK_TCK)
median() { sort -g | awk '{a[NR]=$1} END{print NR%2 ? a[(NR+1)/2] : (a[NR/2]+a[NR/2+1])/2}'; }
family() { # PID: with all descendants
    local all=("$1") p i
    for ((i = 0; i < ${#all[@]}; i++)); do
        for p in $(pgrep -P "${all[i]}"); do all+=("$p"); done
    done
    echo "${all[@]}"
}
cpu_of() { for p in $(family "$1"); do cat "/proc/$p/stat" 2>/dev/null; done |
    sed 's/.*) //' | awk -v hz="$hz" '{s += $12 + $13} END{print s / hz}'; }
rss_of() { for p in $(family "$1"); do awk '/^RssAnon/{print $2}' "/proc/$p/status" 2>/dev/null; done | awk '{s += $1} END{print s + 0}'; }
TUNE="reuse_ikesa = no
  install_routes = no
  dos_protection = no
  cookie_threshold = 0
  block_threshold = 0
  init_limit_half_open = 0
  ikesa_table_size = 4096
  ikesa_table_segments = 16
  threads = 32
  keep_alive = 0"
# The test's own names are used the other way round here: strongSwan in namespace a initiates.
lab_netns
lab_pki ecdsa
ROOT=$LAB
side() { # DIR OWN PEER OWN-ADDRESS PEER-ADDRESS OWN-NET PEER-NET EXTRA: swanctl.conf
    mkdir -p "$1/b/swanctl"/{x509,pkcs8,x509ca}
    cp "$ROOT/pki-ecdsa/$2.crt" "$1/b/swanctl/x509/"
    cp "$ROOT/pki-ecdsa/$2.key" "$1/b/swanctl/pkcs8/"
    cp "$ROOT/pki-ecdsa/ca.crt" "$1/b/swanctl/x509ca/"
    cat >"$1/b/swanctl/swanctl.conf" <<CONF
connections { t { version = 2
  local_addrs = $4
  remote_addrs = $5
  proposals = aes128gcm16-prfsha256-curve25519
  rekey_time = 0
  unique = never
  mobike = no
  local { auth = pubkey
          id = gw-$2.lab
          certs = $2.crt }
  remote { auth = pubkey
           id = gw-$3.lab }
  children { t { local_ts = $6
                 remote_ts = $7
                 esp_proposals = aes128gcm16
                 $8
                 rekey_time = 0 } } } }
CONF
}
declare -A rate cpu mem p99
measure() { # KIND RESPONDER-PID
    local ok bad seconds p50 q99 error c0 c1 m0 m1
    m0=$(rss_of "$2") c0=$(cpu_of "$2")
    read -r ok bad seconds p50 q99 error < <(python3 "$here/vici_load.py" "$ROOT/initiator/b/vici" t "$count" 8)
    c1=$(cpu_of "$2") m1=$(rss_of "$2")
    [ "$bad" = 0 ] || { echo "$1: $bad of $count handshakes failed: $error" >&2; FAILED=1; }
    [ "$ok" -gt 0 ] || return
    rate[$1]+="$(awk "BEGIN{print $ok / $seconds}") "
    cpu[$1]+="$(awk "BEGIN{print ($c1 - $c0) / $ok * 1000}") "
    mem[$1]+="$(awk "BEGIN{print ($m1 - $m0) / $ok}") "
    p99[$1]+="$q99 "
}
pin() { for p in $(family "$2"); do taskset -a -p -c "$1" "$p" >/dev/null 2>&1; done; }
for ((i = 0; i < runs; i++)); do
    for kind in sealane charon; do
        rm -rf "$ROOT/initiator" "$ROOT/responder"
        LAB=$ROOT/initiator
        mkdir -p "$LAB/b"
        keep=$NB NB=$NA
        side "$LAB" a b $OUT_A $OUT_B $NET_A $NET_B "policies = no"
        SWAN_LOG=-1 swan_start "$TUNE"
        initiator=$SWAN_PID
        NB=$keep
        swan --load-all >"$LAB/load" || die "initiator: $(cat "$LAB/load")"
        LAB=$ROOT/responder
        mkdir -p "$LAB/b" "$LAB/a"
        if [ $kind = charon ]; then
            side "$LAB" b a $OUT_B $OUT_A $NET_B $NET_A ""
            SWAN_LOG=-1 swan_start "$TUNE"
            responder=$SWAN_PID
            swan --load-all >"$LAB/load" || die "responder: $(cat "$LAB/load")"
        else
            cat >"$LAB/a/sealane.conf" <<CONF
daemon { state_dir = "$LAB/a/state"
         run_dir = "$LAB/a/run" }
ike { max_half_open_per_source = 1000
      cookie_threshold = 1000 }
identity gw-b { subject = "O=Lab,CN=gw-b.lab"
                certificate = "$ROOT/pki-ecdsa/b.crt"
                key_file = "$ROOT/pki-ecdsa/b.key" }
trust lab { anchor = { "$ROOT/pki-ecdsa/ca.crt" }
            revocation = off }
rule all { action = accept }
connection t { local = "$OUT_B"
               identity = "gw-b"
               trust = "lab"
               id_local = "dns:gw-b.lab"
               ike = { "aes128gcm16-prfsha256-curve25519" }
               dpd = 0
               child t { local_ts = { "$NET_B" }
                         remote_ts = { "$NET_A" }
                         esp = { "aes128gcm16" } } }
CONF
            ip netns exec "$NB" "$SL_BIN/sealaned" -f -c "$LAB/a/sealane.conf" >"$LAB/a/log" 2>&1 &
            responder=$!
            PIDS+=($!)
            wait_for 15 bash -c "'$SL_BIN/sealane' -c '$LAB/a/sealane.conf' status --json || [ \$? = 4 ]" || { cat "$LAB/a/log"; die "sealaned"; }
        fi
        pin 1 "$initiator"
        pin 0 "$responder"
        measure $kind "$responder"
        stop_pid "$initiator"
        stop_pid "$responder"
    done
done
LAB=$ROOT
{
    for kind in sealane charon; do
        # shellcheck disable=SC2086
        printf '%s %s %s %s %s\n' $kind "$(printf '%s\n' ${rate[$kind]} | median)" "$(printf '%s\n' ${cpu[$kind]} | median)" \
            "$(printf '%s\n' ${mem[$kind]} | median)" "$(printf '%s\n' ${p99[$kind]} | median)"
    done
} | awk -v runs="$runs" -v n="$count" '
    { r[$1] = $2; c[$1] = $3; m[$1] = $4; q[$1] = $5 }
    END {
        printf "{\"bench\":\"handshake\",\"runs\":%d,\"handshakes\":%d", runs, n
        for (k in r) printf ",\"%s_per_s\":%.1f,\"%s_cpu_ms\":%.3f,\"%s_kb_per_sa\":%.2f,\"%s_p99_ms\":%.1f", k, r[k], k, c[k], k, m[k], k, q[k]
        print "}"
        printf "full handshakes: sealane %.2f times charon as responder (%.0f against %.0f a second); CPU per handshake %.2f of charon (%.2f against %.2f ms); memory per SA %.2f of charon (%.1f against %.1f kB)\n",
            r["sealane"] / r["charon"], r["sealane"], r["charon"], c["sealane"] / c["charon"], c["sealane"], c["charon"], m["sealane"] / m["charon"], m["sealane"], m["charon"]
    }'
[ "$FAILED" = 0 ]
