/** What user programs get to see: working folder, home and environment variables. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { runnerEnvironment, unshieldVariables } from '../common/protocol/runner.ts';

const WORK_FOLDER = '/home/work';
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Folders that images and accelerator drivers put programs in, searched last. */
const EXTRA_PATHS = [
  '/home/linuxbrew/.linuxbrew/bin',
  '/usr/local/nvidia/bin',
  '/usr/local/cuda/bin',
];

export type Environment = Readonly<Record<string, string | undefined>>;

/** The folder that programs run in and file operations are confined to. */
export function workFolder(env: Environment, preferred = WORK_FOLDER): string {
  if (isFolder(preferred)) return preferred;
  const home = env.HOME;
  return home !== undefined && isFolder(home) ? home : process.cwd();
}

/** The environment of user programs: the runner's, less its own variables, plus the usual ones. */
export function userEnvironment(env: Environment, home: string): Record<string, string> {
  const own: ReadonlySet<string> = new Set(Object.values(runnerEnvironment));
  const others: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && !own.has(name)) others[name] = value;
  }
  const result = unshieldVariables(others);
  result.HOME = home;
  result.LANG = 'C.UTF-8';
  result.TERM = 'xterm';
  result.SHELL ??= existsSync('/bin/bash') ? '/bin/bash' : '/bin/sh';
  result.PATH = extendPath(result.PATH ?? DEFAULT_PATH, home);
  return result;
}

function extendPath(path: string, home: string): string {
  const folders = path.split(':').filter((folder) => folder !== '');
  const local = join(home, '.local/bin');
  const extra = EXTRA_PATHS.filter((folder) => !folders.includes(folder) && existsSync(folder));
  return [...(folders.includes(local) ? [] : [local]), ...folders, ...extra].join(':');
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** The full path of a program: `name` itself when it is a path, else searched on `path`. */
export function findProgram(name: string, path: string): string | null {
  if (name.includes('/')) return isExecutable(name) ? name : null;
  for (const folder of path.split(':')) {
    const candidate = join(folder, name);
    if (folder !== '' && isExecutable(candidate)) return candidate;
  }
  return null;
}

function isExecutable(path: string): boolean {
  const info = statSync(path, { throwIfNoEntry: false });
  return info?.isFile() === true && (info.mode & 0o111) !== 0;
}
