#!/bin/sh
# Installs Backend.AI: fetches the executable of this platform, checks it, and hands over to its
# installer.
#   curl -fsSL <release>/install.sh | sh -s -- --from <release> [OPTIONS OF backend.ai install]
#   wget -qO- <release>/install.sh | sh -s -- --from <release> [OPTIONS]
#   sh <folder of a release>/install.sh [OPTIONS]
# A release is a folder or an address with SHA256SUMS, backend.ai-<platform>.xz and, for machines that cannot
# unpack it, the larger .gz, as scripts/build.sh --all makes it; also taken from BACKEND_RELEASE.
# Proxies are those of the environment (http_proxy, https_proxy); TMPDIR is where it is unpacked first.
set -eu

say() { printf '%s\n' "$*" >&2; }
die() {
  say "✗ $1"
  [ $# -lt 2 ] || say "  → $2"
  exit 1
}

find_platform() {
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
}

# A folder for what is fetched, in which programs may be run: /tmp may be mounted noexec.
make_work() {
  for place in "${TMPDIR:-/tmp}" "${HOME:-/nonexistent}" /var/tmp; do
    work=$(mktemp -d "$place/backend.ai-install.XXXXXX" 2>/dev/null) || continue
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\n' >"$work/try" && chmod 700 "$work/try" && "$work/try" 2>/dev/null && return
    rm -rf "$work"
  done
  die "There is no folder to unpack into: not ${TMPDIR:-/tmp}, ${HOME:-no home}, /var/tmp." \
    'One of them must be writable and allow programs to be run; TMPDIR names another.'
}

download() { # ADDRESS FILE [goes on where FILE ends]
  if command -v curl >/dev/null 2>&1; then
    curl -fL --connect-timeout 20 --speed-limit 1000 --speed-time 30 --proto '=http,https' --progress-bar \
      ${3:+-C -} -o "$2" "$1"
  elif command -v wget >/dev/null 2>&1; then
    # Some builds of BusyBox know fewer options.
    known=$(wget --help 2>&1) || true
    patience=
    case $known in *--tries*) patience='-t 1 -T 20' ;; *'-T SEC'*) patience='-T 20' ;; esac
    # shellcheck disable=SC2086
    wget -q $patience ${3:+-c} -O "$2" "$1"
  else
    die 'Neither curl nor wget is installed.' 'Install one of them and run this again.'
  fi
}

fetch() { # NAME
  case $release in
    http://* | https://*)
      rest=
      for attempt in 1 2 3; do
        [ "$attempt" = 1 ] || say "⋯ once more ($attempt of 3)"
        code=0
        download "${release%/}/$1" "$work/$1" "$rest" || code=$?
        case $code in
          0) return ;;
          22 | 8) break ;; # curl and wget: the server said no
        esac
        if [ -n "$rest" ] || [ ! -s "$work/$1" ]; then
          # A server that knows no parts of files, or did not begin.
          rm -f "$work/$1"
          rest=
        else rest=1; fi
        sleep 1
      done
      remedy='Check the address and the network.' ;;
    *)
      if cp "$release/$1" "$work/$1"; then return; fi
      remedy='Is that the folder of a release, and one that you may read?' ;;
  esac
  check_room
  die "$1 could not be fetched from $release." "$remedy"
}

# When something could not be written: whether that was for lack of room.
check_room() {
  left=$(df -Pk "$work" 2>/dev/null | awk 'NR == 2 { print int($4 / 1024) }') || left=
  [ -z "$left" ] || [ "$left" -ge 300 ] ||
    die "$work has only $left MB left." 'Make room for 300 MB, or name another folder: TMPDIR=FOLDER'
}

# What unpacks xz here; nothing where only gzip is left.
unxz_with() {
  if command -v xz >/dev/null 2>&1; then echo xz
  elif command -v unxz >/dev/null 2>&1; then echo unxz
  # The one of macOS without developer tools would only ask to install them.
  elif { [ "$system" != darwin ] || xcode-select -p >/dev/null 2>&1; } &&
    python3 -c 'import lzma' >/dev/null 2>&1; then echo python3
  elif command -v dpkg-deb >/dev/null 2>&1; then echo dpkg-deb
  fi
}
# Debian's smallest systems unpack xz in packages only: this is one whose data is the file.
as_package() { # FILE
  size=$(($(wc -c <"$1")))
  printf '!<arch>\n'
  member debian-binary 4
  printf '2.0\n'
  member control.tar 0
  member data.tar.xz "$size"
  cat "$1"
  [ $((size % 2)) -eq 0 ] || echo
}
member() { # NAME SIZE: the head of a file within a package
  printf '%-16s%-12s%-6s%-6s%-8s%-10s`\n' "$1" 0 0 0 100644 "$2"
}
unpack() { # FILE
  case $1 in
    *.gz) gzip -dc "$1" ;;
    *) case $(unxz_with) in
      xz) xz -dc "$1" ;;
      unxz) unxz -c "$1" ;;
      python3) python3 -c 'import lzma, shutil, sys
shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer, 1 << 20)' "$1" ;;
      dpkg-deb) as_package "$1" | dpkg-deb --fsys-tarfile - ;;
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
  unpack "$work/$1" >"$work/backend.ai" || return 1
  rm "$work/$1"
}
take_any() {
  # Old programs may not know all of xz.
  if [ -n "$(unxz_with)" ]; then
    if take "$name.xz"; then return; fi
    check_room
    rm -f "$work/$name.xz"
  fi
  if take "$name.gz"; then return; fi
  check_room
  die "$name.gz could not be unpacked." 'What gzip says is above.'
}

# Whether it runs at all.
try_out() {
  chmod 755 "$work/backend.ai"
  code=0
  "$work/backend.ai" --version >/dev/null || code=$?
  case $code in
    0) ;;
    132) die 'This processor lacks instructions that the executable uses.' \
      'On x86_64 these are SSE4.2 (Intel since 2008, AMD since 2011). A virtual machine may hide them: give it the processor type of its host.' ;;
    127) die 'The executable does not run on this machine: a library is missing.' \
      "What the system says is above${suffix:+; on Alpine: apk add libstdc++ libgcc}." ;;
    *) die "The executable does not run on this machine: exit code $code." 'What the system says is above.' ;;
  esac
}

# In a function: when the script comes from a pipe and ends early, nothing of it was run.
main() {
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
  find_platform
  make_work
  fetch SHA256SUMS
  grep -q " $name\.gz\$" "$work/SHA256SUMS" || die "The release has no build for this platform: $name." \
    "It has: $(sed -n 's/.* backend\.ai-\(.*\)\.gz$/\1/p' "$work/SHA256SUMS" | tr '\n' ' ')"
  take_any
  try_out
  # From a pipe, questions are asked at the terminal, if there is one.
  if [ ! -t 0 ] && [ -t 1 ] && (: </dev/tty) 2>/dev/null; then
    "$work/backend.ai" install "$@" </dev/tty
  else
    "$work/backend.ai" install "$@"
  fi
}
main "$@"
