# shellcheck shell=bash
# Sourced by the interop tests that want strongSwan 6.0: a Debian 13 in a temporary folder, removed on exit.
# The mirror is the one that this machine's apt uses. SL_DEBIAN13=FOLDER: use one that is there already, and
# leave it.
#
#   debian13 PACKAGE...          makes $root
#   debian13_program NAME PATH   makes $root/NAME, which runs PATH with the folder's /usr over /usr, in a mount
#                                namespace of its own
[ "$(id -u)" = 0 ] || { echo "root is needed for debootstrap" >&2; exit 1; }
debian13_cleanup() {
    local at
    for at in proc sys dev/pts dev; do
        ! mountpoint -q "$root/$at" || umount "$root/$at"
    done
    rm -rf --one-file-system "$root" "$root.log"
}
debian13() {
    local mirror include
    if [ -n "${SL_DEBIAN13:-}" ]; then
        root=$SL_DEBIAN13
        return
    fi
    command -v debootstrap >/dev/null || { echo "debootstrap is missing" >&2; exit 1; }
    root=$(mktemp -d /tmp/sl-debian13.XXXXXX)
    trap debian13_cleanup EXIT
    trap 'exit 130' INT TERM
    chmod 755 "$root"
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | sort -u | head -1)
    include=$(IFS=,; echo "$*")
    debootstrap --variant=minbase --include="$include" trixie "$root" "$mirror" >"$root.log" 2>&1 ||
        { tail -20 "$root.log" >&2; echo "debootstrap failed" >&2; exit 1; }
}
debian13_program() {
    cat >"$root/$1" <<WRAPPER
#!/bin/sh
exec unshare -m sh -c 'mount --bind "$root/usr" /usr && exec $2 "\$@"' $1 "\$@"
WRAPPER
    chmod 755 "$root/$1"
}
