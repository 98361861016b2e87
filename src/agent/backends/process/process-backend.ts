/**
 * Runs kernels as processes of this host, each in a sandbox of namespaces. Meant for one trusted
 * user and for machines with nothing installed; what it can't enforce it says in `isolationGaps`.
 */
import { mkdir, realpath, rm } from 'node:fs/promises';
import { availableParallelism, homedir, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../../common/clock.ts';
import { BackendError, errorMessage } from '../../../common/errors.ts';
import {
  canonicalOf,
  describeRuntimes,
  findHostRuntimes,
  type HostRuntime,
  isUnchanged,
} from '../../../common/images/host-runtimes.ts';
import { servicePortsOf, sessionServices } from '../../../common/images/labels.ts';
import type { Logger } from '../../../common/logger.ts';
import type { KernelSpec, ServicePort } from '../../../common/protocol/kernel.ts';
import type { AgentImage } from '../../../common/protocol/manager.ts';
import { type Random, systemRandom } from '../../../common/random.ts';
import { tailOfFiles } from '../../log-tail.ts';
import { allocationsIn } from '../../resources/allocations.ts';
import type { Grant } from '../../resources/grant.ts';
import { connectRunnerSocket } from '../../runner-client.ts';
import { ScratchSizes } from '../../stats/scratch-size.ts';
import type { KernelUsage } from '../../stats/usage.ts';
import type {
  Backend,
  CreatedKernel,
  HostCapacity,
  HostKernel,
  KernelExit,
  Peer,
  RunnerClient,
} from '../backend.ts';
import { hasJoined } from '../cluster-files.ts';
import { HostPorts } from '../host-ports.ts';
import { kernelHostNow } from '../record.ts';
import { heldOfShared, SHARED_NETWORK, sharedPorts } from '../service-ports.ts';
import { emptyTrash } from '../trash.ts';
import {
  type CgroupHierarchy,
  createCgroups,
  missingControls,
  prepareCgroups,
  removeCgroups,
} from './cgroup.ts';
import { ExitWatch } from './exit-watch.ts';
import { findHostApps, type HostApp, hostAppPorts } from './host-apps.ts';
import { isAlive, readSupervisor } from './host-processes.ts';
import { describeHost, type HostView } from './host-view.ts';
import { endKernel } from './kernel-end.ts';
import { joinKernel, prepareKernel, startKernel } from './kernel-start.ts';
import {
  type KernelLayout,
  kernelIds,
  kernelLayout,
  makeFolders,
  readExitCode,
  readRecord,
  SOCKET_NAME,
  writeRecord,
} from './layout.ts';
import { clearOrphans } from './orphans.ts';
import { chooseSandbox } from './sandbox.ts';
import type { SandboxKind } from './sandbox-plan.ts';
import { kernelUsages, type MeasuredKernel } from './usage.ts';

export interface ProcessBackendOptions {
  /** The agent's own folder; kernels live below it. */
  stateDir: string;
  clock: Clock;
  random?: Random;
  log: Logger;
  /** Host under which service ports are reachable. */
  kernelHost: string;
  /** Address that services listen on, loopback by default; the network is the host's. */
  bindHost?: string;
  /** Ports for services; both ends included. */
  portRange?: readonly [number, number];
  portReuseCooldownMs?: number;
  /** Further folders that kernels must not see, such as the cluster's data. */
  hiddenPaths?: readonly string[];
  /** Uses this kind of sandbox and no other. */
  sandbox?: SandboxKind;
  /** Where the host's own apps are looked for; the process's own search path by default. */
  searchPath?: string;
  /** false: works without control groups even where they are writable. */
  useCgroups?: boolean;
}

interface Host {
  readonly runtimes: readonly HostRuntime[];
  readonly view: HostView;
  readonly sandbox: SandboxKind;
  readonly apps: readonly HostApp[];
  readonly cgroups: CgroupHierarchy | null;
  readonly gaps: readonly string[];
}

/** How soon newly installed runtimes are noticed, at the most often. Milliseconds. */
const LOOK_AGAIN_MS = 5_000;

const LOOPBACK = '127.0.0.1';
/** Below the ports that systems hand out by themselves. */
const PORT_RANGE = [15_000, 31_999] as const;

const GENERAL_GAPS = [SHARED_NETWORK, 'Disk space below /home/work is not limited.'];

export class ProcessBackend implements Backend {
  readonly name = 'process';
  readonly #options: ProcessBackendOptions;
  readonly #kernelsFolder: string;
  readonly #trash: string;
  readonly #listeners = new Set<(exit: KernelExit) => void>();
  readonly #watch: ExitWatch;
  readonly #scratchSizes: ScratchSizes;
  readonly #ports: HostPorts;
  #host: Promise<Host> | null = null;
  /** The look at the host that nobody waits for. */
  #looking: Promise<void> = Promise.resolve();
  #seen: { runtimes: HostRuntime[]; atMs: number } | null = null;

  constructor(options: ProcessBackendOptions) {
    this.#options = options;
    this.#kernelsFolder = join(options.stateDir, 'kernels');
    this.#trash = join(options.stateDir, 'trash');
    this.#scratchSizes = new ScratchSizes(options.clock);
    this.#ports = new HostPorts({
      range: options.portRange ?? PORT_RANGE,
      cooldownMs: options.portReuseCooldownMs ?? 0,
      bindHost: options.bindHost ?? LOOPBACK,
      clock: options.clock,
      random: options.random ?? systemRandom,
    });
    this.#watch = new ExitWatch(options.clock, (exit) => {
      for (const listener of this.#listeners) listener(exit);
    });
  }

  async capacity(): Promise<HostCapacity> {
    return {
      cpus: availableParallelism(),
      memoryBytes: totalmem(),
      deviceDrivers: ['device-files'],
    };
  }

  async scanImages(): Promise<AgentImage[]> {
    return describeRuntimes(await this.#runtimes(LOOK_AGAIN_MS));
  }

  async hasImage(spec: KernelSpec): Promise<boolean> {
    return (await this.#runtimeOf(spec)) !== null;
  }

  async pullImage(spec: KernelSpec): Promise<void> {
    throw new BackendError(
      'ImageNotFound',
      `${spec.image.canonical} is not installed on this host, and the process backend can't pull ` +
        'images. Install the runtime, or use the docker backend.',
    );
  }

  async create(spec: KernelSpec, grant: Grant, signal: AbortSignal): Promise<CreatedKernel> {
    const host = await this.#prepared();
    const runtime = await this.#runtimeOf(spec);
    if (!runtime) await this.pullImage(spec);
    signal.throwIfAborted();
    const layout = kernelLayout(this.#kernelsFolder, spec.kernelId);
    await makeFolders(layout).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
      throw new BackendError('KernelCreationFailed', `The kernel ${spec.kernelId} exists already.`);
    });
    try {
      const created = await this.#start(host, runtime, layout, spec, grant, signal);
      signal.throwIfAborted();
      return created;
    } catch (error) {
      await this.destroy(spec.kernelId, 0);
      throw error;
    }
  }

  async #start(
    host: Host,
    runtime: HostRuntime | null,
    layout: KernelLayout,
    spec: KernelSpec,
    grant: Grant,
    signal: AbortSignal,
  ): Promise<CreatedKernel> {
    const cpus = spec.slots.cpu === undefined ? null : Number(spec.slots.cpu);
    const memoryBytes = spec.slots.mem === undefined ? null : Number(spec.slots.mem);
    const limits = { cpus, memoryBytes, cpuIds: grant.cpuIds };
    const cgroups = await createCgroups(host.cgroups, spec.kernelId, limits);
    const servicePorts = await this.#servicePorts(spec, host.apps);
    const isolationGaps = [...host.gaps, ...cgroups.gaps];
    const { kernelHost, bindHost = LOOPBACK } = this.#options;
    await writeRecord(layout, {
      version: 1,
      spec,
      allocations: grant.allocations,
      kernelHost,
      bindHost,
      servicePorts,
      isolationGaps,
      sandbox: host.sandbox,
    });
    const { command } = await prepareKernel({
      layout,
      spec,
      view: host.view,
      sandbox: host.sandbox,
      runtimes: host.runtimes,
      runtime,
      servicePorts,
      apps: host.apps,
      serviceHost: bindHost,
      grant,
      pinnedCpus: cgroups.enforced.has('cpuset') ? [] : grant.cpuIds,
    });
    signal.throwIfAborted();
    const ended = startKernel(layout, command, {
      joinFiles: cgroups.joinFiles,
      memoryBytes: cgroups.enforced.has('memory') ? null : memoryBytes,
    });
    this.#watch.own(layout, ended);
    const containerId = spec.kernelId.replaceAll('-', '');
    return { containerId, kernelHost, servicePorts, isolationGaps };
  }

  #servicePorts(spec: KernelSpec, apps: readonly HostApp[]): Promise<ServicePort[]> {
    const services = [
      ...sessionServices(),
      ...hostAppPorts(apps),
      ...servicePortsOf(spec.image.labels, spec.preopenPorts),
    ];
    return sharedPorts(this.#ports, spec.kernelId, services);
  }

  async connectRunner(kernelId: string, signal: AbortSignal): Promise<RunnerClient> {
    const layout = kernelLayout(this.#kernelsFolder, kernelId);
    const ended = new AbortController();
    const path = join(layout.socketFolder, SOCKET_NAME);
    const stopWatching = this.#watch.onEnd(layout, () =>
      ended.abort(
        new BackendError('KernelNotReady', 'The session ended before it could be connected to.'),
      ),
    );
    try {
      const client = await connectRunnerSocket(
        path,
        this.#options.clock,
        AbortSignal.any([signal, ended.signal]),
      );
      client.closed.then(() => this.#watch.checkNow());
      return client;
    } finally {
      stopWatching();
    }
  }

  async join(spec: KernelSpec, peers: readonly Peer[]): Promise<void> {
    const layout = kernelLayout(this.#kernelsFolder, spec.kernelId);
    const { sandbox } = await this.#prepared();
    await joinKernel(layout, spec, sandbox, peers);
  }

  async isolationGaps(): Promise<string[]> {
    const { gaps, cgroups } = await this.#prepared();
    return [...gaps, ...missingControls(cgroups)];
  }

  async list(): Promise<HostKernel[]> {
    // Looking at the host takes a moment that the first kernel need not wait for; should it fail,
    // that kernel looks again and tells.
    this.#looking = this.#prepared()
      .then(({ cgroups }) => this.#clearOrphans(cgroups))
      .catch((error) => {
        this.#options.log.warn('This host is not ready for kernels', {
          error: errorMessage(error),
        });
      });
    await emptyTrash(this.#trash);
    const ids = await kernelIds(this.#kernelsFolder);
    return await Promise.all(
      ids.map((id) => this.#describe(kernelLayout(this.#kernelsFolder, id))),
    );
  }

  async #clearOrphans(cgroups: CgroupHierarchy | null): Promise<void> {
    const ended = await clearOrphans(this.#kernelsFolder, cgroups, this.#options.clock);
    if (ended.length > 0) {
      this.#options.log.warn('Kernels whose folder was deleted were ended', { kernels: ended });
    }
  }

  async #describe(layout: KernelLayout): Promise<HostKernel> {
    const [record, joined, exitCode, supervisor] = await Promise.all([
      readRecord(layout),
      hasJoined(layout.config),
      readExitCode(layout),
      readSupervisor(layout),
    ]);
    const running = exitCode === null && supervisor !== null && (await isAlive(supervisor));
    if (running) this.#watch.adopt(layout);
    this.#ports.restore(layout.kernelId, heldOfShared(record?.servicePorts ?? []));
    return {
      kernelId: layout.kernelId,
      sessionId: record?.spec.sessionId ?? '',
      containerId: layout.kernelId.replaceAll('-', ''),
      state: running ? 'running' : 'exited',
      exitCode,
      spec: record?.spec ?? null,
      servicePorts: record?.servicePorts ?? [],
      kernelHost: kernelHostNow(record, { bindHost: LOOPBACK, ...this.#options }),
      isolationGaps: record?.isolationGaps ?? [],
      allocations: allocationsIn(record),
      joined,
    };
  }

  logs(kernelId: string, maxBytes: number): Promise<string> {
    const layout = kernelLayout(this.#kernelsFolder, kernelId);
    return tailOfFiles([layout.previousLog, layout.log], maxBytes);
  }

  async usage(kernelIds: readonly string[]): Promise<ReadonlyMap<string, KernelUsage>> {
    const { cgroups } = await this.#prepared();
    const layouts = kernelIds.map((id) => kernelLayout(this.#kernelsFolder, id));
    const sizes = this.#scratchSizes.sizes(new Map(layouts.map((l) => [l.kernelId, l.work])));
    const found = await Promise.all(
      layouts.map(async (layout): Promise<MeasuredKernel | null> => {
        const supervisor = await readSupervisor(layout);
        return supervisor && { kernelId: layout.kernelId, supervisor: supervisor.pid };
      }),
    );
    const usages = await kernelUsages(
      cgroups,
      found.filter((kernel) => kernel !== null),
    );
    return new Map(
      [...usages].map(([id, usage]) => [id, { ...usage, scratchBytes: sizes.get(id) ?? null }]),
    );
  }

  async destroy(kernelId: string, graceMs: number): Promise<number | null> {
    const { cgroups } = await this.#prepared();
    const layout = kernelLayout(this.#kernelsFolder, kernelId);
    this.#watch.forget(kernelId);
    this.#ports.release(kernelId);
    return await endKernel(layout, {
      graceMs,
      clock: this.#options.clock,
      trash: this.#trash,
      cleanUp: () => removeCgroups(this.#options.clock, cgroups, kernelId),
    });
  }

  onExit(listener: (exit: KernelExit) => void): void {
    this.#listeners.add(listener);
  }

  async close(): Promise<void> {
    this.#listeners.clear();
    this.#watch.close();
    // It writes into the state folder, which may be somebody else's, or gone, afterwards.
    await this.#looking;
    await this.#scratchSizes.settled();
  }

  get #runtimeCache(): string {
    return join(this.#options.stateDir, 'host-runtimes.json');
  }

  /** The runtimes of the host, looked for anew when the last look was `maxAgeMs` ago. */
  async #runtimes(maxAgeMs: number): Promise<HostRuntime[]> {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#seen && nowMs - this.#seen.atMs < maxAgeMs) return this.#seen.runtimes;
    const runtimes = await findHostRuntimes({ cacheFile: this.#runtimeCache });
    this.#seen = { runtimes, atMs: nowMs };
    return runtimes;
  }

  async #runtimeOf(spec: KernelSpec): Promise<HostRuntime | null> {
    const isWanted = (runtime: HostRuntime) => canonicalOf(runtime) === spec.image.canonical;
    // Looking through all folders takes longer than all else that a start needs here.
    const seen = this.#seen?.runtimes.find(isWanted);
    if (seen && (await isUnchanged(seen))) return seen;
    return (await this.#runtimes(0)).find(isWanted) ?? null;
  }

  /** Looks at the host once; a failure is tried again by the next caller. */
  #prepared(): Promise<Host> {
    this.#host ??= this.#prepare().catch((error) => {
      this.#host = null;
      throw error;
    });
    return this.#host;
  }

  async #prepare(): Promise<Host> {
    const { stateDir, hiddenPaths = [], sandbox: only, useCgroups = true, log } = this.#options;
    await mkdir(this.#kernelsFolder, { recursive: true, mode: 0o700 });
    const hidden = await Promise.all(
      [stateDir, homedir(), '/root', '/home', ...hiddenPaths].map((path) =>
        realpath(path).catch(() => path),
      ),
    );
    const runtimes = await this.#runtimes(LOOK_AGAIN_MS);
    const [view, cgroups] = await Promise.all([
      describeHost(runtimes, [...new Set(hidden)]),
      useCgroups ? prepareCgroups() : null,
    ]);
    const choice = await this.#choose(view, only);
    if (choice.reasons.length > 0) {
      log.warn('Sessions are less isolated than they could be', { reasons: choice.reasons });
    }
    const gaps = choice.kind === 'none' ? noSandboxGaps(choice.reasons) : [];
    const searchPath = this.#options.searchPath ?? process.env.PATH ?? '';
    const apps = await findHostApps(view, choice.kind, runtimes, searchPath);
    return {
      ...{ runtimes, view, sandbox: choice.kind, apps, cgroups },
      gaps: [...GENERAL_GAPS, ...gaps],
    };
  }

  async #choose(view: HostView, only: SandboxKind | undefined) {
    const folder = join(this.#options.stateDir, 'probe');
    await mkdir(folder, { recursive: true });
    try {
      return await chooseSandbox(
        {
          view,
          hostname: 'probe',
          writable: [[folder, '/tmp']],
          folders: [],
          readOnly: [],
          devices: [],
          shmBytes: 1024 * 1024,
          workingFolder: '/tmp',
          rootFolder: folder,
        },
        only,
      );
    } catch (error) {
      throw new BackendError('KernelCreationFailed', errorMessage(error), { cause: error });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
}

const noSandboxGaps = (reasons: readonly string[]): string[] => [
  'Sessions are not isolated: they can read whatever the agent may read, and see the processes of ' +
    `the host. Namespaces can't be used here (${reasons.join('; ')}).`,
];
