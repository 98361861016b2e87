/** What other features see of sessions and kernels, and what they hand in to make one. */
import type { ServicePort, sessionTypes } from '../../common/protocol/kernel.ts';
import type { SlotMap } from '../../common/slots.ts';
import type { MountWish } from '../folder/mount.ts';
import type { KernelStatus, SessionResult, SessionStatus } from './status.ts';

export type SessionType = (typeof sessionTypes)[number];

/** The kernels of one role, when the kernels of a session differ. */
export interface RoleRequest {
  /** `main`, of which there is exactly one kernel, or another name such as `sub`. */
  readonly role: string;
  readonly replicas: number;
  /** Canonical name or alias. */
  readonly image: string;
  /** null: whatever the image has. */
  readonly architecture: string | null;
  /** Of each kernel; as in the request. */
  readonly resources: Readonly<Record<string, string | number | null>>;
  readonly resourceOpts: Readonly<Record<string, unknown>>;
  readonly environ: Readonly<Record<string, string>>;
  /** Decoded text; null or empty: the keypair's stored script. */
  readonly bootstrapScript: string | null;
  readonly startupCommand: string | null;
  readonly preopenPorts: readonly number[];
}

/** A session as asked for; every field is already parsed and has its default. */
export interface EnqueueRequest {
  readonly sessionName: string;
  /** Canonical name or alias. */
  readonly image: string;
  /** null: whatever the image has. */
  readonly architecture: string | null;
  readonly sessionType: SessionType;
  /** Name or id of the project. */
  readonly group: string;
  /** null or empty: the owner's domain. */
  readonly domain: string | null;
  /** null: the first resource group the owner may use, by name. */
  readonly scalingGroup: string | null;
  readonly clusterMode: 'single-node' | 'multi-node';
  /** Ignored when there are `roles`. */
  readonly clusterSize: number;
  /** What the kernels of each role ask for; absent: all kernels ask for what the request says. */
  readonly roles?: readonly RoleRequest[];
  /** 0 to 100; higher goes first. */
  readonly priority: number;
  readonly isPreemptible: boolean;
  readonly tag: string | null;
  /** Batch sessions only. */
  readonly startsAt: Date | null;
  /** Batch sessions only. Milliseconds. */
  readonly batchTimeoutMs: number | null;
  readonly startupCommand: string | null;
  /** Decoded text; null or empty: the keypair's stored script. */
  readonly bootstrapScript: string | null;
  /** Ids of sessions that must end with success before this one starts. */
  readonly dependencies: readonly string[];
  readonly callbackUrl: string | null;
  /** Of each kernel: slot name → amount such as 1, "0.5" or "4g"; null counts as absent. */
  readonly resources: Readonly<Record<string, string | number | null>>;
  /** `shmem` is a size such as "64m"; other keys are kept as they are. */
  readonly resourceOpts: Readonly<Record<string, unknown>>;
  readonly environ: Readonly<Record<string, string>>;
  readonly preopenPorts: readonly number[];
  /** Folders to mount, besides those that are mounted into all of the owner's sessions. */
  readonly mounts: readonly MountWish[];
  /** Agents that may run it, in order of preference; empty: any. */
  readonly agentList: readonly string[];
  /** Whether a live session of the same name and image satisfies the request. */
  readonly reuse: boolean;
}

export interface EnqueueResult {
  readonly sessionId: string;
  readonly sessionName: string;
  /** false: an existing session is reused. */
  readonly created: boolean;
  readonly status: SessionStatus;
}

/** One kernel of a session. Amounts are decimal strings. */
export interface KernelRecord {
  readonly id: string;
  readonly sessionId: string;
  readonly status: KernelStatus;
  readonly statusInfo: string | null;
  readonly clusterRole: string;
  readonly clusterIdx: number;
  readonly image: string | null;
  readonly architecture: string | null;
  readonly registry: string | null;
  readonly agentId: string | null;
  readonly agentAddr: string | null;
  /** The agent's Ed25519 key, to call it; null while there is no agent. */
  readonly agentPublicKey: string | null;
  readonly containerId: string | null;
  readonly kernelHost: string | null;
  readonly servicePorts: readonly ServicePort[];
  readonly occupiedSlots: SlotMap;
  readonly requestedSlots: SlotMap;
  readonly occupiedShares: Readonly<Record<string, unknown>>;
  readonly resourceOpts: Readonly<Record<string, unknown>>;
  /** `NAME=value` entries. */
  readonly environ: readonly string[];
  /** Tail of the log of an ended kernel, UTF-8; null when none was kept. */
  readonly containerLog: string | null;
}

/** A session with its main kernel. Amounts are decimal strings. */
export interface SessionRecord {
  readonly id: string;
  readonly name: string;
  readonly sessionType: SessionType;
  readonly status: SessionStatus;
  readonly statusInfo: string | null;
  readonly statusData: Readonly<Record<string, unknown>> | null;
  /** Status → ISO-8601 time at which it was last entered. */
  readonly statusHistory: Readonly<Record<string, string>>;
  readonly result: SessionResult;
  readonly priority: number;
  readonly domainName: string;
  readonly groupId: string;
  readonly userId: string;
  readonly accessKey: string;
  readonly scalingGroup: string | null;
  readonly clusterMode: 'single-node' | 'multi-node';
  readonly clusterSize: number;
  readonly tag: string | null;
  readonly images: readonly string[];
  readonly requestedSlots: SlotMap;
  readonly occupyingSlots: SlotMap;
  readonly environ: Readonly<Record<string, unknown>>;
  readonly startupCommand: string | null;
  readonly createdAt: Date;
  readonly startsAt: Date | null;
  readonly terminatedAt: Date | null;
  readonly numQueries: number;
  readonly lastStat: Readonly<Record<string, unknown>> | null;
  readonly mainKernel: KernelRecord;
}

export interface SessionMatch {
  readonly id: string;
  readonly name: string;
  readonly status: SessionStatus;
}
