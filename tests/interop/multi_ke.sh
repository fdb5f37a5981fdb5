# shellcheck shell=bash
# Sourced by multi_ke.test and mlkem.test, after lab.sh: connections with additional key exchanges, made and
# rekeyed by each side while packets run.
# setup IKE-PROPOSAL ESP-PROPOSAL [more lines of sealane's connection]
setup() {
    [ -z "${SL_PID:-}" ] || sl_stop
    : >"$LAB/a/log" 2>/dev/null
    SL_IKE="\"$1\"" SL_ESP="\"$2\"" SL_CONN_EXTRA="${3:-}" sl_conf ecdsa
    IKE=$1 ESP=$2 swan_conn ecdsa
    sl_start
}
up_by() { # sealane|strongswan
    if [ "$1" = sealane ]; then sl up t; else swan --initiate --child t --timeout 20; fi
}
rekey_by() { # sealane|strongswan ike|child
    case $1,$2 in
        sealane,ike) sl rekey t --ike ;;
        sealane,child) sl rekey t ;;
        strongswan,ike) swan --rekey --ike t ;;
        strongswan,child) swan --rekey --child t ;;
    esac
}
down() {
    sl down t >/dev/null 2>&1
    wait_for 5 both_down
}
mark() { MARK=$(wc -l <"$LAB/b/charon.log"); }
swan_said() { tail -n "+$((MARK + 1))" "$LAB/b/charon.log" | grep -q -- "$1"; }
spis() { sl sas --json | jq -c '[.. | objects | select(has("spi_in")) | .spi_in]'; }
ike_ids() { sl sas --json | jq -c '[.. | objects | select(has("spi_i")) | .spi_i]'; }
changed() { # FUNCTION BEFORE
    [ "$("$1")" != "$2" ] && both_up
}
# rekeys BY: a rekey of each kind while packets run, none of which may be lost
rekeys() {
    local kind of before
    for kind in child ike; do
        of=spis
        [ $kind = child ] || of=ike_ids
        before=$($of)
        mark
        ip netns exec "$NA" ping -q -c 120 -i 0.02 -W 2 -I $IN_A $IN_B >"$LAB/ping" 2>&1 &
        PING=$!
        PIDS+=("$PING")
        ok "$WHAT: $kind rekey by $1" rekey_by "$1" $kind
        ok "$WHAT: there is a successor, and it alone" wait_for 10 changed $of "$before"
        ok "$WHAT: by IKE_FOLLOWUP_KE" swan_said IKE_FOLLOWUP_KE
        wait "$PING"
        ok "$WHAT: no packet was lost" grep -q ' 0% packet loss' "$LAB/ping"
        ok "$WHAT: ping" ping_ba
    done
}

run() { # IKE-PROPOSAL ESP-PROPOSAL [more]
    local by before=$FAILED
    for by in sealane strongswan; do
        WHAT="$by begins, $1"
        say "$WHAT"
        setup "$1" "$2" "${3:-}"
        mark
        ok "$WHAT: up" up_by $by
        ok "$WHAT: by IKE_INTERMEDIATE" swan_said IKE_INTERMEDIATE
        ok "$WHAT: both have it" wait_for 5 both_up
        ok "$WHAT: ping" ping_ab
        rekeys sealane
        rekeys strongswan
        down
        [ "$FAILED" = "$before" ] || logs
    done
}
