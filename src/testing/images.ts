/**
 * Container images for tests, made from the files of this host's own Debian packages; no registry is
 * needed. Each is a tar kept under the system's temporary folder and imported into a daemon.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  cp,
  mkdir,
  mkdtemp,
  readdir,
  realpath,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { exec } from './bench/measure.ts';
import { missingTool } from './services.ts';

const RECIPE_VERSION = 2;
const PREFIX = 'ai.backend.';
const FEATURES = 'batch query uid-match user-input';

/** What the files of an image are. */
export interface FilesRecipe {
  /** Name within the daemon. */
  readonly tag: string;
  /** Installed Debian packages whose files, with what they depend on, make up the image. */
  readonly packages: readonly string[];
  /** What they depend on and can do without here. */
  readonly unneeded?: RegExp;
  /** Adds the rest to the image's root folder. */
  readonly complete: (root: string) => Promise<void>;
}

interface Recipe extends FilesRecipe {
  readonly labels: Readonly<Record<string, string>>;
}

const UTILITIES = [
  ...['sh', 'ash', 'cat', 'ls', 'echo', 'env', 'id', 'whoami', 'sleep', 'seq', 'head', 'tail'],
  ...[
    'grep',
    'sed',
    'awk',
    'ps',
    'kill',
    'mkdir',
    'rm',
    'cp',
    'mv',
    'touch',
    'stat',
    'df',
    'mount',
  ],
  ...[
    'dd',
    'true',
    'false',
    'printf',
    'test',
    'wc',
    'tr',
    'sort',
    'yes',
    'hostname',
    'date',
    'find',
  ],
];

/** A shell and the usual programs in one file that needs no library; what is there already stays. */
export async function addBusybox(root: string, folder: string): Promise<void> {
  const source = ['/usr/bin/busybox', '/bin/busybox'].find((path) => existsSync(path));
  if (source === undefined) throw new Error('busybox-static is not installed');
  await mkdir(join(root, folder), { recursive: true });
  await cp(source, join(root, folder, 'busybox'));
  for (const name of UTILITIES) {
    const link = join(root, folder, name);
    if (!existsSync(link)) await symlink('busybox', link);
  }
}

/** The folders that merged-/usr systems have as links. */
async function linkUsr(root: string): Promise<void> {
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    await mkdir(join(root, 'usr', name), { recursive: true });
    await symlink(`usr/${name}`, join(root, name));
  }
}

async function addAccounts(root: string): Promise<void> {
  await mkdir(join(root, 'etc'), { recursive: true });
  await writeFile(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  await writeFile(join(root, 'etc/group'), 'root:x:0:\n');
}

/** The musl C library, and a program that is linked to it and can't run without. */
async function addMusl(root: string): Promise<void> {
  const loader = `/lib/ld-musl-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.so.1`;
  await mkdir(join(root, 'lib'), { recursive: true });
  await cp(await realpath(loader), join(root, loader));
  const source = join(root, 'hello.c');
  await writeFile(source, '#include <stdio.h>\nint main(void) { puts("hello from musl"); }\n');
  await exec(['musl-gcc', '-o', join(root, 'bin/hello-musl'), source]);
  await rm(source);
}

/** Git alone: the program, and the names under which it calls itself. */
async function addGit(root: string): Promise<void> {
  await cp('/usr/bin/git', join(root, 'usr/bin/git'));
  await mkdir(join(root, 'usr/lib/git-core'), { recursive: true });
  await symlink('../../bin/git', join(root, 'usr/lib/git-core/git'));
  for (const name of ['git-upload-pack', 'git-receive-pack']) {
    await symlink('git', join(root, 'usr/bin', name));
  }
}

/** Jupyter's notebook as upstream's images define it: on the port of the session, with no token of its own. */
const JUPYTER_SERVICE = {
  prestart: [
    {
      action: 'write_tempfile',
      args: {
        body: [
          'c.NotebookApp.allow_root = True',
          'c.NotebookApp.ip = "0.0.0.0"',
          'c.NotebookApp.port = {ports[0]}',
          'c.NotebookApp.token = ""',
          'c.FileContentsManager.delete_to_trash = False',
          'c.NotebookApp.tornado_settings = {{"headers": {{"Content-Security-Policy": "frame-ancestors *"}}}}',
        ],
      },
      ref: 'jupyter_cfg',
    },
  ],
  command: ['{runtime_path}', '-m', 'notebook', '--no-browser', '--config', '{jupyter_cfg}'],
  url_template: 'http://{host}:{port}/',
};

async function addService(root: string, name: string, definition: object): Promise<void> {
  const folder = join(root, 'etc/backend.ai/service-defs');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${name}.json`), JSON.stringify(definition));
}

const recipes = {
  /** glibc, bash and Git. */
  git: {
    tag: 'testing/git:1',
    packages: ['bash', 'libc6', 'libpcre2-8-0', 'zlib1g'],
    labels: { 'base-distro': 'ubuntu22.04', 'runtime-type': 'app', 'resource.min.mem': '64m' },
    complete: async (root: string) => {
      await addGit(root);
      await addBusybox(root, 'usr/bin');
      await addAccounts(root);
    },
  },
  /** glibc, Python with its whole standard library, bash, an SSH client. */
  python: {
    tag: 'testing/python:3-debian',
    packages: ['bash', 'libc6', 'openssh-client', 'python3'],
    labels: {
      'base-distro': 'ubuntu22.04',
      'runtime-type': 'python',
      'runtime-path': '/usr/bin/python3',
      'envs.corecount': 'OPENBLAS_NUM_THREADS,OMP_NUM_THREADS,NPROC',
      'resource.min.mem': '64m',
    },
    complete: async (root: string) => {
      await addBusybox(root, 'usr/bin');
      await addAccounts(root);
    },
  },
  /** Python with Jupyter's notebook as a service, and rsync. */
  jupyter: {
    tag: 'testing/jupyter:6-debian',
    packages: ['bash', 'libc6', 'python3', 'python3-notebook', 'rsync'],
    labels: {
      'base-distro': 'ubuntu22.04',
      'runtime-type': 'python',
      'runtime-path': '/usr/bin/python3',
      'service-ports': 'ipython:pty:3000,jupyter:http:8070',
      'envs.corecount': 'OPENBLAS_NUM_THREADS,OMP_NUM_THREADS,NPROC',
      'resource.min.cpu': '1',
      'resource.min.mem': '512m',
    },
    complete: async (root: string) => {
      await addService(root, 'jupyter', JUPYTER_SERVICE);
      await addBusybox(root, 'usr/bin');
      await addAccounts(root);
    },
  },
  /** musl, a shell, and no language. */
  musl: {
    tag: 'testing/musl:1',
    packages: [],
    labels: { 'base-distro': 'alpine3.8', 'runtime-type': 'app', 'resource.min.mem': '64m' },
    complete: async (root: string) => {
      await addBusybox(root, 'bin');
      await addMusl(root);
      await addAccounts(root);
    },
  },
  /** Programs that need no library; no C library, no accounts, no language but the shell. */
  bare: {
    tag: 'testing/bare:1',
    packages: [],
    labels: { 'base-distro': 'alpine3.8', 'runtime-type': 'app', 'resource.min.mem': '64m' },
    complete: (root: string) => addBusybox(root, 'bin'),
  },
} satisfies Record<string, Recipe>;

export type TestImageName = keyof typeof recipes;

/** Why the images can't be built here; null when they can. */
export const missingForImages = (): string | null =>
  missingTool('dpkg-query', 'dpkg') ??
  missingTool('busybox', 'busybox-static') ??
  missingTool('musl-gcc', 'musl-tools') ??
  missingTool('/usr/bin/python3', 'python3');

/** Why the image with Jupyter can't be built here; null when it can. */
export const missingForJupyter = (): string | null =>
  missingForImages() ??
  missingTool('/usr/bin/jupyter-notebook', 'jupyter-notebook') ??
  missingTool('/usr/bin/rsync', 'rsync');

/** Package managers, fonts and the like, which packages depend on without needing them to run. */
const UNNEEDED =
  /^(dpkg|debconf|perl-base|debianutils|base-files|install-info|tar|init-system.*|.*-mathjax|python3-(debugpy|pydevd|coverage))$/;

/** The packages and all that they depend on, as installed here, with their versions. */
async function closure(roots: readonly string[], unneeded?: RegExp): Promise<Map<string, string>> {
  const text = await exec([
    'dpkg-query',
    '--show',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query fills these in
    '--showformat=${Package}\\t${Version}\\t${Pre-Depends}, ${Depends}\\n',
  ]);
  const installed = new Map(
    text
      .trimEnd()
      .split('\n')
      .map((line) => {
        const [name = '', version = '', depends = ''] = line.split('\t');
        const needed = depends.split(',').map((part) => part.split('|').map(packageName));
        return [name, { version, needed }] as const;
      }),
  );
  const found = new Map<string, string>();
  const queue = [...roots];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    const info = installed.get(name);
    if (found.has(name) || UNNEEDED.test(name) || unneeded?.test(name)) continue;
    if (!info) throw new Error(`the Debian package ${name} is not installed`);
    found.set(name, info.version);
    for (const choice of info.needed) {
      const present = choice.find((option) => installed.has(option));
      if (present !== undefined) queue.push(present);
    }
  }
  return found;
}

const packageName = (dependency: string): string => dependency.trim().split(/[\s:(]/, 1)[0] ?? '';

/** Nothing that a program needs to run. */
const DOCUMENTATION =
  /^\/usr\/(share\/(doc|man|info|locale|lintian|bug|doc-base|pixmaps)|lib\/[\w-]+\/gconv|lib\/python[\d.]+\/test)(\/|$)/;

/** Copies the files of packages below `root`, under the folders they really lie in. */
async function copyPackages(names: readonly string[], root: string): Promise<void> {
  const text = await exec(['dpkg-query', '--listfiles', ...names]);
  const paths = new Set<string>();
  const modules = new Set<string>();
  for (const path of text.split('\n')) {
    if (!path.startsWith('/') || DOCUMENTATION.test(path) || !existsSync(dirname(path))) continue;
    const real = join(await realpath(dirname(path)), path.slice(path.lastIndexOf('/') + 1));
    if (DOCUMENTATION.test(real)) continue;
    paths.add(real.slice(1));
    if (real.endsWith('.py')) modules.add(dirname(real));
  }
  // Made when the packages were installed; without it Python compiles each module at every start.
  for (const folder of modules) {
    const compiled = join(folder, '__pycache__');
    const names = await readdir(compiled).catch((): string[] => []);
    for (const name of names) paths.add(join(compiled, name).slice(1));
  }
  const list = `${root}.files`;
  await writeFile(list, [...paths].sort().join('\n'));
  const tar = `${root}.tar`;
  await exec([
    ...['tar', '-C', '/', '--no-recursion', '--ignore-failed-read', '-cf', tar, '-T', list],
  ]);
  await exec(['tar', '-C', root, '--keep-directory-symlink', '-xf', tar]);
  await Promise.all([rm(list), rm(tar)]);
}

/** Makes the tar of an image unless it is there from an earlier run. @returns its path. */
async function imageTar(recipe: FilesRecipe): Promise<string> {
  const packages = await closure(recipe.packages, recipe.unneeded);
  const key = createHash('sha256')
    .update(`${RECIPE_VERSION} ${recipe.tag} ${recipe.complete} ${UTILITIES}`)
    .update([...packages].sort().join('\n'))
    .digest('hex')
    .slice(0, 20);
  const cache = join(tmpdir(), `bai-images-${process.getuid?.() ?? 0}`);
  const path = join(cache, `${key}.tar`);
  if (existsSync(path)) return path;
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, 'work-'));
  try {
    const root = join(work, 'root');
    await mkdir(root, { mode: 0o755 });
    if (packages.size > 0) {
      await linkUsr(root);
      await copyPackages([...packages.keys()], root);
    }
    await recipe.complete(root);
    const draft = join(work, 'image.tar');
    await exec(['tar', '-C', root, '--owner=0', '--group=0', '-cf', draft, '.']);
    await rename(draft, path);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return path;
}

const toDaemon =
  (socketPath: string) =>
  (path: string, init: RequestInit = {}) =>
    fetch(`http://docker${path}`, { ...init, unix: socketPath });

/**
 * Builds an image and imports it into the daemon; quick when it is there already.
 * @param changes lines of a Dockerfile, for what is not files.
 */
export async function importImage(
  socketPath: string,
  recipe: FilesRecipe,
  changes: readonly string[],
): Promise<void> {
  const call = toDaemon(socketPath);
  if ((await call(`/images/${recipe.tag}/json`)).ok) return;
  const [repo = '', tag = ''] = recipe.tag.split(':');
  const query = new URLSearchParams({ fromSrc: '-', repo, tag });
  for (const change of changes) query.append('changes', change);
  const body = Bun.file(await imageTar(recipe));
  const reply = await call(`/images/create?${query}`, { method: 'POST', body });
  const text = await reply.text();
  if (!reply.ok || text.includes('"error"')) throw new Error(`${recipe.tag}: ${text.trim()}`);
}

/** Gives an image of the daemon another name. */
export async function tagImage(socketPath: string, name: string, other: string): Promise<void> {
  const [repo = '', tag = ''] = other.split(':');
  const query = new URLSearchParams({ repo, tag });
  const reply = await toDaemon(socketPath)(`/images/${name}/tag?${query}`, { method: 'POST' });
  if (!reply.ok) throw new Error(`${other}: ${await reply.text()}`);
}

/**
 * An image for sessions.
 * @returns its name within the daemon; the catalogue's name is `local/` and this.
 */
export async function importTestImage(socketPath: string, name: TestImageName): Promise<string> {
  const recipe: Recipe = recipes[name];
  const labels = { kernelspec: '1', features: FEATURES, ...recipe.labels };
  await importImage(socketPath, recipe, [
    ...Object.entries(labels).map(
      ([key, value]) => `LABEL ${PREFIX}${key}=${JSON.stringify(value)}`,
    ),
    'ENV PATH=/usr/local/bin:/usr/bin:/bin',
  ]);
  return recipe.tag;
}
