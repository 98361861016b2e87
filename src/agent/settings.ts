/** The agent's settings, as agent.toml and the environment give them. */
import type { AcceleratorSelection } from '../accelerator/open.ts';
import type { EtcdSettings, LoggingSettings, OtelSettings } from '../common/config/sections.ts';
import type { HostPort } from '../common/config/values.ts';

export type BackendName = 'docker' | 'process' | 'dummy';

/** User of containers when the agent itself runs as root. */
export const ORDINARY_USER = { uid: 1000, gid: 1000 };

export interface ContainerSettings {
  /** Address of this node on which services inside kernels are reached. */
  readonly bindHost: string;
  /** The same as told to others, when it differs. */
  readonly advertisedHost: string | null;
  /** null: the agent's own. */
  readonly kernelUid: number | null;
  readonly kernelGid: number | null;
  /** Host ports for services of kernels; both ends included. */
  readonly portRange: readonly [number, number];
  /** How long a freed host port rests before it is used again. Milliseconds. */
  readonly portReuseCooldownMs: number;
  /** Where the scratch folders (`/home/work`) of kernels are. */
  readonly scratchRoot: string;
}

export interface ResourceSettings {
  /** CPUs kept for the system. */
  readonly reservedCpu: number;
  readonly reservedMemBytes: bigint;
  /** Usable memory is rounded down to a multiple of this. Bytes. */
  readonly memoryAlignBytes: bigint;
  /** Which resources are allocated first. */
  readonly allocationOrder: readonly string[];
  readonly affinityPolicy: 'INTERLEAVED' | 'PREFER_SINGLE_NODE';
}

export interface AgentDebugSettings {
  readonly enabled: boolean;
  /** Keeps containers of ended kernels, to look into them. */
  readonly skipContainerDeletion: boolean;
  readonly logKernelConfig: boolean;
  readonly logHeartbeats: boolean;
  readonly heartbeatIntervalMs: number;
}

export interface AgentSettings {
  /** `i-<hostname>` unless configured. */
  readonly id: string;
  readonly backend: BackendName;
  readonly scalingGroup: string;
  readonly region: string | null;
  /** Where the manager reaches this agent. */
  readonly rpcListenAddr: HostPort;
  /** The same as told to the manager, when it differs. */
  readonly advertisedRpcAddr: HostPort | null;
  /** Health and metrics. */
  readonly serviceAddr: HostPort;
  /** Host name that users' clients reach this node by, when it differs. */
  readonly publicHost: string | null;
  /** State that outlives the agent. */
  readonly varBasePath: string;
  readonly ipcBasePath: string;
  /** Where a watcher of this node leaves `report.<kernel id>.json`; null: there is none. */
  readonly abuseReportPath: string | null;
  /** Where archives of containers are written; null: below the agent's state. */
  readonly imageCommitPath: string | null;
  /** Kernels created at the same time. */
  readonly kernelCreationConcurrency: number;
  /** How often kernels are compared with what the manager wants. Milliseconds. */
  readonly syncIntervalMs: number;
  readonly container: ContainerSettings;
  readonly resource: ResourceSettings;
  readonly accelerators: AcceleratorSelection;
  readonly containerLogs: { readonly maxLengthBytes: bigint; readonly chunkSizeBytes: bigint };
  readonly kernelLifecycles: {
    readonly initPollingAttempts: number;
    readonly initPollingTimeoutMs: number;
    readonly initTimeoutMs: number;
  };
  readonly debug: AgentDebugSettings;
  /** The manager's internal address; null: managers are discovered in etcd. */
  readonly managerAddr: HostPort | null;
  /** The manager's Ed25519 public key; null: the file does not name one. */
  readonly managerPublicKey: string | null;
  /** Absent when `manager-addr` makes etcd unnecessary. */
  readonly etcd: EtcdSettings | null;
  readonly logging: LoggingSettings;
  readonly otel: OtelSettings;
  readonly pidFile: string | null;
}
