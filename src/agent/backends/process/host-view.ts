/**
 * What a sandboxed kernel sees of the host: system software read-only, the interpreters, this
 * program; and nothing else. Home folders, data folders and what only root may read stay out.
 */
import { lstat, readdir, readlink, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { checkoutRoot, runnerCommand } from '../../../common/executable.ts';
import type { HostRuntime } from '../../../common/images/host-runtimes.ts';

/** System software lives here; homes, /var, /run, /srv, /mnt and everything else do not show. */
const SYSTEM_FOLDERS = [
  '/usr',
  '/bin',
  '/sbin',
  '/lib',
  '/lib32',
  '/lib64',
  '/etc',
  '/opt',
  '/nix',
];
/** Read by language runtimes to count CPUs. */
const DEVICE_INFO = '/sys/devices/system';
const MAX_ETC_DEPTH = 3;

/** In the sandbox, what belongs to the kernel itself lives below this folder. */
export const SANDBOX_BASE = '/run/backend.ai';
/** The parts of a checkout that the program consists of; the rest may hold secrets. */
const PROGRAM_PARTS = [
  'bin',
  'src',
  'node_modules',
  'package.json',
  'tsconfig.json',
  'bunfig.toml',
];

export interface HostView {
  /** Read-only mounts, outer ones first: [path on the host, path in the sandbox]. */
  readonly mounts: readonly (readonly [string, string])[];
  /** Symbolic links of the host's root folder: [target, path]. */
  readonly links: readonly (readonly [string, string])[];
  /** Folders inside the mounts to be covered by empty ones. */
  readonly hiddenFolders: readonly string[];
  /** Files inside the mounts to be covered by /dev/null. */
  readonly hiddenFiles: readonly string[];
  /** The runner's command line, as it is reached inside the sandbox. */
  readonly runner: readonly string[];
}

const isBelow = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(`${folder}/`);

const exists = async (path: string): Promise<boolean> =>
  (await lstat(path).catch(() => null)) !== null;

/** Where this program lies on the host, and where the sandbox shows it. */
async function programMounts(): Promise<Pick<HostView, 'mounts' | 'runner'>> {
  const executable = `${SANDBOX_BASE}/bin/backend.ai`;
  const [, ...rest] = runnerCommand();
  const mounts: [string, string][] = [[await realpath(process.execPath), executable]];
  if (checkoutRoot === null) return { mounts, runner: [executable, ...rest] };
  const root = checkoutRoot;
  const target = `${SANDBOX_BASE}/program`;
  for (const part of PROGRAM_PARTS) {
    const path = join(root, part);
    if (await exists(path)) mounts.push([await realpath(path), `${target}/${part}`]);
  }
  const moved = rest.map((word) => (isBelow(word, root) ? target + word.slice(root.length) : word));
  return { mounts, runner: [executable, ...moved] };
}

/** Things in /etc that not everybody may read; a kernel of a root agent would be able to. */
async function privateParts(
  folder: string,
  depth: number,
): Promise<{ folders: string[]; files: string[] }> {
  const folders: string[] = [];
  const files: string[] = [];
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  await Promise.all(
    entries.map(async (entry) => {
      if (entry.isSymbolicLink()) return;
      const path = join(folder, entry.name);
      const info = await stat(path).catch(() => null);
      if (!info) return;
      if (entry.isDirectory()) {
        if ((info.mode & 0o005) !== 0o005) folders.push(path);
        else if (depth < MAX_ETC_DEPTH) {
          const inner = await privateParts(path, depth + 1);
          folders.push(...inner.folders);
          files.push(...inner.files);
        }
      } else if ((info.mode & 0o004) === 0) files.push(path);
    }),
  );
  return { folders, files };
}

/**
 * Describes the host as kernels see it.
 * @param hiddenPaths folders that must not show even where system software lies, such as the agent's.
 */
export async function describeHost(
  runtimes: readonly HostRuntime[],
  hiddenPaths: readonly string[],
): Promise<HostView> {
  const mounts: [string, string][] = [];
  const links: [string, string][] = [];
  for (const path of SYSTEM_FOLDERS) {
    const info = await lstat(path).catch(() => null);
    if (info?.isSymbolicLink()) links.push([await readlink(path), path]);
    else if (info?.isDirectory()) mounts.push([path, path]);
  }
  if (await exists(DEVICE_INFO)) mounts.push([DEVICE_INFO, DEVICE_INFO]);
  const resolver = await realpath('/etc/resolv.conf').catch(() => '/etc/resolv.conf');
  if (!isBelow(resolver, '/etc') && (await exists(resolver))) {
    mounts.push([dirname(resolver), dirname(resolver)]);
  }
  const system = mounts.map(([path]) => path);
  const covers = (path: string) =>
    system.some((folder) => isBelow(path, folder)) || links.some(([, link]) => isBelow(path, link));
  const secret =
    process.getuid?.() === 0 ? await privateParts('/etc', 0) : { folders: [], files: [] };
  const hidden = hiddenPaths.filter((path) => system.some((folder) => isBelow(path, folder)));
  const own = [...new Set(runtimes.flatMap((runtime) => runtime.visiblePaths))];
  // Runtimes come after what hides a home or data folder, since they may lie inside one.
  const extra = own.filter(
    (path) => !covers(path) || hidden.some((folder) => isBelow(path, folder)),
  );
  const { mounts: programFiles, runner } = await programMounts();
  return {
    mounts: [...mounts, ...extra.sort().map((path) => [path, path] as const), ...programFiles],
    links,
    hiddenFolders: [...hidden, ...secret.folders],
    hiddenFiles: secret.files,
    runner,
  };
}
