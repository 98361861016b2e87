/**
 * Mounts network file systems on this node, and makes them mounted when it starts, as superadmins ask
 * for. Whoever may ask for that is not meant to be root of the node: nothing that lies on it can be
 * mounted elsewhere, and neither devices nor set-user-id programs of a mounted file system have effect.
 */
import { mkdir, readdir, rename, rm, rmdir, stat, unlink, writeFile } from 'node:fs/promises';
import { isAbsolute, join, normalize } from 'node:path';
import { BackendError, errorCode } from '../common/errors.ts';
import { readFstab, readMounts } from '../common/mounts.ts';

const NETWORK_TYPES = ['nfs', 'nfs4', 'cifs', 'smb3', 'ceph', 'glusterfs', 'lustre', 'beegfs'];
/** Mounting may wait for a server that is not there. Milliseconds. */
const TIMEOUT_MS = 15_000;
const ALWAYS = 'nosuid,nodev';
const FORBIDDEN = /^(r?bind|move|remount|suid|dev|loop(=.*)?|user|users|owner|group|x-mount\..*)$/i;

export interface VolumeMount {
  /** Absolute path of the folder that mount points are in. */
  readonly below: string;
  /** Of the mount point. */
  readonly name: string;
  /** A file named `fstab` that is changed too; null: none. */
  readonly fstab: string | null;
}

export interface NewVolumeMount extends VolumeMount {
  /** What is mounted, such as `server:/export`. */
  readonly location: string;
  readonly type: string;
  /** With commas between them; empty for none. */
  readonly options: string;
}

const invalid = (message: string): BackendError =>
  new BackendError('InvalidAPIParameters', message);

function pointOf({ below, name }: VolumeMount): string {
  if (!isAbsolute(below) || normalize(below) !== below || below.endsWith('/')) {
    throw invalid(`volumes/_mount must be an absolute path of a folder, not '${below}'.`);
  }
  if (/^\w[\w.-]{0,63}$/.test(name)) return join(below, name);
  throw invalid(`'${name}' is no name of a mount: use up to 64 letters, digits, '-', '_' and '.'.`);
}

function check({ location, type, options }: NewVolumeMount, types: readonly string[]): void {
  if (!types.includes(type)) {
    throw invalid(
      `File systems of the type '${type}' are not mounted; these are: ${types.join(', ')}.`,
    );
  }
  // Nothing that an fstab would take for the end of a field, or mount(8) for an option.
  if (!/^[^\s\\#-][^\s\\]{0,1000}$/.test(location)) {
    throw invalid(`'${location}' names nothing that can be mounted, such as server:/export.`);
  }
  if (!/^[\w.,:=@/%+-]{0,1000}$/.test(options)) {
    throw invalid(`The options '${options}' have characters that no option has.`);
  }
  const forbidden = options.split(',').find((option) => FORBIDDEN.test(option));
  if (forbidden !== undefined) throw invalid(`The option '${forbidden}' cannot be used here.`);
}

const optionsOf = ({ options }: NewVolumeMount): string =>
  options === '' ? ALWAYS : `${options},${ALWAYS}`;

/** @throws BackendError with what the program complains of. */
async function run(command: readonly string[]): Promise<void> {
  const child = Bun.spawn([...command], {
    ...{ stdin: 'ignore', stdout: 'ignore', stderr: 'pipe' },
    ...{ timeout: TIMEOUT_MS, killSignal: 'SIGKILL', env: { ...process.env, LC_ALL: 'C' } },
  });
  const complaint = (await new Response(child.stderr).text()).trim();
  if ((await child.exited) === 0) return;
  const late = `it did not end within ${TIMEOUT_MS / 1000} seconds`;
  throw new BackendError(
    'InternalServerError',
    `${command[0]} failed: ${complaint || (child.signalCode === null ? 'for no reason given' : late)}`,
  );
}

/** Leaves out the lines of a mount point, and adds one. Whoever reads it meanwhile finds the old one. */
async function changeFstab(path: string, point: string, line: string | null): Promise<void> {
  const kept = (await readFstab(path))
    .split('\n')
    .filter((text) => text.trimStart().startsWith('#') || text.trim().split(/\s+/)[1] !== point);
  while (kept.at(-1) === '') kept.pop();
  const text = [...kept, ...(line === null ? [] : [line]), ''].join('\n');
  const { mode } = await stat(path);
  const staging = `${path}.backend.ai-new`;
  // Where sessions write too, a link could lead to any file of the machine: only a new one is written.
  await rm(staging, { force: true });
  await writeFile(staging, text, { flag: 'wx', mode: mode & 0o777, flush: true });
  await rename(staging, path).catch(async (error: unknown) => {
    await unlink(staging);
    throw error;
  });
}

/** @returns whether it was missing. */
async function makeFolder(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o755 });
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

/**
 * @param types of file systems that may be mounted.
 * @returns what to tell.
 * @throws BackendError InvalidAPIParameters; what mounting or the fstab file fails with, after which
 *   nothing is mounted.
 */
export async function mountVolume(
  wanted: NewVolumeMount,
  types: readonly string[] = NETWORK_TYPES,
): Promise<string> {
  const point = pointOf(wanted);
  check(wanted, types);
  if ((await readMounts(point)).includes(point)) throw invalid(`${point} is mounted already.`);
  if (wanted.fstab !== null) await readFstab(wanted.fstab);
  await mkdir(wanted.below, { recursive: true });
  const isNew = await makeFolder(point);
  if ((await readdir(point)).length > 0)
    throw invalid(`${point} holds files, which would be hidden.`);
  const { type, location, fstab } = wanted;
  const options = optionsOf(wanted);
  try {
    await run(['mount', '-t', type, '-o', options, location, point]);
  } catch (error) {
    if (isNew) await rmdir(point);
    throw error;
  }
  try {
    const line = `${location} ${point} ${type} ${options},_netdev 0 0`;
    if (fstab !== null) await changeFstab(fstab, point, line);
  } catch (error) {
    await run(['umount', point]);
    throw error;
  }
  return `${location} is mounted at ${point}.`;
}

/**
 * @returns what to tell.
 * @throws BackendError InvalidAPIParameters when nothing is mounted there; what umount(8) complains of.
 */
export async function unmountVolume(wanted: VolumeMount): Promise<string> {
  const point = pointOf(wanted);
  const isMounted = (await readMounts(point)).includes(point);
  if (!isMounted) throw invalid(`Nothing is mounted at ${point}.`);
  await run(['umount', point]);
  if (wanted.fstab !== null) await changeFstab(wanted.fstab, point, null);
  return `${point} is mounted no more.`;
}
