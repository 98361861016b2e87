/** What the manager tells an agent about a kernel, and what the agent reports back about it. */
import * as v from 'valibot';
import { serviceOffer } from './service.ts';

export const slotMap = v.record(v.string(), v.string());

export const sessionTypes = ['interactive', 'batch', 'inference', 'system'] as const;

/** A folder of the host that a kernel sees. */
const kernelMount = v.object({
  /** For messages. */
  name: v.string(),
  /** The folder on the host. */
  root: v.pipe(v.string(), v.startsWith('/')),
  /** A directory of it; `.` is the folder itself. */
  subpath: v.string(),
  /** Absolute path in the kernel. */
  target: v.pipe(v.string(), v.startsWith('/')),
  readOnly: v.boolean(),
});
/** Everything needed to start one kernel (one container of a session). */
export const kernelSpec = v.object({
  kernelId: v.pipe(v.string(), v.uuid()),
  sessionId: v.pipe(v.string(), v.uuid()),
  sessionName: v.string(),
  sessionType: v.picklist(sessionTypes),
  accessKey: v.string(),
  ownerUserId: v.string(),
  ownerProjectId: v.string(),
  image: v.object({
    /** `registry/project/name:tag`, or `local/name:tag` for images of this host. */
    canonical: v.string(),
    architecture: v.string(),
    digest: v.string(),
    labels: v.record(v.string(), v.string()),
    isLocal: v.boolean(),
    /** When to pull: compare digests, pull when the tag is absent, or never. */
    autoPull: v.picklist(['digest', 'tag', 'none']),
    /** As whom its registry is asked; null: as nobody. Kept nowhere on the agent. */
    registryAccount: v.optional(
      v.nullable(v.object({ username: v.string(), password: v.string() })),
      null,
    ),
  }),
  cluster: v.object({
    mode: v.picklist(['single-node', 'multi-node']),
    size: v.number(),
    role: v.string(),
    idx: v.number(),
    localRank: v.number(),
    hostname: v.string(),
    /** By which the kernels of a session reach each other; null for a single kernel. */
    sshKeypair: v.optional(
      v.nullable(v.object({ publicKey: v.string(), privateKey: v.string() })),
      null,
    ),
  }),
  /** The kernel runs in its host's network. A manager of before does not say. */
  useHostNetwork: v.optional(v.boolean(), false),
  /** Slots granted by the scheduler; decimal strings, memory in bytes. */
  slots: slotMap,
  /** Whether shares of devices may be put together from parts. A manager of before does not say. */
  allowFractionalResourceFragmentation: v.optional(v.boolean(), true),
  /** Size of /dev/shm in bytes; counted inside the memory slot. */
  shmemBytes: v.number(),
  /** Complete user-visible environment, `BACKENDAI_*` variables included. */
  environ: v.record(v.string(), v.string()),
  /** Script run by /bin/sh in /home/work before the first execution; already decoded. */
  bootstrapScript: v.nullable(v.string()),
  /** Files below the home folder, there before anything runs. A manager of before sends none. */
  dotfiles: v.optional(
    v.array(
      v.object({
        path: v.string(),
        mode: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0o777)),
        data: v.string(),
      }),
    ),
    [],
  ),
  /** Batch sessions: the command run once the kernel is up. */
  startupCommand: v.nullable(v.string()),
  /** Batch sessions: kill the command after this long. Milliseconds; null means no limit. */
  batchTimeoutMs: v.nullable(v.number()),
  preopenPorts: v.array(v.number()),
  mounts: v.optional(v.array(kernelMount), []),
  /** The span that its start belongs to. One call tells of many sessions, so its header cannot say. */
  traceparent: v.optional(v.string()),
});
export type KernelSpec = v.InferOutput<typeof kernelSpec>;

export const servicePort = v.object({
  name: v.string(),
  protocol: v.picklist(['http', 'tcp', 'preopen', 'internal', 'vnc', 'rdp', 'pty']),
  container_ports: v.array(v.number()),
  host_ports: v.array(v.nullable(v.number())),
  is_inference: v.boolean(),
  ...serviceOffer.entries,
});
export type ServicePort = v.InferOutput<typeof servicePort>;

/** What the manager stores about a kernel when it starts running. */
export const kernelCreationInfo = v.object({
  containerId: v.string(),
  /** Host under which the service ports are reachable. */
  kernelHost: v.string(),
  servicePorts: v.array(servicePort),
  /** What the kernel really holds; decimal strings. */
  occupiedSlots: slotMap,
  attachedDevices: v.record(
    v.string(),
    v.array(
      v.object({
        device_id: v.string(),
        model_name: v.string(),
        data: v.record(v.string(), v.string()),
      }),
    ),
  ),
  /** What the backend could not isolate or limit, in plain words; empty when all is enforced. */
  isolationGaps: v.array(v.string()),
});
export type KernelCreationInfo = v.InferOutput<typeof kernelCreationInfo>;

/** Why a kernel ended; upstream's KernelLifecycleEventReason in kebab-case. */
export const terminationReasons = [
  'agent-termination',
  'already-terminated',
  'container-not-found',
  'failed-to-create',
  'failed-to-start',
  'force-terminated',
  'not-found-in-manager',
  'pending-timeout',
  'self-terminated',
  'task-failed',
  'task-finished',
  'task-timeout',
  'terminated-unknown-container',
  'unknown',
  'user-requested',
] as const;
export const terminationReason = v.picklist(terminationReasons);
export type TerminationReason = v.InferOutput<typeof terminationReason>;

/** Where a kernel stands on the agent. */
export const actualStates = ['preparing', 'pulling', 'creating', 'running', 'terminating'] as const;
export const actualKernel = v.object({
  kernelId: v.string(),
  sessionId: v.string(),
  state: v.picklist(actualStates),
  /** Under which its service ports are reachable now. Absent before it has any, and from agents of before. */
  host: v.optional(v.pipe(v.string(), v.nonEmpty(), v.maxLength(128))),
});
export type ActualKernel = v.InferOutput<typeof actualKernel>;

/** Where a kernel of a cluster is. */
const clusterPeer = v.object({
  kernelId: v.pipe(v.string(), v.uuid()),
  hostname: v.pipe(v.string(), v.regex(/^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$/)),
  agentId: v.string(),
  /** Host under which its service ports are reachable. */
  host: v.pipe(v.string(), v.maxLength(128)),
  /** The port of its SSH server on that host; null when it has none. */
  sshPort: v.nullable(v.number()),
});
export type ClusterPeer = v.InferOutput<typeof clusterPeer>;

/** Tells kernels of one session where all its kernels are, themselves included. */
export const clusterJoin = v.object({
  sessionId: v.string(),
  /** Those that are told. */
  kernelIds: v.array(v.string()),
  peers: v.pipe(v.array(clusterPeer), v.maxLength(1000)),
});
export type ClusterJoin = v.InferOutput<typeof clusterJoin>;

/** One wish of the manager for one kernel; sending it again changes nothing. */
export const desiredKernel = v.variant('desired', [
  v.object({ desired: v.literal('running'), spec: kernelSpec }),
  v.object({
    desired: v.literal('terminated'),
    kernelId: v.string(),
    sessionId: v.string(),
    reason: terminationReason,
  }),
]);
export type DesiredKernel = v.InferOutput<typeof desiredKernel>;
