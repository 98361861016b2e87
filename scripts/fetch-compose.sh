#!/bin/sh
# Unpacks Docker Compose v2, which this Debian release may not have, from a later one (trixie) of the
# same mirror: checked by apt as every package is, installed nowhere. Tests find it there. Does nothing
# when it is there, or when `docker compose` works.
set -eu
folder=${XDG_CACHE_HOME:-$HOME/.cache}/backend.ai/test-tools
[ ! -x "$folder/docker-compose" ] || exit 0
! docker compose version >/dev/null 2>&1 || exit 0
command -v apt-get >/dev/null 2>&1 || {
  echo 'Docker Compose v2 is missing, and this system has no apt-get to fetch it.' >&2
  exit 1
}

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/*$') || {
  echo 'Docker Compose v2 is missing, and apt knows no mirror of Debian to fetch it from.' >&2
  exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$folder"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keyring] $mirror trixie main" >"$work/sources.list"
: >"$work/status"
later() {
  apt-get -q -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o "Dir::State::Lists=$work/lists" -o "Dir::State::status=$work/status" \
    -o "Dir::Cache=$work/cache" -o APT::Sandbox::User= -o Acquire::Languages=none \
    -o Acquire::Retries=3 "$@"
}
if ! { later update && cd "$work" && later download docker-compose; } >"$work/log" 2>&1; then
  tail -n 20 "$work/log" >&2
  exit 1
fi
dpkg-deb -x "$work"/docker-compose_*.deb "$work/unpacked"
# One rename: another run may look at this moment.
mv "$work/unpacked/usr/libexec/docker/cli-plugins/docker-compose" "$folder/docker-compose.$$"
mv "$folder/docker-compose.$$" "$folder/docker-compose"
