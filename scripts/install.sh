#!/bin/sh
# Installs Backend.AI: fetches the executable of this platform, checks it, and hands over to its
# installer.
#   curl -fsSL <release>/install.sh | sh -s -- --from <release> [OPTIONS OF backend.ai install]
#   sh <folder of a release>/install.sh [OPTIONS]
# A release is a folder or an address with SHA256SUMS and backend.ai-<platform>.gz, as
# scripts/build.sh --all makes it; also taken from BACKEND_RELEASE.
set -eu

say() { printf '%s\n' "$*" >&2; }
die() {
  say "✗ $1"
  [ $# -lt 2 ] || say "  → $2"
  exit 1
}

release=${BACKEND_RELEASE:-}
case ${1:-} in
  --from)
    [ $# -ge 2 ] || die '--from needs the address or folder of a release.'
    release=$2
    shift 2
    ;;
  --from=*)
    release=${1#--from=}
    shift
    ;;
esac
if [ -z "$release" ]; then
  here=$(cd "$(dirname "$0")" && pwd -P)
  [ -f "$here/SHA256SUMS" ] || die 'Which release is meant is not said.' \
    'Name its address or folder: install.sh --from ADDRESS'
  release=$here
fi

case $(uname -s) in
  Linux) system=linux ;;
  Darwin) system=darwin ;;
  *) die "$(uname -s) is not supported." 'Use Linux or macOS; on Windows, WSL 2.' ;;
esac
case $(uname -m) in
  x86_64 | amd64) machine=x64 ;;
  aarch64 | arm64) machine=arm64 ;;
  *) die "Processors of type $(uname -m) are not supported." 'There are builds for x86_64 and arm64.' ;;
esac
suffix=
if [ "$system" = linux ]; then
  for loader in /lib/ld-musl-*; do
    [ ! -e "$loader" ] || [ -e /lib64/ld-linux-x86-64.so.2 ] || [ -e /lib/ld-linux-aarch64.so.1 ] ||
      suffix=-musl
  done
fi
file=backend.ai-$system-$machine$suffix.gz

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

fetch() { # NAME
  case $release in
    http://* | https://*)
      if command -v curl >/dev/null 2>&1; then
        curl -fL --retry 3 --connect-timeout 20 --proto '=http,https' --progress-bar \
          -o "$work/$1" "${release%/}/$1"
      elif command -v wget >/dev/null 2>&1; then
        wget -q --tries=3 --timeout=20 -O "$work/$1" "${release%/}/$1"
      else
        die 'Neither curl nor wget is installed.' 'Install one of them and run this again.'
      fi ;;
    *) cp "$release/$1" "$work/$1" ;;
  esac || die "$1 could not be fetched from $release." 'Check the address and the network.'
}

say "⋯ fetching $file from $release"
fetch SHA256SUMS
grep -q " $file\$" "$work/SHA256SUMS" || die "The release has no build for this platform: $file." \
  "It has: $(sed -n 's/.* backend\.ai-\(.*\)\.gz$/\1/p' "$work/SHA256SUMS" | tr '\n' ' ')"
fetch "$file"
if command -v sha256sum >/dev/null 2>&1; then
  sum=$(sha256sum "$work/$file" | cut -d ' ' -f 1)
else
  sum=$(shasum -a 256 "$work/$file" | cut -d ' ' -f 1)
fi
grep -qx "$sum  $file" "$work/SHA256SUMS" || die "$file is damaged: its checksum is $sum." \
  'Run this again; if it stays so, somebody changed the file: do not use that release.'
say '✓ the checksum is right'
gzip -dc "$work/$file" >"$work/backend.ai"
chmod 755 "$work/backend.ai"

# From a pipe, questions are asked at the terminal, if there is one.
if [ ! -t 0 ] && [ -t 1 ] && [ -r /dev/tty ]; then
  "$work/backend.ai" install "$@" </dev/tty
else
  "$work/backend.ai" install "$@"
fi
