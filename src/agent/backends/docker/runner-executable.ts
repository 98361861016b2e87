/**
 * The executable that is mounted into containers as their runner. The compiled product is its own;
 * from a checkout the runner is compiled once and kept until the sources change.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Glob } from 'bun';
import type { Clock } from '../../../common/clock.ts';
import { UserError } from '../../../common/errors.ts';
import { checkoutRoot } from '../../../common/executable.ts';

const COMPILE_TIMEOUT_MS = 120_000;
/** Runners of other sources are deleted when they were not used for this long. */
const KEEP_MS = 3600 * 1000;
const PREFIX = 'kernel-runner-';
const SOURCES = ['bin/kernel-runner.ts', 'src/{kernel,common}/**/*', 'package.json'];

/** The executable, and the arguments that make it a runner. */
export interface RunnerExecutable {
  readonly path: string;
  readonly args: readonly string[];
}

async function hashOfSources(root: string): Promise<string> {
  const hash = createHash('sha256').update(Bun.version);
  for (const pattern of SOURCES) {
    const files = await Array.fromAsync(new Glob(pattern).scan({ cwd: root, onlyFiles: true }));
    for (const file of files.sort()) {
      if (file.includes('.test.')) continue;
      hash.update(`\n${file}\n`).update(await readFile(join(root, file)));
    }
  }
  return hash.digest('hex').slice(0, 20);
}

/** A folder for what can be made again: that of the installed packages, if it can be written. */
async function cacheFolder(root: string): Promise<string> {
  const candidates = [
    join(root, 'node_modules/.cache/backend.ai'),
    join(tmpdir(), `backend.ai-cache-${process.getuid?.() ?? 0}`),
  ];
  for (const folder of candidates) {
    const made = await mkdir(folder, { recursive: true, mode: 0o755 }).then(
      () => true,
      () => false,
    );
    const info = made ? await stat(folder) : null;
    if (info !== null && info.uid === (process.getuid?.() ?? info.uid)) return folder;
  }
  throw new UserError(`The session runner can't be compiled: no folder for it can be written.`, {
    hint: `Make ${candidates[0]} writable.`,
  });
}

async function compile(root: string, out: string): Promise<void> {
  const child = Bun.spawn(
    [
      process.execPath,
      'build',
      '--compile',
      '--bytecode',
      '--format=esm',
      '--minify',
      '--no-compile-autoload-dotenv',
      '--no-compile-autoload-bunfig',
      `--outfile=${out}`,
      join(root, 'bin/kernel-runner.ts'),
    ],
    { cwd: root, stdin: 'ignore', stdout: 'ignore', stderr: 'pipe', timeout: COMPILE_TIMEOUT_MS },
  );
  const [complaint, exitCode] = await Promise.all([
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode === 0) return;
  throw new UserError(`The session runner can't be compiled: ${complaint.trim().slice(-2000)}`, {
    hint: 'Is there space left on the disk? Try `bun install` in the checkout.',
  });
}

async function deleteUnused(folder: string, used: string, nowMs: number): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (!name.startsWith(PREFIX) || path === used) continue;
    const info = await stat(path).catch(() => null);
    if (info && nowMs - info.mtimeMs > KEEP_MS) await rm(path, { force: true });
  }
}

/**
 * Finds or makes the runner's executable.
 * @param progress told when something takes seconds.
 * @throws UserError when it can't be compiled.
 */
export async function runnerExecutable(
  clock: Clock,
  progress: (message: string) => void,
): Promise<RunnerExecutable> {
  if (checkoutRoot === null) return { path: process.execPath, args: ['kernel-runner'] };
  const folder = await cacheFolder(checkoutRoot);
  const path = join(folder, `${PREFIX}${await hashOfSources(checkoutRoot)}`);
  if ((await stat(path).catch(() => null)) === null) {
    progress('Compiling the session runner (once for these sources)');
    const draft = `${path}.${process.pid}`;
    await compile(checkoutRoot, draft);
    await rename(draft, path);
  }
  const now = clock.now();
  await utimes(path, now, now);
  await deleteUnused(folder, path, now.getTime());
  return { path, args: [] };
}
