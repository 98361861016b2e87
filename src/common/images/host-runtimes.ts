/**
 * Finds the language runtimes installed on this host and describes them as images named `local/…`,
 * which the process backend runs. Nothing is guessed: each one is asked for its version.
 */
import { createHash } from 'node:crypto';
import {
  mkdir,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  stat,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as v from 'valibot';
import type { AgentImage } from '../protocol/manager.ts';
import { hostArchitecture, LABEL_PREFIX } from './labels.ts';

/** Longest time one interpreter may take to tell its version. Milliseconds. */
const PROBE_TIMEOUT_MS = 5_000;
const MAX_CANDIDATES_PER_RUNTIME = 6;
const MAX_CACHE_BYTES = 256 * 1024;

const hostRuntime = v.object({
  name: v.picklist(['python', 'node', 'bash']),
  /** As it appears in the tag. */
  version: v.string(),
  /** The real interpreter, behind any shim. */
  executable: v.string(),
  /** Files and folders that must be visible for it to work; never a whole home folder. */
  visiblePaths: v.array(v.string()),
  sizeBytes: v.number(),
  mtimeMs: v.number(),
});
/** One usable interpreter. */
export type HostRuntime = v.InferOutput<typeof hostRuntime>;

interface Answer {
  readonly version: string;
  readonly executable: string;
  /** Installation folders; of each, only the parts named in INSTALLATION_PARTS are its own. */
  readonly prefixes: readonly string[];
}

interface Probe {
  readonly name: HostRuntime['name'];
  readonly candidates: RegExp;
  readonly args: readonly string[];
  /** For scripts, which stand in front of the real interpreter; `args` when not given. */
  readonly scriptArgs?: readonly string[];
  /** Reads the output; null when this is not a usable interpreter. */
  readonly parse: (output: string, path: string) => Answer | null;
  readonly labels: Readonly<Record<string, string>>;
}

const pythonAnswer = v.tuple([v.string(), v.string(), v.string(), v.number(), v.number()]);
const nodeAnswer = v.tuple([v.string(), v.string()]);

/** The last line, so that whatever a shim prints before it does no harm. */
const lastLineJson = (output: string): unknown => {
  try {
    return JSON.parse(output.trim().split('\n').at(-1) ?? '');
  } catch {
    return null;
  }
};

const probes: readonly Probe[] = [
  {
    name: 'python',
    candidates: /^python3?(\.\d+)?$/,
    args: [
      '-IS',
      '-c',
      `import sys;print('["%s","%s","%s",%d,%d]'%(sys.executable,sys.prefix,sys.base_prefix,*sys.version_info[:2]))`,
    ],
    parse: (output) => {
      const answer = v.safeParse(pythonAnswer, lastLineJson(output));
      if (!answer.success) return null;
      const [executable, prefix, basePrefix, major, minor] = answer.output;
      if (major < 3) return null;
      return {
        version: `${major}.${minor}`,
        executable,
        prefixes: [prefix, basePrefix, dirname(dirname(executable))],
      };
    },
    labels: {
      'runtime-type': 'python',
      features: 'batch query uid-match user-input',
      'envs.corecount': 'OPENBLAS_NUM_THREADS,OMP_NUM_THREADS,NPROC',
      'resource.min.mem': '128m',
    },
  },
  {
    name: 'node',
    candidates: /^node(js)?$/,
    args: ['--version'],
    scriptArgs: ['-p', 'JSON.stringify([process.execPath, process.version])'],
    parse: (output, path) => {
      const answer = v.safeParse(nodeAnswer, lastLineJson(output));
      const [executable, text] = answer.success ? answer.output : [path, output];
      const version = /^v(\d+)\.\d+\.\d+\s*$/.exec(text)?.[1];
      return version ? { version, executable, prefixes: [dirname(dirname(executable))] } : null;
    },
    labels: {
      'runtime-type': 'nodejs',
      features: 'batch query uid-match user-input',
      'resource.min.mem': '128m',
    },
  },
  {
    name: 'bash',
    candidates: /^bash$/,
    args: ['--version'],
    parse: (output, path) => {
      const version = /version (\d+)\./.exec(output)?.[1];
      return version ? { version, executable: path, prefixes: [] } : null;
    },
    labels: {
      'runtime-type': 'bash',
      features: 'batch query uid-match user-input',
      'resource.min.mem': '64m',
    },
  },
];

/** A prefix such as `~/.local` holds other things beside these. */
const INSTALLATION_PARTS = ['bin', 'lib', 'lib64', 'include', 'ssl', 'pyvenv.cfg'];

interface Candidate {
  readonly path: string;
  readonly isScript: boolean;
  /** Changes whenever asking again could give another answer. */
  readonly fingerprint: string;
}

async function startsWithHashBang(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer.toString('latin1') === '#!';
  } finally {
    await file.close();
  }
}

/** A version manager's shim answers by this file and variable, not by its own content. */
async function shimState(path: string): Promise<string> {
  const info = await stat(join(dirname(dirname(path)), 'version')).catch(() => null);
  return `${info?.mtimeMs ?? 0}:${process.env.PYENV_VERSION ?? ''}`;
}

async function inspect(path: string, probe: Probe): Promise<Candidate | null> {
  try {
    const [info, real] = await Promise.all([stat(path), realpath(path)]);
    if (!info.isFile() || (info.mode & 0o111) === 0) return null;
    // A package script run by Bun finds Bun under the name of node.
    if (basename(real).startsWith('bun') || real === process.execPath) return null;
    const script = await startsWithHashBang(real);
    // Shims for one version each say nothing that the plain name doesn't.
    if (script && basename(path) !== 'python3' && basename(path) !== probe.name) return null;
    const state = script ? await shimState(path) : '';
    return {
      path,
      isScript: script,
      fingerprint: [path, real, info.size, info.mtimeMs, state].join('|'),
    };
  } catch {
    return null;
  }
}

/** Plain names (`python3`) before versioned ones, so that the default is what the user would get. */
const nameRank = (name: string): string =>
  /\d\.\d/.test(name) ? '2' : /\d/.test(name) ? '0' : '1';

async function findCandidates(probe: Probe, folders: ReadonlyMap<string, string[]>) {
  const paths: string[] = [];
  for (const [folder, names] of folders) {
    const matching = names
      .filter((name) => probe.candidates.test(name))
      .sort((a, b) => (nameRank(a) + a < nameRank(b) + b ? -1 : 1));
    paths.push(...matching.map((name) => join(folder, name)));
  }
  const plainFirst = paths.filter((path) => nameRank(basename(path)) !== '2');
  const versioned = paths.filter((path) => nameRank(basename(path)) === '2');
  const found = await Promise.all(
    [...plainFirst, ...versioned].map((path) => inspect(path, probe)),
  );
  const byFile = new Map<string, Candidate>();
  for (const item of found) {
    const key = item?.fingerprint.split('|').slice(1).join('|');
    if (item && key && !byFile.has(key)) byFile.set(key, item);
  }
  return [...byFile.values()].slice(0, MAX_CANDIDATES_PER_RUNTIME);
}

/** The interpreter itself and what of its installation exists. */
async function locate(answer: Answer): Promise<{ executable: string; visiblePaths: string[] }> {
  const environment = dirname(dirname(answer.executable));
  const real = await realpath(answer.executable);
  // A virtual environment is recognised by the path under which its interpreter was started.
  const isVirtual = await Bun.file(join(environment, 'pyvenv.cfg')).exists();
  const prefixes = [
    ...answer.prefixes,
    dirname(dirname(real)),
    ...(isVirtual ? [environment] : []),
  ];
  const paths = [...new Set(prefixes)].flatMap((prefix) =>
    INSTALLATION_PARTS.map((part) => join(prefix, part)),
  );
  const existing = await Promise.all(
    paths.map(async (path) => ((await stat(path).catch(() => null)) ? path : null)),
  );
  return {
    executable: isVirtual ? answer.executable : real,
    visiblePaths: existing.filter((path) => path !== null),
  };
}

async function ask(probe: Probe, { path, isScript }: Candidate): Promise<HostRuntime | null> {
  try {
    const args = isScript ? (probe.scriptArgs ?? probe.args) : probe.args;
    const child = Bun.spawn([path, ...args], {
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'ignore',
      timeout: PROBE_TIMEOUT_MS,
      cwd: '/',
    });
    const [output, exitCode] = await Promise.all([new Response(child.stdout).text(), child.exited]);
    if (exitCode !== 0) return null;
    const answer = probe.parse(output, path);
    if (!answer) return null;
    const { executable, visiblePaths } = await locate(answer);
    const { size: sizeBytes, mtimeMs } = await stat(executable);
    const { version } = answer;
    return { name: probe.name, version, executable, visiblePaths, sizeBytes, mtimeMs };
  } catch {
    // Something named like an interpreter that can't be run is not one.
    return null;
  }
}

const cacheFormat = v.record(
  v.string(),
  v.object({ executableMtimeMs: v.number(), runtime: v.nullable(hostRuntime) }),
);
type Cache = v.InferOutput<typeof cacheFormat>;

async function readCache(path: string | undefined): Promise<Cache> {
  if (path === undefined) return {};
  try {
    const file = Bun.file(path);
    if (file.size > MAX_CACHE_BYTES) return {};
    const parsed = v.safeParse(cacheFormat, await file.json());
    return parsed.success ? parsed.output : {};
  } catch {
    // No cache yet, or a damaged one: the host is asked again.
    return {};
  }
}

async function writeCache(path: string, cache: Cache): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const draft = `${path}.${process.pid}.new`;
  await writeFile(draft, JSON.stringify(cache));
  await rename(draft, path);
}

const mtimeOf = async (path: string): Promise<number> =>
  (await stat(path).catch(() => null))?.mtimeMs ?? 0;

/**
 * The folders to look into. A folder of version-manager shims (pyenv and its like: `<root>/shims`
 * beside `<root>/versions`) is replaced by that of the chosen versions, since each shim costs a
 * tenth of a second.
 */
async function searchFolders(searchPath: string): Promise<string[]> {
  const folders = [...new Set(searchPath.split(':').filter((folder) => folder.startsWith('/')))];
  const expanded = await Promise.all(
    folders.map(async (folder) => {
      if (basename(folder) !== 'shims') return [folder];
      const root = dirname(folder);
      const chosen = await readFile(join(root, 'version'), 'utf8').catch(() => '');
      const bins = chosen.split(/\s+/).filter((version) => /^[\w.+-]+$/.test(version));
      const existing = await Promise.all(
        bins.map(async (version) => {
          const bin = join(root, 'versions', version, 'bin');
          return (await stat(bin).catch(() => null)) ? bin : null;
        }),
      );
      const usable = existing.filter((bin) => bin !== null);
      const overridden = process.env.PYENV_VERSION !== undefined;
      return usable.length === bins.length && usable.length > 0 && !overridden ? usable : [folder];
    }),
  );
  return expanded.flat();
}

/** Answers of this process, so that asking again costs a few `stat` calls. */
let remembered: Cache = {};

export interface DiscoveryOptions {
  /** Folders to search, separated by `:`; the process's own PATH by default. */
  path?: string;
  /** File that keeps the answers between runs of the program. */
  cacheFile?: string;
}

/**
 * The interpreters on the search path, the default of each kind first. Versions found twice are
 * listed once. Starts nothing when neither the interpreters nor the shims changed since last time.
 */
export async function findHostRuntimes(options: DiscoveryOptions = {}): Promise<HostRuntime[]> {
  const searchPath = options.path ?? process.env.PATH ?? '/usr/local/bin:/usr/bin:/bin';
  const folders = new Map<string, string[]>();
  const listed = await Promise.all(
    (await searchFolders(searchPath)).map(
      async (folder) => [folder, await readdir(folder).catch((): string[] => [])] as const,
    ),
  );
  for (const [folder, names] of listed) folders.set(folder, names);
  const known = { ...(await readCache(options.cacheFile)), ...remembered };
  const next: Cache = {};
  let changed = false;
  const lookUp = async (probe: Probe, candidate: Candidate) => {
    const { fingerprint } = candidate;
    const cached = known[fingerprint];
    const executable = cached?.runtime?.executable;
    if (cached && (!executable || (await mtimeOf(executable)) === cached.executableMtimeMs)) {
      next[fingerprint] = cached;
      return cached.runtime;
    }
    changed = true;
    const runtime = await ask(probe, candidate);
    next[fingerprint] = { executableMtimeMs: runtime?.mtimeMs ?? 0, runtime };
    return runtime;
  };
  const found = await Promise.all(
    probes.map(async (probe) => {
      const candidates = await findCandidates(probe, folders);
      return await Promise.all(candidates.map((item) => lookUp(probe, item)));
    }),
  );
  remembered = next;
  if (changed && options.cacheFile) await writeCache(options.cacheFile, next);
  const byTag = new Map<string, HostRuntime>();
  for (const runtime of found.flat()) {
    if (runtime && !byTag.has(canonicalOf(runtime))) byTag.set(canonicalOf(runtime), runtime);
  }
  return [...byTag.values()];
}

/** The image name of a runtime: `local/python:3.11`. */
export const canonicalOf = (runtime: HostRuntime): string =>
  `local/${runtime.name}:${runtime.version}`;

function toImage(runtime: HostRuntime, isDefault: boolean): AgentImage {
  const { executable, version, mtimeMs } = runtime;
  const own = probes.find((probe) => probe.name === runtime.name)?.labels ?? {};
  const labels: Record<string, string> = {
    kernelspec: '1',
    role: 'COMPUTE',
    'runtime-path': executable,
    'resource.min.cpu': '1',
    ...own,
  };
  const hash = createHash('sha256').update([executable, version, mtimeMs].join('\n'));
  return {
    canonical: canonicalOf(runtime),
    architecture: hostArchitecture(),
    digest: `sha256:${hash.digest('hex')}`,
    sizeBytes: runtime.sizeBytes,
    labels: Object.fromEntries(
      Object.entries(labels).map(([name, value]) => [`${LABEL_PREFIX}${name}`, value]),
    ),
    aliases: isDefault ? [runtime.name] : [],
  };
}

/** Whether the interpreter is still the file that was found. */
export const isUnchanged = async (runtime: HostRuntime): Promise<boolean> =>
  (await mtimeOf(runtime.executable)) === runtime.mtimeMs;

/** Runtimes as images; the first of each kind, its default, carries the plain name as alias. */
export function describeRuntimes(runtimes: readonly HostRuntime[]): AgentImage[] {
  const seen = new Set<string>();
  return runtimes.map((runtime) => {
    const isDefault = !seen.has(runtime.name);
    seen.add(runtime.name);
    return toImage(runtime, isDefault);
  });
}

/** The runtimes of this host as images. */
export const discoverHostRuntimes = async (options?: DiscoveryOptions): Promise<AgentImage[]> =>
  describeRuntimes(await findHostRuntimes(options));
