#!/bin/sh
# Installs Backend.AI: fetches the executable of this platform, checks it, and hands over to its
# installer.
#   curl -fsSL <release>/install.sh | sh -s -- --from <release> [OPTIONS OF backend.ai install]
#   sh <folder of a release>/install.sh [OPTIONS]
# A release is a folder or an address with SHA256SUMS, backend.ai-<platform>.xz and, for machines that cannot
# unpack it, the larger .gz, as scripts/build.sh --all makes it; also taken from BACKEND_RELEASE.
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
name=backend.ai-$system-$machine$suffix

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

# What unpacks xz here; nothing where only gzip is left.
unxz_with() {
  if command -v xz >/dev/null 2>&1; then echo xz
  elif command -v unxz >/dev/null 2>&1; then echo unxz
  elif python3 -c 'import lzma' >/dev/null 2>&1; then echo python3
  fi
}
unpack() { # FILE
  case $1 in
    *.gz) gzip -dc "$1" ;;
    *) case $(unxz_with) in
      xz) xz -dc "$1" ;;
      unxz) unxz -c "$1" ;;
      python3) python3 -c 'import lzma, shutil, sys
shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer, 1 << 20)' "$1" ;;
      *) return 1 ;;
    esac ;;
  esac
}
checksum() { # FILE
  if command -v sha256sum >/dev/null 2>&1; then sha256sum "$1"; else shasum -a 256 "$1"; fi |
    cut -d ' ' -f 1
}
take() { # FILE of the release, checked and unpacked
  say "⋯ fetching $1 from $release"
  fetch "$1"
  sum=$(checksum "$work/$1")
  grep -qx "$sum  $1" "$work/SHA256SUMS" || die "$1 is damaged: its checksum is $sum." \
    'Run this again; if it stays so, somebody changed the file: do not use that release.'
  say '✓ the checksum is right'
  unpack "$work/$1" >"$work/backend.ai"
}

fetch SHA256SUMS
grep -q " $name\.gz\$" "$work/SHA256SUMS" || die "The release has no build for this platform: $name." \
  "It has: $(sed -n 's/.* backend\.ai-\(.*\)\.gz$/\1/p' "$work/SHA256SUMS" | tr '\n' ' ')"
# Old programs may not know all of xz.
if [ -z "$(unxz_with)" ] || ! take "$name.xz"; then take "$name.gz"; fi
chmod 755 "$work/backend.ai"

# From a pipe, questions are asked at the terminal, if there is one.
if [ ! -t 0 ] && [ -t 1 ] && [ -r /dev/tty ]; then
  "$work/backend.ai" install "$@" </dev/tty
else
  "$work/backend.ai" install "$@"
fi
