# shellcheck shell=bash
# Sourced by the interop tests that want strongSwan 6.0: a Debian 13 in a temporary folder, removed on exit;
# with suite=NAME another Debian.
# The mirror is the one that this machine's apt uses. SL_DEBIAN13=FOLDER: use one that is there already, and
# leave it.
#
#   debian13 PACKAGE...          makes $root
#   debian13_charon [PACKAGE...] the same with strongSwan, and $root/charon13 and $root/swanctl13
#   debian13_program NAME PATH   makes $root/NAME, which runs PATH with the folder's /usr over /usr, in a mount
#                                namespace of its own
#   debian13_libcrypto NAME PATH makes $root/NAME, which runs our program PATH with the folder's libcrypto, and
#                                what that needs, over ours
[ "$(id -u)" = 0 ] || { echo "root is needed for debootstrap" >&2; exit 1; }
debian13_cleanup() {
    local at
    for at in proc sys dev/pts dev; do
        ! mountpoint -q "$root/$at" || umount "$root/$at"
    done
    rm -rf --one-file-system "$root" "$root.log"
}
debian13_strongswan="strongswan-charon strongswan-swanctl strongswan-pki libcharon-extra-plugins
    libstrongswan-standard-plugins libstrongswan-extra-plugins"
# Into $root, a new folder.
debian13_make() {
    local mirror include
    command -v debootstrap >/dev/null || { echo "debootstrap is missing" >&2; return 1; }
    chmod 755 "$root"
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | sort -u | head -1)
    include=$(IFS=,; echo "$*")
    debootstrap --variant=minbase --include="$include" "${suite:-trixie}" "$root" "$mirror" >"$root.log" 2>&1 ||
        { tail -20 "$root.log" >&2; echo "debootstrap failed" >&2; return 1; }
}
debian13() {
    if [ -n "${SL_DEBIAN13:-}" ]; then
        root=$SL_DEBIAN13
        return
    fi
    root=$(mktemp -d /tmp/sl-debian13.XXXXXX)
    trap debian13_cleanup EXIT
    trap 'exit 130' INT TERM
    debian13_make "$@" || exit 1
}
# charon13 and swanctl13 in $root
debian13_charon() {
    # shellcheck disable=SC2086
    debian13 $debian13_strongswan "$@"
    debian13_program charon13 /usr/lib/ipsec/charon
    debian13_program swanctl13 /usr/sbin/swanctl
}
debian13_program() {
    cat >"$root/$1" <<WRAPPER
#!/bin/sh
exec unshare -m sh -c 'mount --bind "$root/usr" /usr && exec $2 "\$@"' $1 "\$@"
WRAPPER
    chmod 755 "$root/$1"
}
debian13_libcrypto() {
    local lib
    lib=/usr/lib/$(gcc -print-multiarch)
    mkdir -p "$root/only"
    cat >"$root/$1" <<WRAPPER
#!/bin/sh
exec unshare -m sh -c 'mount -t tmpfs tmpfs "$root/only" &&
    for f in libcrypto.so.3 libssl.so.3 libz.so.1 libzstd.so.1 libc.so.6 ld-linux-x86-64.so.2 libm.so.6 \
        libresolv.so.2 libpthread.so.0 libdl.so.2 librt.so.1; do
        cp -L "$root$lib/\$f" "$root/only/" || exit 1
    done &&
    mount -t overlay overlay -o "lowerdir=$root/only:$lib" $lib && exec $2 "\$@"' $1 "\$@"
WRAPPER
    chmod 755 "$root/$1"
}
