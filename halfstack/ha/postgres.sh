#!/bin/sh
# One of two PostgreSQL servers of a machine, and the watch that decides which of them takes writes:
# `postgres.sh NAME` is what the containers `postgres` and `postgres-standby` of ha.yaml run.
#
# A file that both see says who is the primary, and `sync` or `alone`. While it says `sync`, no commit
# is acknowledged that the other server lacks. Whoever changes the file holds its lock:
# - the standby takes over only from `sync`, so it misses nothing;
# - the primary writes `alone` before it goes on without the other one;
# - a primary that reads the other one's name stops, and starts again as its standby.
set -eu
name=$1
data=$PGDATA
# A folder that belongs to postgres in the image, so its volume does, too.
roles=/var/run/postgresql/primary
# Not in that folder: a lock of a socket means nothing to processes of another container.
sockets=/tmp
# What standbys call themselves by default.
standby=walreceiver

# Attempts, half a second apart, that go unanswered before the standby takes over.
LOST_AFTER=4
# Seconds without a standby before the primary goes on alone.
ALONE_AFTER=4
# Half seconds without a stream from a primary that answers before the standby is made anew.
ANEW_AFTER=120

say() { echo "ha: $*"; }
ask() { timeout 5 psql -XAtqw --host "$sockets" --username postgres --dbname postgres --command "$1"; }
primary_answers() {
  PGCONNECT_TIMEOUT=2 timeout 3 psql -XAtqw --host 127.0.0.1 --port "$PEER_PORT" --username postgres \
    --dbname postgres --command 'SELECT 1' >/dev/null 2>&1
}
# The server ends at once, as in a crash; the container is started again and finds its role.
stop() { pg_ctl stop --pgdata "$data" --mode immediate >/dev/null; }

# change FROM TO: replaces what the file says, unless it does not say FROM any more.
change() {
  (
    flock 9
    [ "$(cat "$roles" 2>/dev/null || true)" = "$1" ] || exit 1
    echo "$2" >"$roles.new"
    # An empty file, as a power cut may leave, would name a primary that lacks what the other one has.
    sync "$roles.new" 2>/dev/null || sync
    mv "$roles.new" "$roles"
  ) 9>"$roles.lock"
}

# write_settings FOLDER: of a server; the same for both, since one is copied from the other.
write_settings() {
  cat >"$1/ha.conf" <<'END'
listen_addresses = '127.0.0.1'
wal_level = replica
max_connections = 256
# A standby that was away for longer is made anew.
wal_keep_size = 512MB
# Of a server that stands still.
wal_sender_timeout = 10s
wal_receiver_timeout = 10s
wal_retrieve_retry_interval = 1s
END
}

make_database() {
  say "$name makes the database"
  rm -rf "$data" "$data.new"
  echo "$PGPASSWORD" >/tmp/password
  initdb --pgdata "$data.new" --username postgres --pwfile /tmp/password --encoding UTF8 \
    --auth-host scram-sha-256 --auth-local trust
  rm /tmp/password
  echo "include 'ha.conf'" >>"$data.new/postgresql.conf"
  write_settings "$data.new"
  # Until it is written that this is the primary: see where no file says who is.
  touch "$data.new/ha.new"
  echo "CREATE DATABASE $POSTGRES_DB" | postgres --single -D "$data.new" postgres >/dev/null
  mv "$data.new" "$data"
}

copy_primary() {
  say "$name copies the database of $primary"
  until
    rm -rf "$data.new"
    pg_basebackup --host 127.0.0.1 --port "$PEER_PORT" --username postgres --no-password \
      --pgdata "$data.new" --write-recovery-conf --wal-method stream --checkpoint fast
  do
    sleep 1
  done
  # What it had before is not needed: all that was acknowledged is in the copy.
  rm -rf "$data"
  mv "$data.new" "$data"
}

# commits_wait_for NAMES: which standbys have to have a commit before it is acknowledged. Fails where the
# server does not answer in time, and is tried again.
commits_wait_for() {
  names=$(ask 'SHOW synchronous_standby_names') || return 1
  [ "$names" != "$1" ] || return 0
  ask "ALTER SYSTEM SET synchronous_standby_names = '$1'" && ask 'SELECT pg_reload_conf()' >/dev/null
}

# What the primary does every second.
look_at_standby() {
  read -r primary mode <"$roles"
  if [ "$primary" != "$name" ]; then
    say "$primary has taken over: $name becomes its standby"
    stop
    exit 0
  fi
  streams=$(ask "SELECT count(*) FROM pg_stat_replication
    WHERE state = 'streaming' AND application_name = '$standby'") || return 0
  if [ "$streams" = 0 ]; then
    missed=$((missed + 1))
    if [ "$mode" = sync ]; then
      [ "$missed" -ge "$ALONE_AFTER" ] && change "$name sync" "$name alone" || return 0
      say "$name goes on without a standby"
    fi
    commits_wait_for '' || return 0
  else
    missed=0
    [ "$mode" = alone ] || return 0
    if [ "$(ask 'SHOW synchronous_standby_names')" != "$standby" ]; then
      commits_wait_for "$standby" || true
      return 0
    fi
    # It was said a second ago. A commit that comes through now shows that the standby has everything.
    ask "SELECT pg_logical_emit_message(true, 'ha', '')" >/dev/null || return 0
    change "$name alone" "$name sync" && say "commits of $name wait for the standby" || return 0
  fi
}

# Makes a standby the primary that the file says it is.
promote() {
  until [ "$(ask 'SELECT pg_is_in_recovery()')" = f ]; do
    ask 'SELECT pg_promote(false)' >/dev/null || true
    sleep 0.2
  done
}

# What the standby does every half second. Returns 1 once it has become the primary.
look_at_primary() {
  if primary_answers; then
    missed=0
    if [ "$(ask "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'")" = 0 ]; then
      starved=$((starved + 1))
    else
      starved=0
    fi
    [ "$starved" -ge "$ANEW_AFTER" ] || return 0
    say "$name gets nothing from $primary, whose log it needs may be gone: it is made anew"
    rm "$data/standby.signal"
    stop
    exit 0
  fi
  missed=$((missed + 1))
  [ "$missed" -ge "$LOST_AFTER" ] || return 0
  # It answers itself, so this is not a machine that stands still.
  ask 'SELECT 1' >/dev/null || return 0
  if change "$primary sync" "$name alone"; then
    say "$primary does not answer: $name takes over"
    promote
    return 1
  fi
  [ "$missed" != "$LOST_AFTER" ] ||
    say "$primary does not answer. $name may lack what it acknowledged, and does not take over"
}

watch() {
  missed=0 starved=0
  until pg_isready --quiet --host "$sockets"; do sleep 0.2; done
  if [ "$primary" != "$name" ]; then
    # Copied from the primary; once this one takes over it has no standby.
    until commits_wait_for ''; do sleep 0.5; done
    while look_at_primary; do sleep 0.5; done
    missed=0
  else
    # It may have been killed after it wrote that it takes over, and before it did.
    promote
  fi
  while look_at_standby; do sleep 1; done
}

trap 'exit 143' TERM INT
if [ -e "$(dirname "$data")/PG_VERSION" ]; then
  say "the volume of $name was made by an earlier ha.yaml: save its data (pg_dump), then delete it"
  exit 1
fi
if [ ! -s "$roles" ]; then
  if [ -e "$data" ] && [ ! -e "$data/ha.new" ]; then
    say "nothing says any more which server has all data; $name has some. Write 'postgres alone' or" \
      "'postgres-standby alone' to $roles: the other one is made anew from that"
    exit 1
  fi
  if [ "$name" = postgres ]; then
    [ -e "$data" ] || make_database
    change '' "$name alone" || true
  else
    say "$name waits for the first primary"
    until [ -s "$roles" ]; do sleep 0.5; done
  fi
fi
read -r primary mode <"$roles"
rm -f "$data/ha.new"
if [ "$primary" != "$name" ] && [ ! -e "$data/standby.signal" ]; then copy_primary; fi

# Left by a kill. Their process ids are those of other processes by now.
rm -f "$data/postmaster.pid" "$sockets"/.s.PGSQL.*
write_settings "$data"
postgres -D "$data" --unix_socket_directories="$sockets" &
server=$!
trap 'kill -INT $server' TERM INT
# No server goes on that nobody watches.
{ (watch) || true; stop; } &
while kill -0 "$server" 2>/dev/null; do wait "$server" || true; done
