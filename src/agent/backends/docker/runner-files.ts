/**
 * The folder that every container sees read-only at /opt/backend.ai: the runner's executable and,
 * beside it, the loader and C library it was made for. Started through that loader it runs in any
 * image, whatever C library the image has, or none.
 */
import { createHash } from 'node:crypto';
import {
  chmod,
  constants,
  copyFile,
  link,
  mkdir,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { UserError } from '../../../common/errors.ts';
import type { RunnerExecutable } from './runner-executable.ts';

export const RUNNER_MOUNT = '/opt/backend.ai';
const EXECUTABLE = 'backend.ai';

/** Names by which the executable asks for its libraries; which of them exist depends on the age. */
const GLIBC = ['libc.so.6', 'libm.so.6', 'libdl.so.2', 'libpthread.so.0', 'librt.so.1'];
const MUSL = ['libstdc++.so.6', 'libgcc_s.so.1'];

export interface RunnerFiles {
  /** On the host. */
  readonly folder: string;
  /** Starts the runner, inside a container. */
  readonly command: string[];
}

interface LibraryPlace {
  readonly loader: string;
  readonly folder: string;
  readonly names: readonly string[];
}

/**
 * Where this very process, which was made by the same compiler, has its loader and C library from.
 * @param maps the text of /proc/self/maps.
 */
export function loadedLibraries(maps: string): LibraryPlace | null {
  const paths = [...new Set(maps.match(/(?<=\s)\/\S*\.so[\w.-]*$/gm) ?? [])];
  const find = (pattern: RegExp) => paths.find((path) => pattern.test(basename(path)));
  const musl = find(/^ld-musl-/);
  const library = find(musl === undefined ? /^libc[.-]/ : /^libstdc\+\+\./);
  // Glibc before 2.34 calls the file ld-2.31.so.
  const loader = musl ?? find(/^ld-(linux|\d)/);
  if (loader === undefined || library === undefined) return null;
  return { loader, folder: dirname(library), names: musl === undefined ? GLIBC : MUSL };
}

/** Links are made where they can be: a copy of the executable costs a hundred megabytes. */
async function provide(source: string, target: string): Promise<void> {
  const { mode } = await stat(source);
  // Containers run as other users, who need these bits; a link would share the original's.
  if ((mode & 0o555) === 0o555) {
    const linked = await link(source, target).then(
      () => true,
      () => false,
    );
    if (linked) return;
  }
  await copyFile(source, target, constants.COPYFILE_FICLONE);
  await chmod(target, 0o755);
}

interface Libraries {
  readonly loader: string;
  readonly files: readonly string[];
}

async function findLibraries(): Promise<Libraries> {
  const maps = await readFile('/proc/self/maps', 'utf8').catch(() => '');
  const place = loadedLibraries(maps);
  if (place === null) {
    throw new UserError('The docker backend works on Linux only.', {
      hint: 'Use `--backend process` here, or run the agent on a Linux machine.',
    });
  }
  const paths = place.names.map((name) => join(place.folder, name));
  const infos = await Promise.all(paths.map((path) => stat(path).catch(() => null)));
  return { loader: place.loader, files: paths.filter((_, index) => infos[index] !== null) };
}

/** Changes whenever the files would. */
async function keyOf(files: readonly string[], args: readonly string[]): Promise<string> {
  const hash = createHash('sha256').update(args.join('\0'));
  for (const file of files) {
    const { size, mtimeMs, ino } = await stat(file);
    hash.update(`${file} ${size} ${mtimeMs} ${ino}\n`);
  }
  return hash.digest('hex').slice(0, 20);
}

/**
 * Makes the folder below `stateDir` unless it is there.
 * @param options.mayPrune deletes folders of earlier versions; only when no container uses them.
 * @throws UserError on other systems than Linux.
 */
export async function prepareRunnerFiles(
  stateDir: string,
  executable: RunnerExecutable,
  options: { mayPrune: boolean },
): Promise<RunnerFiles> {
  const { loader, files } = await findLibraries();
  const source = await realpath(executable.path);
  const all = join(stateDir, 'runner');
  const folder = join(all, await keyOf([source, loader, ...files], executable.args));
  if ((await stat(folder).catch(() => null)) === null) {
    const draft = `${folder}.${process.pid}.${performance.now()}`;
    await mkdir(join(draft, 'lib'), { recursive: true, mode: 0o755 });
    await chmod(join(draft, 'lib'), 0o755);
    await chmod(draft, 0o755);
    for (const file of [loader, ...files]) {
      await provide(await realpath(file), join(draft, 'lib', basename(file)));
    }
    await provide(source, join(draft, EXECUTABLE));
    await rename(draft, folder).catch(async (error: NodeJS.ErrnoException) => {
      await rm(draft, { recursive: true, force: true });
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  }
  if (options.mayPrune) {
    for (const name of await readdir(all)) {
      if (join(all, name) !== folder) await rm(join(all, name), { recursive: true, force: true });
    }
  }
  const lib = `${RUNNER_MOUNT}/lib`;
  return {
    folder,
    command: [
      `${lib}/${basename(loader)}`,
      '--library-path',
      lib,
      `${RUNNER_MOUNT}/${EXECUTABLE}`,
      ...executable.args,
    ],
  };
}
