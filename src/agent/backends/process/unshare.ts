/** The sandbox built by util-linux's `unshare` and `mount`, for systems without bubblewrap. */
import { HOST_SETTINGS, SANDBOX_GID, SANDBOX_UID, type SandboxPlan } from './sandbox-plan.ts';

/**
 * Runs as root of a new user namespace. Its arguments are operations:
 *   ro FROM TO (read-only once sealed), seal PREFIX, rw FROM TO, link TARGET PATH, hide FOLDER,
 *   mask FILE, then `run` and the rest.
 * Everything is mounted below $root, which becomes the root folder at the end. A second user
 * namespace then takes away the right to change the mounts.
 */
const SCRIPT = `
set -eu
PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
root=$1 shm=$2 cwd=$3 hostname=$4
shift 4
fail() { echo "$*" >&2; exit 73; }
mount -t tmpfs -o mode=755,size=1m tmpfs "$root"
target() {
  if [ -d "$1" ]; then mkdir -p "$root$2"; else
    mkdir -p "$root\${2%/*}"; [ -e "$root$2" ] || : > "$root$2"
  fi
}
seal() {
  # The slash after each point makes a prefix match whole names; $root itself stays as it is.
  # Submounts keep their own flags; each is made read-only with them.
  while read -r _ _ _ _ point flags _; do
    case "$point/" in "$root\${1%/}"/?* | "$root$1/"*)
      mount -o "remount,bind,ro,\${flags#r[wo],}" "$point" || fail "can't protect $point" ;;
    esac
  done < /proc/self/mountinfo
}
while [ "$1" != run ]; do
  case $1 in
    ro) target "$2" "$3"; mount --rbind "$2" "$root$3"; shift 3 ;;
    seal) seal "$2"; shift 2 ;;
    rw) target "$2" "$3"; mount --bind "$2" "$root$3"; shift 3 ;;
    link) mkdir -p "$root\${3%/*}"; ln -s "$2" "$root$3"; shift 3 ;;
    hide) mount -t tmpfs -o mode=755,size=64k tmpfs "$root$2"; shift 2 ;;
    device) target "$2" "$2"; mount --bind "$2" "$root$2"; shift 2 ;;
    mask) mount --bind /dev/null "$root$2"; shift 2 ;;
    *) fail "unknown operation $1" ;;
  esac
done
shift
mkdir -p "$root/dev/shm" "$root/dev/pts" "$root/proc" "$root/old"
for name in null zero full random urandom tty; do
  [ -e "/dev/$name" ] || continue
  : > "$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
for name in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/\${name%%:*}" "$root/dev/\${name#*:}"; done
ln -s /proc/self/fd "$root/dev/fd"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
mount -t tmpfs -o "mode=1777,nosuid,nodev,size=$shm" tmpfs "$root/dev/shm"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
hostname "$hostname" 2> /dev/null || echo "$hostname" > /proc/sys/kernel/hostname
for name in ${HOST_SETTINGS.join(' ')}; do
  [ -e "$root/proc/$name" ] || continue
  mount --bind "$root/proc/$name" "$root/proc/$name"
  mount -o remount,bind,ro,nosuid,nodev,noexec "$root/proc/$name" || fail "can't protect /proc/$name"
done
cd "$root"
pivot_root . old
umount -l /old
rmdir /old
mount -o remount,bind,ro tmpfs /
cd "$cwd"
exec unshare --user --map-user=${SANDBOX_UID} --map-group=${SANDBOX_GID} -- "$@"
`;

/** The command line that runs `command` in the planned sandbox. */
export function unshareCommand(plan: SandboxPlan, command: readonly string[]): string[] {
  const { view } = plan;
  const sealed = ([from, to]: readonly [string, string]) => ['ro', from, to, 'seal', to];
  const operation = (name: string) => (pair: readonly [string, string]) => [name, ...pair];
  const isInside = (path: string, folder: string) => path.startsWith(`${folder}/`);
  const late = view.mounts.filter(([, to]) => view.hiddenFolders.some((f) => isInside(to, f)));
  const early = view.mounts.filter((mount) => !late.includes(mount));
  return [
    ...['unshare', '--user', '--map-root-user', '--mount', '--pid', '--ipc', '--uts'],
    ...['--fork', '--kill-child', '--propagation', 'private', '--'],
    ...['/bin/sh', '-c', SCRIPT, 'backend.ai-sandbox'],
    ...[plan.rootFolder, `${plan.shmBytes}`, plan.workingFolder, plan.hostname],
    ...early.flatMap(operation('ro')),
    ...['seal', '/'],
    ...view.links.flatMap(operation('link')),
    ...view.hiddenFolders.flatMap((path) => ['hide', path]),
    ...view.hiddenFiles.flatMap((path) => ['mask', path]),
    ...late.flatMap(sealed),
    ...['link', '../tmp', '/var/tmp'],
    ...plan.devices.flatMap((path) => ['device', path]),
    ...plan.writable.flatMap(operation('rw')),
    ...plan.folders.flatMap(({ from, to, readOnly }) =>
      readOnly ? sealed([from, to]) : ['rw', from, to],
    ),
    ...plan.readOnly.flatMap(sealed),
    'run',
    ...command,
  ];
}
