/** Puts an agent together: kernels found on the host are adopted, then the manager is told. */
import { cpuFamily } from '../accelerator/cpu.ts';
import type { DeviceFamily } from '../accelerator/family.ts';
import { memoryFamily } from '../accelerator/memory.ts';
import type { Clock, Timer } from '../common/clock.ts';
import type { HostPort } from '../common/config/values.ts';
import { errorMessage, UserError } from '../common/errors.ts';
import { hostArchitecture } from '../common/images/labels.ts';
import type { Logger } from '../common/logger.ts';
import { agentApi } from '../common/protocol/agent.ts';
import type { AgentEvent, Heartbeat, managerApi } from '../common/protocol/manager.ts';
import type { Random } from '../common/random.ts';
import type { ApiOf } from '../common/rpc/api.ts';
import { observed } from '../common/rpc/observed.ts';
import { rpcHandler } from '../common/rpc/server.ts';
import { type NodeKeys, requestVerifier } from '../common/rpc/signature.ts';
import { noTracer, type Tracer } from '../common/tracing.ts';
import { VERSION } from '../common/version.ts';
import { type AnsweredCall, callMetrics } from '../metrics/calls.ts';
import { createRegistry, type MetricsRegistry } from '../metrics/registry.ts';
import { serveServiceHttp } from '../metrics/service-http.ts';
import { type KernelLabels, utilizationMetrics } from '../metrics/utilization.ts';
import { GroupAssignment } from './assignment.ts';
import type { Backend, HostCapacity } from './backends/backend.ts';
import { joinClusters } from './clusters.ts';
import { Commits } from './commits.ts';
import { Executor } from './executor.ts';
import { HeartbeatSender } from './heartbeat.ts';
import { foundKernel, type Kernel, KernelRegistry } from './kernels.ts';
import { Outbox } from './outbox.ts';
import { Allocator } from './resources/allocator.ts';
import { agentService } from './service.ts';
import type { AgentSettings } from './settings.ts';
import { AcceleratorMeter } from './stats/accelerators.ts';
import { StatisticsReporter } from './stats/reporter.ts';
import { Wishes } from './wishes.ts';

/**
 * How long a changed state is held back, so that a burst of changes is one heartbeat. Events have
 * told the manager before; the heartbeat is what makes up for lost ones.
 */
const CHANGE_DELAY_MS = 500;
const STATISTICS_INTERVAL_MS = 5_000;

export interface AgentListen {
  hostname: string;
  /** 0: any free port. */
  port: number;
  /** Decides by public key who may call. */
  isTrusted: (publicKey: string) => boolean | Promise<boolean>;
  /** What the manager is told to call, when it differs: `http://host:port`. */
  advertisedUrl?: string;
}

export interface AgentOptions {
  settings: AgentSettings;
  backend: Backend;
  /** Accelerators that kernels can be given. */
  accelerators?: readonly DeviceFamily[];
  manager: ApiOf<typeof managerApi>;
  keys: NodeKeys;
  /** Folder for what outlives the agent. */
  stateDir: string;
  /** Absent: the manager calls the returned `api` in this process. */
  listen?: AgentListen;
  /** Where health and metrics are served; absent: nowhere. */
  serviceListen?: HostPort;
  /** How often statistics are reported, when not every five seconds. */
  statisticsIntervalMs?: number;
  /** Of the calls that it answers, and how kernels start; none by default. */
  tracer?: Tracer;
  clock: Clock;
  random: Random;
  log: Logger;
}

export interface RunningAgent {
  readonly agentId: string;
  readonly api: ApiOf<typeof agentApi>;
  /** Where it listens; null without `listen`. */
  readonly url: string | null;
  /** Where health and metrics are; null where they are not served. */
  readonly serviceUrl: string | null;
  /** What is told of it to Prometheus. */
  readonly metrics: MetricsRegistry;
  /** Says goodbye to the manager. Kernels keep running. */
  stop(): Promise<void>;
}

function serve(
  options: AgentOptions,
  api: ApiOf<typeof agentApi>,
  note: (answered: AnsweredCall) => void,
) {
  const { listen, keys, clock, log } = options;
  if (!listen) return null;
  const handler = rpcHandler(agentApi, api, {
    verify: requestVerifier({ clock, isTrusted: listen.isTrusted, self: keys.publicKey }),
    keys,
    tracer: options.tracer,
    onAnswer: (method, elapsedMs, problem) => note({ method, elapsedMs, problem }),
    onError: (error, method) => log.error(`The call ${method} failed`, { error: String(error) }),
  });
  try {
    const { hostname, port } = listen;
    return Bun.serve({
      ...{ hostname, port, fetch: handler, idleTimeout: 120, development: false },
      // Without development mode Bun would share the port with whoever else listens there.
      reusePort: false,
    });
  } catch (error) {
    throw new UserError(
      `The agent can't listen on ${listen.hostname}:${listen.port}: ${errorMessage(error)}`,
      { hint: 'Stop what uses the port, or set another rpc-listen-addr in agent.toml.' },
    );
  }
}

/** Health and metrics, where they are wanted. */
const serveWatchers = (
  { serviceListen, log }: AgentOptions,
  metrics: MetricsRegistry,
  isReady: () => boolean,
) =>
  serviceListen
    ? serveServiceHttp(serviceListen, {
        component: 'agent',
        metrics: { '/metrics': metrics },
        setting: 'service-addr in agent.toml',
        log,
        isReady,
      })
    : null;

interface Parts {
  readonly registry: KernelRegistry;
  readonly outbox: Outbox;
  readonly allocator: Allocator;
  readonly executor: Executor;
  readonly wishes: Wishes;
}

/** The books of CPUs, memory and accelerators; what is reserved for the system is not in them. */
async function makeAllocator(
  { settings, accelerators = [] }: AgentOptions,
  { cpus, memoryBytes }: HostCapacity,
): Promise<Allocator> {
  const { resource } = settings;
  const memory = memoryFamily({
    bytes: BigInt(memoryBytes),
    reservedBytes: resource.reservedMemBytes,
    alignBytes: resource.memoryAlignBytes,
  });
  const cpu = await cpuFamily({ count: cpus, reserved: resource.reservedCpu });
  return new Allocator({
    families: [...accelerators, cpu, memory],
    allocationOrder: resource.allocationOrder,
    affinityPolicy: resource.affinityPolicy,
  });
}

/** @param onChange called when the state changed that heartbeats report. */
async function buildParts(
  options: AgentOptions,
  capacity: HostCapacity,
  onChange: () => void,
): Promise<Parts> {
  const { settings, backend, manager, stateDir, clock, log } = options;
  const allocator = await makeAllocator(options, capacity);
  const registry = new KernelRegistry();
  const outbox = new Outbox({
    stateDir,
    clock,
    log,
    deliver: async (events) => {
      const answer = await manager.deliver({ agentId: settings.id, events });
      wishes.noteAcknowledgedEnds(endedKernels(events, answer.ackedSeq));
      return answer;
    },
  });
  const executor = new Executor({
    backend,
    registry,
    outbox,
    allocator,
    clock,
    log,
    tracer: options.tracer ?? noTracer,
    creationConcurrency: settings.kernelCreationConcurrency,
    initTimeoutMs: settings.kernelLifecycles.initTimeoutMs,
    onChange,
  });
  const wishes = new Wishes({ registry, executor, outbox, clock, log });
  return { registry, outbox, allocator, executor, wishes };
}

/** The agent as it is now. */
async function describeAgent(
  { settings, backend, keys, listen }: AgentOptions,
  { registry, outbox, allocator }: Parts,
  scalingGroup: string,
  url: string | null,
): Promise<Heartbeat> {
  return {
    agentId: settings.id,
    version: VERSION,
    backend: backend.name,
    region: settings.region ?? 'local',
    scalingGroup,
    architecture: hostArchitecture(),
    addr: listen?.advertisedUrl ?? url ?? 'local:',
    publicHost:
      settings.publicHost ?? settings.container.advertisedHost ?? settings.container.bindHost,
    publicKey: keys.publicKey,
    availableSlots: allocator.offered,
    slotTypes: allocator.slotTypes,
    slotFormats: Object.assign({}, ...allocator.families.map(({ formats }) => formats)),
    computePlugins: Object.fromEntries(allocator.families.map(({ key, info }) => [key, info])),
    images: await backend.scanImages(),
    kernels: reportedKernels(registry, outbox),
  };
}

/** Calls `action` once, soon after the first of several calls. */
function debounced(clock: Clock, action: () => void): { call(): void; cancel(): void } {
  let timer: Timer | null = null;
  return {
    call: () => {
      timer ??= clock.timer(CHANGE_DELAY_MS, () => {
        timer = null;
        action();
      });
    },
    cancel: () => timer?.cancel(),
  };
}

async function sayGoodbye({ manager, settings, log }: AgentOptions): Promise<void> {
  try {
    await manager.goodbye({ agentId: settings.id, reason: 'shutdown' });
  } catch (error) {
    log.debug('The manager was not told that the agent stops', { error: errorMessage(error) });
  }
}

/**
 * Starts an agent on `stateDir`. It works whether or not the manager can be reached.
 * @throws UserError when the state can't be opened or the port is taken.
 */
export async function startAgent(options: AgentOptions): Promise<RunningAgent> {
  const { settings, backend, manager, clock, log } = options;
  const capacity = await backend.capacity();
  const group = await GroupAssignment.load(options.stateDir, settings.scalingGroup);
  const changes = debounced(clock, () => heartbeats.beatNow());
  const parts = await buildParts(options, capacity, changes.call);
  const { registry, outbox, executor, wishes } = parts;
  const heartbeats = new HeartbeatSender({
    intervalMs: settings.debug.heartbeatIntervalMs,
    clock,
    log,
    describe: () => describeAgent(options, parts, group.current, url),
    send: (heartbeat) => manager.heartbeat(heartbeat),
    onAnswer: (desired, askedAtMs) => {
      wishes.accept(desired, askedAtMs);
      outbox.retryNow();
    },
  });
  const metrics = createRegistry();
  const meter = new AcceleratorMeter(parts.allocator.families, log);
  const statistics = new StatisticsReporter({
    agentId: settings.id,
    intervalMs: options.statisticsIntervalMs ?? STATISTICS_INTERVAL_MS,
    running: () => registry.running(),
    measure: (kernelIds) => backend.usage(kernelIds),
    accelerators: () => meter.look(),
    metrics: utilizationMetrics(metrics, settings.id),
    labelsOf: (kernelId) => kernelLabels(registry.get(kernelId)),
    heldBy: (kernelId) => registry.get(kernelId)?.allocations ?? {},
    send: (report) => manager.reportStatistics(report),
    clock,
    log,
  });
  const commits = new Commits(backend, log);
  const api = agentService({
    agentId: settings.id,
    version: VERSION,
    registry,
    backend,
    families: parts.allocator.families,
    commits,
    abuseReportPath: settings.abuseReportPath,
    accept: (desired) => wishes.accept(desired),
    join: (joins) =>
      joinClusters(
        { agentId: settings.id, registry, backend, wake: (kernel) => executor.wake(kernel) },
        joins,
      ),
    assignGroup: async (name) => {
      await group.assign(name);
      heartbeats.beatNow();
    },
  });
  await using undo = new AsyncDisposableStack();
  undo.defer(() => outbox.stop());
  await adoptKernels(backend, parts);
  const note = callMetrics(metrics);
  const server = serve(options, api, note);
  const service = serveWatchers(options, metrics, () => heartbeats.isHeard);
  undo.move();
  const url = server ? `http://${server.hostname}:${server.port}` : null;
  for (const kernel of registry.all()) executor.wake(kernel);
  outbox.start();
  heartbeats.start();
  statistics.start();
  log.info('The agent is up', {
    agentId: settings.id,
    backend: backend.name,
    addr: url ?? 'in this process',
  });
  const stop = async () => {
    changes.cancel();
    await server?.stop();
    await service?.stop();
    await heartbeats.stop();
    await statistics.stop();
    await executor.stop();
    await commits.stop();
    await outbox.stop();
    await sayGoodbye(options);
    await backend.close();
  };
  let stopping: Promise<void> | null = null;
  return {
    agentId: settings.id,
    api: observed(agentApi, api, {
      onAnswer: (method, elapsedMs, problem) => note({ method, elapsedMs, problem }),
      tracer: options.tracer ?? noTracer,
    }),
    url,
    serviceUrl: service?.url ?? null,
    metrics,
    stop: () => {
      stopping ??= stop();
      return stopping;
    },
  };
}

const kernelLabels = (kernel: Kernel | undefined): KernelLabels => ({
  kernel_id: kernel?.kernelId ?? '',
  session_id: kernel?.sessionId ?? '',
  user_id: kernel?.spec?.ownerUserId ?? '',
  project_id: kernel?.spec?.ownerProjectId ?? '',
});

const endedKernels = (events: readonly AgentEvent[], ackedSeq: number): string[] =>
  events
    .filter(({ seq, body }) => seq <= ackedSeq && body.kind === 'kernel-terminated')
    .map(({ kernelId }) => kernelId);

/** Ended kernels count as terminating until the manager knows, so that it does not miss them. */
function reportedKernels(registry: KernelRegistry, outbox: Outbox): Heartbeat['kernels'] {
  const present = registry.report();
  const ids = new Set(present.map(({ kernelId }) => kernelId));
  const ended = outbox.unacknowledgedEnds().filter(({ kernelId }) => !ids.has(kernelId));
  return [...present, ...ended.map((kernel) => ({ ...kernel, state: 'terminating' as const }))];
}

/** Takes over the kernels of an earlier agent, and finishes the ends it had begun. */
async function adoptKernels(backend: Backend, parts: Parts): Promise<void> {
  const { registry, outbox, allocator } = parts;
  for (const found of await backend.list()) {
    registry.add(foundKernel(found, outbox.wasStarted(found.kernelId)));
    allocator.restore(found.kernelId, found.allocations);
  }
  for (const begun of outbox.begunEnds()) {
    const kernel = registry.get(begun.kernelId);
    if (kernel) kernel.wish = { desired: 'terminated', reason: begun.end.reason };
    else outbox.finishEnd(begun, begun.end);
  }
}
