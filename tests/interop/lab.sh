# shellcheck shell=bash
# Shared by the interop tests; sourced, never run. Two gateways in two network namespaces:
#
#        a: sealane                              b: strongSwan (or another peer)
#        10.11.0.1/24 on lo   10.99.0.1 ==== 10.99.0.2   10.12.0.1/24 on lo
#        fd11::1/64           fd99::1            fd99::2 fd12::1/64
#
# With lab_netns nat, a third namespace n stands between them and masquerades a's address:
# a 10.98.0.1 -- 10.98.0.254 n 10.99.0.254 -- b 10.99.0.2.
#
# Everything made is undone on exit (../common.sh).
. "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
LAB=$TMP
NA=sla-$$ NB=slb-$$ NN=sln-$$
OUT_A=10.99.0.1 OUT_B=10.99.0.2 IN_A=10.11.0.1 IN_B=10.12.0.1
NET_A=10.11.0.0/24 NET_B=10.12.0.0/24
CHARON=${SWAN_CHARON:-/usr/lib/ipsec/charon}

say() { printf '\n== %s\n' "$*"; }
space() { add_space "$1"; } # NAME
lab_end() { exit $((FAILED > 0)); }

[ "$(id -u)" = 0 ] || die "root is needed for network namespaces"
SWANCTL=${SWAN_CTL:-swanctl}
for tool in ip ping openssl "$SWANCTL" pki "$CHARON" "$SL_BIN/sealaned" "$SL_BIN/sealane"; do
    command -v "$tool" >/dev/null || die "$tool is missing"
done

lab_netns() { # [nat]
    space "$NA"
    space "$NB"
    if [ "${1:-}" = nat ]; then
        space "$NN"
        OUT_A=10.98.0.1
        ip -n "$NA" link add veth0 type veth peer name veth0 netns "$NN"
        ip -n "$NB" link add veth0 type veth peer name veth1 netns "$NN"
        ip -n "$NN" addr add 10.98.0.254/24 dev veth0
        ip -n "$NN" addr add 10.99.0.254/24 dev veth1
        ip -n "$NN" link set veth0 up
        ip -n "$NN" link set veth1 up
        ip netns exec "$NN" sysctl -qw net.ipv4.ip_forward=1
        ip netns exec "$NN" nft -f - <<'NFT' || die "nft"
table ip nat {
  chain post { type nat hook postrouting priority 100; oifname "veth1" masquerade random; }
}
NFT
        ip -n "$NA" addr add 10.98.0.1/24 dev veth0
        ip -n "$NB" addr add 10.99.0.2/24 dev veth0
    else
        ip -n "$NA" link add veth0 type veth peer name veth0 netns "$NB"
        ip -n "$NA" addr add 10.99.0.1/24 dev veth0
        ip -n "$NB" addr add 10.99.0.2/24 dev veth0
        ip -n "$NA" addr add fd99::1/64 dev veth0 nodad
        ip -n "$NB" addr add fd99::2/64 dev veth0 nodad
    fi
    ip -n "$NA" link set veth0 up
    ip -n "$NB" link set veth0 up
    [ "${1:-}" = nat ] && ip -n "$NA" route add default via 10.98.0.254
    ip -n "$NA" addr add $IN_A/24 dev lo
    ip -n "$NB" addr add $IN_B/24 dev lo
    ip -n "$NA" addr add fd11::1/64 dev lo nodad
    ip -n "$NB" addr add fd12::1/64 dev lo nodad
}

# lab_pki ALG: a CA and end entities a and b in $LAB/pki-ALG (rsa, ecdsa, ecdsa384, ed25519)
lab_pki() {
    local d=$LAB/pki-$1 gen who
    [ -d "$d" ] && return 0
    mkdir -p "$d"
    case $1 in
        rsa) gen="rsa -pkeyopt rsa_keygen_bits:2048" ;;
        ecdsa) gen="ec -pkeyopt ec_paramgen_curve:P-256" ;;
        ecdsa384) gen="ec -pkeyopt ec_paramgen_curve:P-384" ;;
        ed25519) gen="ed25519" ;;
        *) die "lab_pki $1" ;;
    esac
    # shellcheck disable=SC2086
    {
        openssl genpkey -algorithm $gen -out "$d/ca.key"
        openssl req -x509 -new -key "$d/ca.key" -subj "/O=Lab/CN=Lab CA $1" -days 30 -out "$d/ca.crt" \
            -addext keyUsage=critical,keyCertSign,cRLSign
        for who in a b; do
            openssl genpkey -algorithm $gen -out "$d/$who.key"
            openssl req -new -key "$d/$who.key" -subj "/O=Lab/CN=gw-$who.lab" -out "$d/$who.csr"
            openssl x509 -req -in "$d/$who.csr" -CA "$d/ca.crt" -CAkey "$d/ca.key" -CAcreateserial \
                -days 10 -out "$d/$who.crt" -extfile <(printf '%s\n' basicConstraints=CA:FALSE \
                keyUsage=critical,digitalSignature extendedKeyUsage=ipsecIKE,serverAuth,clientAuth \
                "subjectAltName=DNS:gw-$who.lab" authorityKeyIdentifier=keyid subjectKeyIdentifier=hash)
        done
    } >"$LAB/pki.log" 2>&1 || die "pki: $(tail -5 "$LAB/pki.log")"
}

# ---- strongSwan in namespace b -------------------------------------------------------------------
# kernel-libipsec stands ahead of kernel-netlink, so that it provides ESP in user space and netlink
# only addresses and routes. charon's pid file is fixed, so it gets a /run of its own.
swan_start() { # [extra text inside charon { }]
    mkdir -p "$LAB/b/swanctl"/{x509,x509ca,private,rsa,ecdsa,pkcs8,x509crl}
    cat >"$LAB/b/strongswan.conf" <<CONF
charon {
  load = random nonce drbg aes sha1 sha2 md5 hmac kdf gmp openssl curve25519 gcm chapoly x509 revocation ${SWAN_PLUGINS:-} constraints pubkey pkcs1 pkcs7 pkcs8 pem kernel-libipsec kernel-netlink socket-default vici counters
  retransmit_tries = 3
  retransmit_timeout = 1.0
  filelog { f { path = $LAB/b/charon.log
                flush_line = yes
                time_format = %T
                default = ${SWAN_LOG:-1}
                ike = ${SWAN_LOG:-2}
                cfg = ${SWAN_LOG:-2} } }
  plugins { vici { socket = unix://$LAB/b/vici }
            kernel-libipsec { allow_peer_ts = yes } }
  ${1:-}
}
CONF
    ip netns exec "$NB" unshare -m bash -c \
        'mount -t tmpfs tmpfs /run && exec env STRONGSWAN_CONF="$1" "$2"' _ "$LAB/b/strongswan.conf" "$CHARON" \
        >"$LAB/b/stdout.log" 2>&1 &
    SWAN_PID=$!
    PIDS+=("$SWAN_PID")
    wait_for 15 test -S "$LAB/b/vici" || { tail -20 "$LAB/b/charon.log" "$LAB/b/stdout.log" >&2; die "charon did not start"; }
}
swan() { # swanctl-command arguments...
    local cmd=$1
    shift
    SWANCTL_DIR=$LAB/b/swanctl STRONGSWAN_CONF=$LAB/b/strongswan.conf \
        "$SWANCTL" "$cmd" --uri "unix://$LAB/b/vici" "$@" 2>&1
}
# swan_conn ALG|psk: loads connection t. From the environment: IKE, ESP (proposals), SWAN_VERSION (of IKE),
# SWAN_REKEY (time), SWAN_IKE_EXTRA,
# SWAN_REMOTE_EXTRA, SWAN_CHILD_EXTRA, PEER (address of a, %any behind NAT)
swan_conn() {
    local auth=pubkey d=$LAB/pki-$1 key=pkcs8
    rm -f "$LAB/b/swanctl"/{x509,x509ca,rsa,ecdsa,pkcs8,private}/*
    if [ "$1" = psk ]; then auth=psk
    else
        cp "$d/b.crt" "$LAB/b/swanctl/x509/"
        cp "$d/b.key" "$LAB/b/swanctl/$key/"
        cp "$d/ca.crt" "$LAB/b/swanctl/x509ca/"
    fi
    cat >"$LAB/b/swanctl/swanctl.conf" <<CONF
connections { t {
  version = ${SWAN_VERSION:-2}
  local_addrs = ${SWAN_LOCAL:-$OUT_B}
  remote_addrs = ${PEER:-$OUT_A}
  proposals = ${IKE:-aes128gcm16-prfsha256-curve25519}
  rekey_time = ${SWAN_REKEY:-0}
  mobike = no
  ${SWAN_IKE_EXTRA:-}
  local { auth = $auth
          id = gw-b.lab
          $([ $auth = psk ] || echo certs = b.crt) }
  remote { auth = $auth
           id = gw-a.lab
           ${SWAN_REMOTE_EXTRA:-} }
  children { t { local_ts = ${TS_B:-$NET_B}
                 remote_ts = ${TS_A:-$NET_A}
                 esp_proposals = ${ESP:-aes128gcm16}
                 rekey_time = 0
                 ${SWAN_CHILD_EXTRA:-} } }
} }
secrets { ike-1 { id-1 = gw-a.lab
                  id-2 = gw-b.lab
                  secret = "interop-psk-0123456789" } }
CONF
    swan --load-all --clear >"$LAB/b/load.log" || die "swanctl --load-all: $(cat "$LAB/b/load.log")"
}

# ---- sealane in namespace a ----------------------------------------------------------------------
# sl_conf ALG|psk: writes $LAB/a/sealane.conf. From the environment: SL_IKE, SL_ESP (lists in quotes),
# SL_REVOCATION, SL_CONN_EXTRA, SL_CHILD_EXTRA, SL_EXTRA (top level)
sl_conf() {
    local d=$LAB/pki-$1
    mkdir -p "$LAB/a"
    {
        cat <<CONF
daemon { state_dir = "$LAB/a/state"
         run_dir = "$LAB/a/run"
         log_level = "debug" }
CONF
        if [ "$1" = psk ]; then
            printf 'interop-psk-0123456789\n' >"$LAB/a/psk"
            chmod 600 "$LAB/a/psk"
            echo "psk peer { file = \"$LAB/a/psk\" }"
        else
            cat <<CONF
identity gw-a { subject = "O=Lab,CN=gw-a.lab"
                certificate = "$d/a.crt"
                key_file = "$d/a.key" }
trust lab { anchor = { "$d/ca.crt" }
            revocation = ${SL_REVOCATION:-off} }
CONF
        fi
        cat <<CONF
rule all { action = accept }
connection t {
    local = "${SL_LOCAL:-$OUT_A}"
    remote = "${SL_REMOTE:-$OUT_B}"
    $(if [ "$1" = psk ]; then echo 'auth = psk'; echo 'psk = "peer"'; else echo 'identity = "gw-a"'; echo 'trust = "lab"'; fi)
    id_local = "dns:gw-a.lab"
    id_remote = "dns:gw-b.lab"
    ike = { ${SL_IKE:-\"aes128gcm16-prfsha256-curve25519\"} }
    dpd = ${SL_DPD:-0}
    ${SL_CONN_EXTRA:-}
    child t {
        local_ts = { "${TS_A:-$NET_A}" }
        remote_ts = { "${TS_B:-$NET_B}" }
        esp = { ${SL_ESP:-\"aes128gcm16\"} }
        ${SL_CHILD_EXTRA:-}
    }
}
${SL_EXTRA:-}
CONF
    } >"$LAB/a/sealane.conf"
}
sl() { "$SL_BIN/sealane" -c "$LAB/a/sealane.conf" "$@"; }
# Exit status 3 of status: no daemon there; 4: there, and something is not well.
sl_answers() { sl status --json || [ $? = 4 ]; }
sl_start() {
    rm -rf "$LAB/a/state" "$LAB/a/run"
    ip netns exec "$NA" "$SL_BIN/sealaned" -f -c "$LAB/a/sealane.conf" >>"$LAB/a/log" 2>&1 &
    SL_PID=$!
    PIDS+=("$SL_PID")
    wait_for 15 sl_answers || { tail -30 "$LAB/a/log" >&2; die "sealaned did not start"; }
}
sl_stop() { stop_pid "$SL_PID"; }

ping_ab() { ip netns exec "$NA" ping -q -c "${1:-3}" -i 0.05 -W 2 -I $IN_A $IN_B; }
ping_ba() { ip netns exec "$NB" ping -q -c "${1:-3}" -i 0.05 -W 2 -I $IN_B $IN_A; }
ping6_ab() { ip netns exec "$NA" ping -6 -q -c "${1:-3}" -i 0.05 -W 2 -I fd11::1 fd12::1; }
# Both sides agree that there is exactly one IKE SA and one child SA.
both_up() {
    [ "$(sl sas --json | jq '[.. | objects | select(has("spi_in"))] | length')" = 1 ] &&
        [ "$(swan --list-sas | grep -c 'INSTALLED')" = 1 ]
}
both_down() {
    [ "$(sl sas --json | jq '[.. | objects | select(has("spi_in"))] | length')" = 0 ] &&
        [ "$(swan --list-sas | grep -c 'INSTALLED')" = 0 ]
}
logs() { # what both said, for a failed check
    tail -25 "$LAB/a/log" | sed 's/^/    sealane: /'
    tail -25 "$LAB/b/charon.log" | sed 's/^/    charon: /'
}
