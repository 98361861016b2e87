#!/bin/sh
# Installs the Debian packages with the real servers and tools that the tests run: Redis, etcd,
# Docker, bubblewrap, debootstrap, a terminal, a browser, Jupyter; and unpacks what would install too
# much: Docker Compose, Ceph. Does nothing when all are there.
set -eu
sh "$(dirname "$0")/fetch-compose.sh" &
compose=$!
missing=
need() { # COMMAND PACKAGE
  command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"
}
need redis-server redis-server
need etcd etcd-server
need etcdctl etcd-client
need pg_isready postgresql
need psql postgresql-client
need dockerd docker.io
need iptables iptables
need bwrap bubblewrap
need docker-registry docker-registry
need prometheus prometheus
need prometheus-alertmanager prometheus-alertmanager
need prometheus-node-exporter prometheus-node-exporter
need prometheus-postgres-exporter prometheus-postgres-exporter
need prometheus-redis-exporter prometheus-redis-exporter
need debootstrap debootstrap
need unshare util-linux
need ip iproute2
need ssh openssh-client
need systemd-analyze systemd
need tmux tmux
need chromium chromium
need python3 python3
need rsync rsync
need mkfs.xfs xfsprogs
need linux.uml user-mode-linux
need jupyter-notebook jupyter-notebook
need curl curl
need openssl openssl
need perl perl-base
need unzip unzip
need xz xz-utils
need busybox busybox-static
need musl-gcc musl-tools
unpacked_are_there() {
  wait "$compose" || echo '∙ without Docker Compose: the tests that need it say so' >&2
  sh "$(dirname "$0")/fetch-ceph.sh" || echo '∙ without Ceph: the tests that need it say so' >&2
}
if [ -z "$missing" ]; then
  unpacked_are_there
  exit 0
fi

if ! command -v apt-get >/dev/null 2>&1; then
  echo "The tests need these, and this system has no apt-get to install them:$missing" >&2
  exit 1
fi
as_root=
if [ "$(id -u)" != 0 ]; then
  as_root='sudo -n'
  if ! sudo -n true 2>/dev/null; then
    echo "Run this once, then the tests again: sudo apt-get install$missing" >&2
    exit 1
  fi
fi
echo "⋯ installing$missing" >&2
log=$(mktemp)
# No service is started by the installation: each test run starts private instances.
if ! { DEBIAN_FRONTEND=noninteractive $as_root apt-get update &&
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
  tail -n 30 "$log" >&2
  rm -f "$log"
  exit 1
fi
rm -f "$log"
unpacked_are_there
