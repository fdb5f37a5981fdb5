#!/bin/bash
# Throughput between two namespaces over one veth pair: no tunnel, sealane, strongSwan's
# kernel-libipsec (both AES-128-GCM in UDP) and wireguard-go, in turn, SL_BENCH_RUNS (5) times; medians
# and ratios. TCP with one stream for SL_BENCH_SECONDS (3) s; CPU seconds per gigabyte of both daemons.
. "$(dirname "$0")/../interop/lab.sh"
runs=${SL_BENCH_RUNS:-5} seconds=${SL_BENCH_SECONDS:-3}
kinds=(none sealane libipsec)
command -v wireguard-go >/dev/null && command -v wg >/dev/null && kinds+=(wireguard)
hz=$(getconf CLK_TCK)
median() { sort -g | awk '{a[NR]=$1} END{print NR%2 ? a[(NR+1)/2] : (a[NR/2]+a[NR/2+1])/2}'; }
# CPU seconds used by the processes given and all their descendants
cpu_of() {
    local all=("$@") p i
    for ((i = 0; i < ${#all[@]}; i++)); do
        for p in $(pgrep -P "${all[i]}"); do all+=("$p"); done
    done
    for p in "${all[@]}"; do cat "/proc/$p/stat" 2>/dev/null; done |
        sed 's/.*) //' | awk -v hz="$hz" '{s += $12 + $13} END{print s / hz}'
}
declare -A rate cpu
one() { # KIND FROM TO NAMESPACE-A NAMESPACE-B PID...
    local kind=$1 from=$2 to=$3 na=$4 nb=$5 c0 c1 server
    shift 5
    ip netns exec "$nb" iperf3 -s -1 -B "$to" >/dev/null 2>&1 &
    server=$!
    sleep 0.3
    c0=$(cpu_of "$@")
    if ip netns exec "$na" timeout $((seconds + 10)) iperf3 -c "$to" -B "$from" -J -t "$seconds" >"$LAB/iperf"; then
        c1=$(cpu_of "$@")
        rate[$kind]+="$(jq .end.sum_received.bits_per_second "$LAB/iperf") "
        cpu[$kind]+="$(jq -r ".end.sum_received.bytes" "$LAB/iperf" | awk -v c="$(awk "BEGIN{print $c1 - $c0}")" '{print c / ($1 / 1e9)}') "
    else
        echo "$kind: $(jq -r .error "$LAB/iperf")" >&2
        FAILED=1
    fi
    wait $server
}
# Three pairs of namespaces, all up at once and idle but for the one that is measured.
lab_pki ecdsa
pair() { NA=$1 NB=$2; lab_netns; }
pair "bn1-$$" "bn2-$$"
none_a=$NA none_b=$NB
pair "bs1-$$" "bs2-$$"
sl_a=$NA sl_b=$NB
sealane_gateway() { # SIDE NAMESPACE
    NA=$2
    sl_conf ecdsa
    if [ "$1" = b ]; then
        mkdir -p "$LAB/b"
        sed -e "s#$LAB/a/#$LAB/b/#g" -e 's/identity gw-a/identity gw-b/; s/"gw-a"/"gw-b"/' \
            -e "s#/a\.crt#/b.crt#; s#/a\.key#/b.key#; s/CN=gw-a/CN=gw-b/" \
            -e "s/local = \"$OUT_A\"/local = \"X\"/; s/remote = \"$OUT_B\"/remote = \"$OUT_A\"/; s/\"X\"/\"$OUT_B\"/" \
            -e 's/id_local = "dns:gw-a/id_local = "dns:Y/; s/id_remote = "dns:gw-b/id_remote = "dns:gw-a/; s/dns:Y/dns:gw-b/' \
            -e "s#local_ts = { \"$NET_A\" }#local_ts = { Z }#; s#remote_ts = { \"$NET_B\" }#remote_ts = { \"$NET_A\" }#; s#Z#\"$NET_B\"#" \
            "$LAB/a/sealane.conf" >"$LAB/b/sealane.conf"
    fi
    ip netns exec "$2" "$SL_BIN/sealaned" -f -c "$LAB/$1/sealane.conf" >"$LAB/$1/sealaned.log" 2>&1 &
    PIDS+=($!)
    printf -v "SL_PID_$1" %s $!
    wait_for 15 bash -c "'$SL_BIN/sealane' -c '$LAB/$1/sealane.conf' status --json || [ \$? = 4 ]" || { cat "$LAB/$1/sealaned.log"; die "sealaned $1"; }
}
SL_CONN_EXTRA='force_encap = true'
sealane_gateway b "$sl_b"
sealane_gateway a "$sl_a"
"$SL_BIN/sealane" -c "$LAB/a/sealane.conf" up t >"$LAB/up" || { cat "$LAB/up"; die "no tunnel (sealane)"; }

pair "bl1-$$" "bl2-$$"
li_a=$NA li_b=$NB
LAB_B=$LAB/b
swan_side() { # SIDE NAMESPACE LOCAL REMOTE LOCAL-NET REMOTE-NET PEER
    LAB=$LAB_ROOT/swan-$1
    mkdir -p "$LAB/b"
    NB=$2
    swan_start
    printf -v "SWAN_PID_$1" %s "$SWAN_PID"
    mkdir -p "$LAB/b/swanctl"/{x509,pkcs8,x509ca}
    cp "$LAB_ROOT/pki-ecdsa/$1.crt" "$LAB/b/swanctl/x509/"
    cp "$LAB_ROOT/pki-ecdsa/$1.key" "$LAB/b/swanctl/pkcs8/"
    cp "$LAB_ROOT/pki-ecdsa/ca.crt" "$LAB/b/swanctl/x509ca/"
    cat >"$LAB/b/swanctl/swanctl.conf" <<CONF
connections { t { version = 2
  local_addrs = $3
  remote_addrs = $4
  proposals = aes128gcm16-prfsha256-curve25519
  rekey_time = 0
  local { auth = pubkey
          id = gw-$1.lab
          certs = $1.crt }
  remote { auth = pubkey
           id = gw-$7.lab }
  children { t { local_ts = $5
                 remote_ts = $6
                 esp_proposals = aes128gcm16
                 rekey_time = 0 } } } }
CONF
    swan --load-all >"$LAB/load" || die "swanctl: $(cat "$LAB/load")"
}
LAB_ROOT=$LAB
swan_side b "$li_b" $OUT_B $OUT_A $NET_B $NET_A a
swan_side a "$li_a" $OUT_A $OUT_B $NET_A $NET_B b
swan --initiate --child t --timeout 10 >"$LAB/up" || { cat "$LAB/up"; die "no tunnel (strongSwan)"; }
LAB=$LAB_ROOT

if [[ " ${kinds[*]} " == *" wireguard "* ]]; then
    pair "bw1-$$" "bw2-$$"
    wg_a=$NA wg_b=$NB
    ka=$(wg genkey) kb=$(wg genkey)
    wg_side() { # NAMESPACE KEY PEER-KEY PEER-ADDRESS NET SRC
        local dev=w${1:2:1}$$
        ip netns exec "$1" env WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD=1 LOG_LEVEL=error wireguard-go -f "$dev" >"$LAB/wg.log" 2>&1 &
        PIDS+=($!)
        WG_PIDS+=($!)
        wait_for 10 test -S "/var/run/wireguard/$dev.sock" || die "wireguard-go: $(cat "$LAB/wg.log")"
        ip netns exec "$1" wg set "$dev" private-key <(echo "$2") listen-port 51820 peer "$(wg pubkey <<<"$3")" \
            allowed-ips "$5" endpoint "$4:51820" || die wg
        ip -n "$1" link set "$dev" up
        ip -n "$1" route add "$5" dev "$dev" src "$6"
    }
    WG_PIDS=()
    wg_side "$wg_a" "$ka" "$kb" $OUT_B $NET_B $IN_A
    wg_side "$wg_b" "$kb" "$ka" $OUT_A $NET_A $IN_B
fi
for ((i = 0; i < runs; i++)); do
    for kind in "${kinds[@]}"; do
        case $kind in
            none) one none $OUT_A $OUT_B "$none_a" "$none_b" ;;
            sealane) one sealane $IN_A $IN_B "$sl_a" "$sl_b" "$SL_PID_a" "$SL_PID_b" ;;
            libipsec) one libipsec $IN_A $IN_B "$li_a" "$li_b" "$SWAN_PID_a" "$SWAN_PID_b" ;;
            wireguard) one wireguard $IN_A $IN_B "$wg_a" "$wg_b" "${WG_PIDS[@]}" ;;
        esac
    done
done
{
    for kind in "${kinds[@]}"; do
        # shellcheck disable=SC2086
        printf '%s %s %s\n' "$kind" "$(printf '%s\n' ${rate[$kind]} | median)" "$(printf '%s\n' ${cpu[$kind]} | median)"
    done
} | awk -v runs="$runs" -v s="$seconds" '
    { k[NR] = $1; r[$1] = $2; c[$1] = $3 }
    END {
        printf "{\"bench\":\"tunnel\",\"runs\":%d,\"seconds\":%d", runs, s
        for (i = 1; i <= NR; i++) printf ",\"%s_bit_per_s\":%.0f,\"%s_cpu_s_per_gbyte\":%.3f", k[i], r[k[i]], k[i], c[k[i]]
        print "}"
        printf "TCP, one stream: sealane %.2f times kernel-libipsec (%.2f against %.2f Gbit/s)", r["sealane"] / r["libipsec"], r["sealane"] / 1e9, r["libipsec"] / 1e9
        if ("wireguard" in r) printf ", %.2f times wireguard-go", r["sealane"] / r["wireguard"]
        printf ", %.2f of no tunnel; CPU per gigabyte %.2f of kernel-libipsec\n", r["sealane"] / r["none"], c["sealane"] / c["libipsec"]
    }'
[ "$FAILED" = 0 ]
