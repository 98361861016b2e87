/** The sandbox built by bubblewrap. */
import { HOST_SETTINGS, SANDBOX_GID, SANDBOX_UID, type SandboxPlan } from './sandbox-plan.ts';

/** The command line that runs `command` in the planned sandbox. */
export function bubblewrapCommand(plan: SandboxPlan, command: readonly string[]): string[] {
  const { view } = plan;
  const readOnly = ([from, to]: readonly [string, string]) => ['--ro-bind', from, to];
  const isInside = (path: string, folder: string) => path.startsWith(`${folder}/`);
  // A mount that lies in a hidden folder must come after the folder was hidden.
  const late = view.mounts.filter(([, to]) => view.hiddenFolders.some((f) => isInside(to, f)));
  const early = view.mounts.filter((mount) => !late.includes(mount));
  return [
    'bwrap',
    ...['--unshare-user', '--unshare-pid', '--unshare-ipc', '--unshare-uts'],
    ...['--unshare-cgroup-try', '--new-session', '--die-with-parent'],
    ...['--uid', `${SANDBOX_UID}`, '--gid', `${SANDBOX_GID}`, '--cap-drop', 'ALL'],
    ...['--hostname', plan.hostname],
    ...early.flatMap(readOnly),
    ...view.links.flatMap(([target, path]) => ['--symlink', target, path]),
    ...view.hiddenFolders.flatMap((path) => ['--tmpfs', path]),
    ...view.hiddenFiles.flatMap((path) => ['--ro-bind', '/dev/null', path]),
    ...late.flatMap(readOnly),
    ...['--dev', '/dev', '--perms', '1777', '--size', `${plan.shmBytes}`, '--tmpfs', '/dev/shm'],
    ...plan.devices.flatMap((path) => ['--dev-bind', path, path]),
    ...['--proc', '/proc', '--symlink', '../tmp', '/var/tmp'],
    ...HOST_SETTINGS.flatMap((name) => ['--ro-bind-try', `/proc/${name}`, `/proc/${name}`]),
    ...plan.writable.flatMap(([from, to]) => ['--bind', from, to]),
    ...plan.folders.flatMap(({ from, to, readOnly: isReadOnly }) => [
      isReadOnly ? '--ro-bind' : '--bind',
      from,
      to,
    ]),
    ...plan.readOnly.flatMap(readOnly),
    ...['--remount-ro', '/', '--chdir', plan.workingFolder],
    '--',
    ...command,
  ];
}
