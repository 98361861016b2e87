#!/bin/sh
# Unpacks Ceph's servers and its FUSE client from Debian's packages, with the libraries they need that
# this machine lacks: checked by apt as every package is, installed nowhere (the packages would bring
# twice as much along). Tests find them there. Does nothing when they are there.
set -eu
folder=${XDG_CACHE_HOME:-$HOME/.cache}/backend.ai/test-tools/ceph
[ ! -x "$folder/usr/bin/ceph-fuse" ] || exit 0
command -v apt-get >/dev/null 2>&1 || {
  echo 'Ceph is missing, and this system has no apt-get to fetch it.' >&2
  exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
packages='ceph-mon ceph-mgr ceph-osd ceph-mds ceph-fuse'
is_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}
# Adds the libraries that the packages need, and those that these need in turn.
with_libraries() {
  found=$packages
  fresh=$packages
  while [ -n "$fresh" ]; do
    next=
    for library in $(apt-cache depends $fresh | sed -n 's/^[ |]*\(Pre\)\{0,1\}Depends: \(lib[^ ]*\)$/\2/p' | sort -u); do
      case " $found $next " in *" $library "*) continue ;; esac
      is_installed "$library" || next="$next $library"
    done
    found="$found$next"
    fresh=$next
  done
  echo "$found"
}
download() {
  (cd "$work" && rm -f ./*.deb && apt-get -q -o APT::Sandbox::User= -o Acquire::Retries=3 download $(with_libraries))
}
as_root=
[ "$(id -u)" = 0 ] || as_root='sudo -n'
# What apt knows of its mirror may be old, or nothing.
if ! { download || { $as_root apt-get -q update && download; }; } >"$work/log" 2>&1; then
  tail -n 20 "$work/log" >&2
  exit 1
fi
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/unpacked"; done
# Tools for the repair of a cluster, larger than its servers.
rm -rf "$work"/unpacked/usr/bin/ceph-*-tool "$work/unpacked/usr/share"
mkdir -p "$(dirname "$folder")"
# One rename: another run may look at this moment. Where it was quicker its copy stays.
mv -T "$work/unpacked" "$folder" 2>/dev/null || [ -x "$folder/usr/bin/ceph-fuse" ]
