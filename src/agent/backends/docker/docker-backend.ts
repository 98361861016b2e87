/**
 * Runs kernels as containers of a Docker daemon on this host, or of Podman through its compatible
 * socket. Containers outlive the agent and are found again by their labels.
 */
import { join } from 'node:path';
import type { ContainerCreateOptions } from 'dockerode';
import * as v from 'valibot';
import { DockerEngine, isMissing } from '../../../common/docker/engine.ts';
import { BackendError, errorMessage } from '../../../common/errors.ts';
import { servicePortsOf, sessionServices } from '../../../common/images/labels.ts';
import type { CommitTarget } from '../../../common/protocol/commit.ts';
import type { KernelSpec, ServicePort } from '../../../common/protocol/kernel.ts';
import type { AgentImage } from '../../../common/protocol/manager.ts';
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
import type { HostPorts } from '../host-ports.ts';
import { kernelHostNow } from '../record.ts';
import {
  heldOfPublished,
  heldOfShared,
  publishedPorts,
  SHARED_NETWORK,
  sharedPorts,
} from '../service-ports.ts';
import { emptyTrash, removeToTrash } from '../trash.ts';
import { ClusterNetworks, hasClusterNetwork } from './cluster-networks.ts';
import { commitKernel } from './commit.ts';
import { KERNEL_LABEL } from './container-spec.ts';
import { Containers, type FoundContainer } from './containers.ts';
import { asCreationFailure, isPortTaken } from './creation-failures.ts';
import { type DaemonTraits, describeDaemon, gapsOf } from './daemon.ts';
import { EventStream } from './event-stream.ts';
import { ExitWatch } from './exit-watch.ts';
import { ImageStore } from './image-store.ts';
import { instanceOf } from './instance.ts';
import { noteContainer } from './kernel-files.ts';
import { joinKernel, prepareKernel } from './kernel-start.ts';
import {
  kernelIds,
  kernelLayout,
  makeFolders,
  type Owner,
  readRecord,
  SOCKET_NAME,
  trashFolder,
} from './layout.ts';
import { containerLog } from './log-stream.ts';
import { type DockerBackendOptions, hostPortsOf, ownerOf } from './options.ts';
import { type Prepared, prepareHost } from './preparation.ts';
import { containerUsages } from './usage.ts';

const START_TIMEOUT_MS = 120_000;

/** What is known once the daemon answered. */
interface Connection {
  readonly daemon: DaemonTraits;
  readonly instance: string;
  readonly containers: Containers;
  readonly networks: ClusterNetworks;
}

export class DockerBackend implements Backend {
  readonly name = 'docker';
  readonly #options: DockerBackendOptions;
  readonly #owner: Owner;
  readonly #engine: DockerEngine;
  readonly #images: ImageStore;
  readonly #ports: HostPorts;
  readonly #watch: ExitWatch;
  readonly #scratchSizes: ScratchSizes;
  readonly #events: EventStream;
  readonly #listeners = new Set<(exit: KernelExit) => void>();
  /** Kernels in which a program was ended for want of memory, as far as this agent was told. */
  readonly #ranOut = new Set<string>();
  /** Kernels that this process is creating at the moment, with their sessions. */
  readonly #creating = new Map<string, string>();
  #connection: Promise<Connection> | null = null;
  #preparing: Promise<Prepared> | null = null;

  constructor(options: DockerBackendOptions) {
    const { socketPath, clock, log } = options;
    this.#options = options;
    this.#owner = ownerOf(options);
    this.#engine = new DockerEngine(socketPath, clock);
    this.#images = new ImageStore(this.#engine, clock);
    this.#ports = hostPortsOf(options);
    this.#scratchSizes = new ScratchSizes(clock);
    this.#watch = new ExitWatch((exit) => {
      for (const listener of this.#listeners) listener(exit);
    });
    this.#events = new EventStream(this.#engine, clock, log, {
      died: (containerId, attributes) => this.#died(containerId, attributes),
      outOfMemory: (attributes) => {
        const kernelId = attributes[KERNEL_LABEL] ?? '';
        log.warn('A session ran out of memory', { kernelId });
        this.#ranOut.add(kernelId);
      },
      imagesChanged: () => this.#images.invalidate(),
      resumed: () => void this.#catchUp(),
    });
  }

  async capacity(): Promise<HostCapacity> {
    const { cpus, memoryBytes, runtimes } = (await this.#connected()).daemon;
    // Ready by the time the first kernel comes; a failure is told to whoever needs it.
    this.#prepared().catch((error) =>
      this.#options.log.error('The docker backend is not ready', { error: errorMessage(error) }),
    );
    return { cpus, memoryBytes, deviceDrivers: runtimes };
  }

  async isolationGaps(): Promise<string[]> {
    return gapsOf((await this.#connected()).daemon);
  }

  async scanImages(): Promise<AgentImage[]> {
    await this.#connected();
    return await this.#images.list(this.#events.isOpen);
  }

  async hasImage(spec: KernelSpec): Promise<boolean> {
    await this.#connected();
    return (await this.#images.idOf(spec.image.canonical)) !== null;
  }

  pullImage(spec: KernelSpec, signal: AbortSignal): Promise<void> {
    return this.#images.pull(spec, signal);
  }

  /** A host port that was free a moment ago may be somebody else's now: then others are taken. */
  async create(spec: KernelSpec, grant: Grant, signal: AbortSignal): Promise<CreatedKernel> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#create(spec, grant, signal);
      } catch (error) {
        if (attempt >= PORT_ATTEMPTS || !isPortTaken(error)) throw error;
        signal.throwIfAborted();
      }
    }
  }

  async #create(spec: KernelSpec, grant: Grant, signal: AbortSignal): Promise<CreatedKernel> {
    const { kernelId } = spec;
    const [connection, prepared] = await Promise.all([this.#connected(), this.#prepared()]);
    const imageId = await this.#images.idOf(spec.image.canonical);
    if (imageId === null) {
      throw new BackendError(
        'ImageNotFound',
        `${spec.image.canonical} is not on this agent's Docker daemon.`,
      );
    }
    signal.throwIfAborted();
    const layout = kernelLayout(this.#options.scratchRoot, kernelId);
    this.#creating.set(kernelId, spec.sessionId);
    try {
      await makeFolders(layout, this.#owner).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
        throw new BackendError('KernelCreationFailed', `The kernel ${kernelId} exists already.`);
      });
      try {
        const { daemon, instance } = connection;
        const isolationGaps = [...gapsOf(daemon), ...(spec.useHostNetwork ? [SHARED_NETWORK] : [])];
        const servicePorts = await this.#servicePorts(spec);
        const body = await prepareKernel(this.#engine, {
          ...this.#options,
          ...{
            spec,
            grant,
            layout,
            imageId,
            servicePorts,
            isolationGaps,
            daemon,
            instance,
            prepared,
          },
          owner: this.#owner,
        });
        if (hasClusterNetwork(spec)) await connection.networks.ensure(spec);
        const containerId = await this.#start(kernelId, body, signal);
        signal.throwIfAborted();
        await noteContainer(layout, containerId);
        const { kernelHost } = this.#options;
        return { containerId, kernelHost, servicePorts, isolationGaps };
      } catch (error) {
        // The image may have gone while it was believed to be there.
        if (isMissing(error)) this.#images.invalidate();
        await this.#undo(kernelId);
        throw asCreationFailure(error);
      }
    } finally {
      this.#creating.delete(kernelId);
    }
  }

  async #undo(kernelId: string): Promise<void> {
    try {
      await this.destroy(kernelId, 0);
    } catch (error) {
      // The caller destroys a kernel that failed once more; what matters is why it failed.
      this.#options.log.warn('A kernel that failed to start could not be removed yet', {
        kernelId,
        error: errorMessage(error),
      });
    }
  }

  /** Creates and starts the container. @returns its id. */
  async #start(
    kernelId: string,
    body: ContainerCreateOptions,
    signal: AbortSignal,
  ): Promise<string> {
    signal.throwIfAborted();
    this.#watch.expect(kernelId);
    // Not given the caller's signal: a request that is broken off may still take effect later.
    const containerId = await this.#engine.call(
      async (docker, abortSignal) => (await docker.createContainer({ ...body, abortSignal })).id,
      { timeoutMs: START_TIMEOUT_MS },
    );
    this.#watch.watch(kernelId, containerId);
    signal.throwIfAborted();
    await this.#engine.call(
      (docker, abortSignal) => docker.getContainer(containerId).start({ abortSignal }),
      { timeoutMs: START_TIMEOUT_MS },
    );
    return containerId;
  }

  #servicePorts(spec: KernelSpec): Promise<ServicePort[]> {
    const services = [
      ...sessionServices(),
      ...servicePortsOf(spec.image.labels, spec.preopenPorts),
    ];
    const given = spec.useHostNetwork ? sharedPorts : publishedPorts;
    return given(this.#ports, spec.kernelId, services);
  }

  async connectRunner(kernelId: string, signal: AbortSignal): Promise<RunnerClient> {
    const layout = kernelLayout(this.#options.scratchRoot, kernelId);
    const ended = new AbortController();
    const stopWatching = this.#watch.onEnd(kernelId, () =>
      ended.abort(
        new BackendError('KernelNotReady', 'The session ended before it could be connected to.'),
      ),
    );
    try {
      return await connectRunnerSocket(
        join(layout.socketFolder, SOCKET_NAME),
        this.#options.clock,
        AbortSignal.any([signal, ended.signal]),
      );
    } finally {
      stopWatching();
    }
  }

  async list(): Promise<HostKernel[]> {
    const { containers: all } = await this.#connected();
    const { scratchRoot } = this.#options;
    await emptyTrash(trashFolder(scratchRoot));
    await this.#sweepNetworks();
    const [containers, folders] = await Promise.all([all.find(), kernelIds(scratchRoot)]);
    const withContainer = new Set(containers.map(({ kernelId }) => kernelId));
    const lost = folders.filter((id) => !withContainer.has(id));
    const found: FoundContainer[] = [
      ...containers,
      ...lost.map((kernelId) => ({
        containerId: '',
        kernelId,
        sessionId: '',
        state: 'unstarted' as const,
      })),
    ].filter(({ kernelId }) => !this.#creating.has(kernelId) && isKernelId(kernelId));
    return await Promise.all(found.map((container) => this.#describe(all, container)));
  }

  async #describe(containers: Containers, container: FoundContainer): Promise<HostKernel> {
    const { kernelId, containerId } = container;
    const end = this.#watch.endOf(kernelId);
    const state = end ? 'exited' : container.state;
    const layout = kernelLayout(this.#options.scratchRoot, kernelId);
    const [record, joined, exitCode] = await Promise.all([
      readRecord(layout),
      hasJoined(layout.config),
      end?.exitCode ?? (state === 'exited' ? containers.exitCode(containerId) : null),
    ]);
    if (state === 'running') this.#watch.watch(kernelId, containerId);
    const ports = record?.servicePorts ?? [];
    this.#ports.restore(
      kernelId,
      record?.spec.useHostNetwork ? heldOfShared(ports) : heldOfPublished(ports),
    );
    return {
      kernelId,
      sessionId: record?.spec.sessionId ?? container.sessionId,
      containerId,
      state: state === 'running' ? 'running' : 'exited',
      exitCode,
      spec: record?.spec ?? null,
      servicePorts: record?.servicePorts ?? [],
      kernelHost: kernelHostNow(record, this.#options),
      isolationGaps: record?.isolationGaps ?? [],
      allocations: allocationsIn(record),
      joined,
    };
  }

  async join(spec: KernelSpec, peers: readonly Peer[]): Promise<void> {
    await joinKernel(kernelLayout(this.#options.scratchRoot, spec.kernelId), spec, peers);
  }

  /** Whether a kernel of a session, other than the given one, has a container or is to get one. */
  async #hasOthers(sessionId: string, kernelId: string | null): Promise<boolean> {
    const { containers } = await this.#connected();
    const found = (await containers.find()).map((one) => [one.kernelId, one.sessionId] as const);
    return [...this.#creating, ...found].some(
      ([id, session]) => session === sessionId && id !== kernelId,
    );
  }

  /** Removes networks whose last kernel went while nobody looked. */
  async #sweepNetworks(): Promise<void> {
    const { networks } = await this.#connected();
    for (const sessionId of await networks.sessions()) {
      await networks.release(sessionId, () => this.#hasOthers(sessionId, null));
    }
  }

  async logs(kernelId: string, maxBytes: number): Promise<string> {
    const { containers } = await this.#connected();
    const [container] = await containers.find(kernelId);
    return container ? await containerLog(this.#engine, container.containerId, maxBytes) : '';
  }

  async ranOutOfMemory(kernelId: string): Promise<boolean> {
    if (this.#ranOut.has(kernelId)) return true;
    const { containers } = await this.#connected();
    const [container] = await containers.find(kernelId);
    return container !== undefined && (await containers.ranOutOfMemory(container.containerId));
  }

  async commit(
    kernelId: string,
    target: CommitTarget,
    say: (text: string) => void,
    signal: AbortSignal,
  ): Promise<AgentImage | null> {
    const { containers } = await this.#connected();
    const [container] = await containers.find(kernelId);
    if (!container) {
      throw new BackendError('KernelNotFound', `Kernel ${kernelId} has no container any more.`);
    }
    const kernel = { kernelId, containerId: container.containerId };
    const { commitFolder: folder, clock } = this.#options;
    await commitKernel(this.#engine, kernel, target, { folder, say, clock, signal });
    if (target.kind === 'archive') return null;
    this.#images.invalidate();
    const known = await this.#images.list(true);
    return known.find(({ canonical }) => canonical === target.canonical) ?? null;
  }

  async usage(kernelIds: readonly string[]): Promise<ReadonlyMap<string, KernelUsage>> {
    await this.#connected();
    const wanted = new Set(kernelIds);
    const containers = new Map(
      this.#watch
        .watched()
        .filter((known) => wanted.has(known.kernelId))
        .map((known) => [known.kernelId, known.containerId]),
    );
    const sizes = this.#scratchSizes.sizes(
      new Map(
        kernelIds.map((id) => [id, kernelLayout(this.#options.scratchRoot, id).work] as const),
      ),
    );
    const usages = await containerUsages(this.#engine, containers);
    return new Map(
      [...usages].map(([id, usage]) => [id, { ...usage, scratchBytes: sizes.get(id) ?? null }]),
    );
  }

  async destroy(kernelId: string, graceMs: number): Promise<number | null> {
    const { scratchRoot } = this.#options;
    const layout = kernelLayout(scratchRoot, kernelId);
    const { containers, networks } = await this.#connected();
    this.#watch.forget(kernelId);
    this.#ranOut.delete(kernelId);
    const found = await containers.find(kernelId);
    let exitCode: number | null = null;
    for (const { containerId } of found) {
      exitCode = await containers.end(containerId, graceMs);
    }
    const spec = (await readRecord(layout))?.spec;
    const sessionId = spec?.sessionId ?? found[0]?.sessionId;
    // Before the record goes: should it fail, the next attempt still knows the session.
    if (sessionId !== undefined && (spec === undefined || hasClusterNetwork(spec))) {
      await networks.release(sessionId, () => this.#hasOthers(sessionId, kernelId));
    }
    this.#ports.release(kernelId);
    await removeToTrash(layout.folder, kernelId, trashFolder(scratchRoot));
    return exitCode;
  }

  onExit(listener: (exit: KernelExit) => void): void {
    this.#listeners.add(listener);
  }

  async close(): Promise<void> {
    this.#listeners.clear();
    this.#events.close();
    await this.#preparing?.catch(() => null);
    await this.#scratchSizes.settled();
  }

  #died(containerId: string, attributes: Readonly<Record<string, string>>): void {
    const kernelId = attributes[KERNEL_LABEL];
    const isOurs = this.#watch
      .watched()
      .some((known) => known.kernelId === kernelId && known.containerId === containerId);
    if (kernelId === undefined || !isOurs) return;
    const exitCode = Number(attributes.exitCode);
    this.#watch.ended(kernelId, Number.isInteger(exitCode) ? exitCode : null);
  }

  /** Looks for what ended while no events came. */
  async #catchUp(): Promise<void> {
    this.#images.invalidate();
    const expected = this.#watch.watched();
    try {
      const { containers } = await this.#connected();
      const found = new Map(
        (await containers.find()).map((container) => [container.kernelId, container]),
      );
      for (const { kernelId, containerId } of expected) {
        const state = found.get(kernelId)?.state;
        if (state === 'running') continue;
        const code = state === 'exited' ? await containers.exitCode(containerId) : null;
        this.#watch.ended(kernelId, code);
      }
    } catch (error) {
      // The event stream breaks again when the daemon does, and calls us once more.
      this.#options.log.warn('Containers could not be looked at', { error: errorMessage(error) });
    }
  }

  /** Connects once; a failure is tried again by the next caller. */
  #connected(): Promise<Connection> {
    this.#connection ??= this.#connect().catch((error) => {
      this.#connection = null;
      throw error;
    });
    return this.#connection;
  }

  async #connect(): Promise<Connection> {
    const daemon = await describeDaemon(this.#engine);
    const instance = await instanceOf(this.#options.scratchRoot);
    const containers = new Containers(this.#engine, instance, this.#options.keepEnded ?? false);
    await containers.removeProbes();
    await this.#events.open();
    const networks = new ClusterNetworks(this.#engine, instance);
    return { daemon, instance, containers, networks };
  }

  #prepared(): Promise<Prepared> {
    const { stateDir, scratchRoot, logBytes, pidsLimit, clock, log } = this.#options;
    const progress = (message: string) => log.warn(message);
    this.#preparing ??= prepareHost({
      stateDir,
      scratchRoot,
      logBytes,
      pidsLimit,
      clock,
      progress,
    }).catch((error) => {
      this.#preparing = null;
      throw error;
    });
    return this.#preparing;
  }
}

/** How often a kernel is created anew because of host ports that were taken. */
const PORT_ATTEMPTS = 5;

const isKernelId = (text: string): boolean => v.is(v.pipe(v.string(), v.uuid()), text);
