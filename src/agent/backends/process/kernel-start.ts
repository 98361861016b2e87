/** Writes the files a kernel needs and starts it. */
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { checkoutRoot, runnerCommand } from '../../../common/executable.ts';
import type { HostRuntime } from '../../../common/images/host-runtimes.ts';
import {
  coreCountVariables,
  runtimeOf,
  SSH_SERVICE,
  TERMINAL_SERVICE,
} from '../../../common/images/labels.ts';
import type { KernelSpec, ServicePort } from '../../../common/protocol/kernel.ts';
import {
  RUNNER_MEMORY_BYTES,
  RUNNER_THREADS,
  runnerEnvironment,
  shieldVariables,
} from '../../../common/protocol/runner.ts';
import { environmentText, type Grant, resourceText } from '../../resources/grant.ts';
import type { Peer } from '../backend.ts';
import {
  CLUSTER_PUBLIC_KEY,
  hostLines,
  includeSshConfig,
  LOOPBACK_HOSTS,
  ownAddress,
  sharedAddresses,
  sharedTargets,
  writeClusterKey,
  writeJoin,
} from '../cluster-files.ts';
import { writeDotfiles } from '../dotfiles.ts';
import { type FolderBind, folderBinds, makeMountPoints } from '../folder-mounts.ts';
import { withHooks } from '../hooks.ts';
import { portText } from '../service-ports.ts';
import type { HostApp } from './host-apps.ts';
import { type HostView, SANDBOX_BASE } from './host-view.ts';
import { environmentScript, supervisorCommand, withEnvironmentFile } from './launcher.ts';
import { type KernelLayout, SOCKET_NAME } from './layout.ts';
import { sandboxCommand } from './sandbox.ts';
import { SANDBOX_GID, SANDBOX_UID, type SandboxKind } from './sandbox-plan.ts';

const SYSTEM_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
/** Names a kernel whose processes have no namespace of their own to be found by. */
export const KERNEL_MARKER = 'BACKENDAI_KERNEL_MARKER';
const RUNNER_VARIABLES: ReadonlySet<string> = new Set(Object.values(runnerEnvironment));
/** What the runner needs beside the user's programs when only each process can be limited. KiB. */
const RUNNER_DATA_KIB = 512 * 1024;

export interface KernelParts {
  readonly layout: KernelLayout;
  readonly spec: KernelSpec;
  readonly view: HostView;
  readonly sandbox: SandboxKind;
  readonly runtimes: readonly HostRuntime[];
  readonly runtime: HostRuntime | null;
  readonly servicePorts: readonly ServicePort[];
  /** What the host has installed of apps. */
  readonly apps: readonly HostApp[];
  /** Address that services listen on. */
  readonly serviceHost: string;
  readonly grant: Grant;
  /** CPUs to pin to by affinity; empty where a control group does it. */
  readonly pinnedCpus: readonly number[];
}

/** Where the kernel finds its own things: in the sandbox, or on the host without one. */
function innerPaths(layout: KernelLayout, sandbox: SandboxKind) {
  if (sandbox === 'none') {
    const { work, tmp, environment, bootstrap, socketFolder, config } = layout;
    return { work, tmp, environment, bootstrap, socketFolder, config };
  }
  return {
    work: '/home/work',
    tmp: '/tmp',
    environment: `${SANDBOX_BASE}/environment`,
    bootstrap: `${SANDBOX_BASE}/bootstrap.sh`,
    socketFolder: `${SANDBOX_BASE}/socket`,
    config: '/home/config',
  };
}

/** The complete environment of the runner and, less the runner's own part, of user programs. */
export function kernelEnvironment(parts: KernelParts): Record<string, string> {
  const { layout, spec, runtime, runtimes, sandbox, grant } = parts;
  const inner = innerPaths(layout, sandbox);
  const { type, path } = runtimeOf(spec.image.labels);
  const runtimePath = runtime?.executable ?? path;
  const own = runtime ? [dirname(runtime.executable)] : [];
  const others = runtimes.map(({ executable }) => dirname(executable));
  const search = [...new Set([...own, ...others, ...SYSTEM_PATH])];
  const cores = String(Math.max(1, Math.floor(Number(spec.slots.cpu ?? '1'))));
  const { environment, attachment } = grant;
  const variables = {
    PATH: search.join(':'),
    LANG: 'C.UTF-8',
    TERM: 'xterm-256color',
    SHELL: '/bin/sh',
    USER: 'work',
    LOGNAME: 'work',
    ...Object.fromEntries(coreCountVariables(spec.image.labels).map((name) => [name, cores])),
    ...environment,
    ...withRunnerLimits(spec.environ),
    // Not the user's to change: they say which devices are the kernel's.
    ...attachment.environment,
    HOME: inner.work,
    TMPDIR: inner.tmp,
    [KERNEL_MARKER]: spec.kernelId,
    // Run from its sources, this program would else keep a cache in the user's folder.
    ...(checkoutRoot === null ? {} : { BUN_RUNTIME_TRANSPILER_CACHE_PATH: '0' }),
    [runnerEnvironment.socket]: join(inner.socketFolder, SOCKET_NAME),
    [runnerEnvironment.runtimeType]: type,
    [runnerEnvironment.runtimePath]: runtimePath,
    [runnerEnvironment.serviceHost]: parts.serviceHost,
    [runnerEnvironment.sshPort]: portText(parts.servicePorts, SSH_SERVICE.name),
    [runnerEnvironment.terminalPort]: portText(parts.servicePorts, TERMINAL_SERVICE.name),
    [runnerEnvironment.servicePrograms]: JSON.stringify(
      Object.fromEntries(parts.apps.map(({ name, program }) => [name, program])),
    ),
    [runnerEnvironment.trustedKeys]: join(inner.config, CLUSTER_PUBLIC_KEY),
    [runnerEnvironment.threads]: RUNNER_THREADS,
    [runnerEnvironment.memory]: RUNNER_MEMORY_BYTES,
    [runnerEnvironment.bootstrap]: spec.bootstrapScript === null ? '' : inner.bootstrap,
  };
  return withHooks(variables, attachment.hooks.map(hookTarget(sandbox)));
}

const OWN_VARIABLES: ReadonlySet<string> = new Set([
  runnerEnvironment.threads,
  runnerEnvironment.memory,
  'GOMAXPROCS',
]);

/** The user's variables; those that would set the runner's own threads and memory reach only user programs. */
const withRunnerLimits = (environ: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(environ).flatMap(([name, value]) =>
      Object.entries(
        OWN_VARIABLES.has(name) ? shieldVariables({ [name]: value }) : { [name]: value },
      ),
    ),
  );

/** Where the kernel finds a library that is loaded first. */
const hookTarget =
  (sandbox: SandboxKind) =>
  (path: string): string =>
    sandbox === 'none' ? path : `${SANDBOX_BASE}/hooks/${basename(path)}`;

/** Upstream's records, which hooks and users read. */
async function writeConfig(
  { layout, spec, grant }: KernelParts,
  environment: Readonly<Record<string, string>>,
): Promise<void> {
  const isOwn = (name: string) => name === KERNEL_MARKER || RUNNER_VARIABLES.has(name);
  const shown = Object.entries(environment).filter(([name]) => !isOwn(name));
  const files: Record<string, string> = {
    'resource.txt': resourceText(spec, grant),
    'environ.txt': environmentText(Object.fromEntries(shown)),
  };
  await Promise.all(
    Object.entries(files).map(([name, text]) => writeFile(join(layout.config, name), text)),
  );
}

async function writeEtc(layout: KernelLayout, spec: KernelSpec): Promise<[string, string][]> {
  const { hostname } = spec.cluster;
  const files: Record<string, string> = {
    passwd:
      'root:x:0:0:root:/root:/bin/sh\n' +
      `work:x:${SANDBOX_UID}:${SANDBOX_GID}:work:/home/work:/bin/sh\n` +
      'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n',
    group: `root:x:0:\nwork:x:${SANDBOX_GID}:\nnogroup:x:65534:\n`,
    hostname: `${hostname}\n`,
    hosts: LOOPBACK_HOSTS + hostLines([[ownAddress(spec), hostname]]),
  };
  await Promise.all(
    Object.entries(files).map(([name, text]) => writeFile(join(layout.etc, name), text)),
  );
  return Object.keys(files).map((name) => [join(layout.etc, name), `/etc/${name}`]);
}

/** Without a sandbox folders appear as links in the kernel's /home/work, and nowhere else. */
async function linkFolders(layout: KernelLayout, binds: readonly FolderBind[]): Promise<void> {
  for (const { name, source, target, readOnly } of binds) {
    if (readOnly || !target.startsWith('/home/work/')) {
      throw new Error(
        `folder '${name}' cannot be mounted ${readOnly ? 'read-only' : `at ${target}`}: this host has no sandbox for it`,
      );
    }
    const path = join(layout.work, target.slice('/home/work/'.length));
    await mkdir(dirname(path), { recursive: true });
    await symlink(source, path);
  }
}

/**
 * Writes the kernel's files. @returns the command that runs it in its sandbox.
 * @throws Error naming a folder that cannot be mounted.
 */
export async function prepareKernel(parts: KernelParts): Promise<{ command: string[] }> {
  const { layout, spec, view, sandbox, grant, pinnedCpus: cpuIds } = parts;
  const inner = innerPaths(layout, sandbox);
  const hostname = spec.cluster.hostname;
  const binds = await folderBinds(spec);
  if (sandbox === 'none') await linkFolders(layout, binds);
  else await makeMountPoints(layout.work, binds);
  const environment = kernelEnvironment(parts);
  const script = environmentScript(environment);
  const [etc] = await Promise.all([
    writeEtc(layout, spec),
    writeClusterKey(layout.config, spec, null),
    writeConfig(parts, environment),
    writeFile(layout.environment, script, { mode: 0o600 }),
    spec.bootstrapScript === null ? null : writeFile(layout.bootstrap, spec.bootstrapScript),
    writeDotfiles(layout.work, spec.dotfiles, null),
    chmod(layout.tmp, 0o1777),
  ]);
  await includeSshConfig(layout.work, spec, { owner: null, seen: inner.config, binds });
  const program = sandbox === 'none' ? runnerCommand() : view.runner;
  const runner = withEnvironmentFile(inner.environment, program);
  const canPin = cpuIds.length > 0 && Bun.which('taskset') !== null;
  const pinned = canPin ? ['taskset', '-c', cpuIds.join(','), ...runner] : runner;
  const hooks = grant.attachment.hooks.map((path): [string, string] => [
    path,
    hookTarget(sandbox)(path),
  ]);
  const readOnly: [string, string][] = [
    ...etc,
    ...hooks,
    [layout.environment, inner.environment],
    [layout.config, inner.config],
  ];
  if (spec.bootstrapScript !== null) readOnly.push([layout.bootstrap, inner.bootstrap]);
  const plan = {
    view,
    hostname,
    writable: [
      [layout.work, inner.work],
      [layout.tmp, inner.tmp],
      [layout.socketFolder, inner.socketFolder],
    ] as const,
    folders: binds.map(({ source, target, readOnly: sealed }) => ({
      from: source,
      to: target,
      readOnly: sealed,
    })),
    readOnly,
    devices: grant.attachment.deviceFiles,
    shmBytes: Math.max(spec.shmemBytes, 1024 * 1024),
    // Not the user's folder: this program would read settings from there.
    workingFolder: '/',
    rootFolder: layout.root,
  };
  return { command: sandboxCommand(sandbox, plan, pinned) };
}

/** Tells a kernel where the others are. */
export async function joinKernel(
  layout: KernelLayout,
  spec: KernelSpec,
  sandbox: SandboxKind,
  peers: readonly Peer[],
): Promise<void> {
  const addresses = await sharedAddresses(spec, peers);
  // Written in place: the sandbox holds this very file.
  await writeFile(join(layout.etc, 'hosts'), LOOPBACK_HOSTS + hostLines(addresses));
  await writeJoin(layout.config, spec, sharedTargets(peers), innerPaths(layout, sandbox).config);
}

/**
 * Starts the kernel in a session of its own, so that it outlives this process.
 * @param options.memoryBytes limit per process, when no control group limits the whole; else null.
 * @returns a promise that settles when the kernel ended.
 */
export function startKernel(
  layout: KernelLayout,
  command: readonly string[],
  options: { joinFiles: readonly string[]; memoryBytes: number | null },
): Promise<unknown> {
  const { memoryBytes } = options;
  const argv = supervisorCommand(
    layout,
    {
      dataLimitKiB: memoryBytes === null ? null : Math.ceil(memoryBytes / 1024) + RUNNER_DATA_KIB,
      joinFiles: options.joinFiles,
    },
    command,
  );
  const child = Bun.spawn(argv, {
    cwd: '/',
    env: { PATH: process.env.PATH ?? SYSTEM_PATH.join(':'), [KERNEL_MARKER]: layout.kernelId },
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'ignore',
    detached: true,
  });
  child.unref();
  return child.exited;
}
