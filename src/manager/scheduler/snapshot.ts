/** What a scheduling decision is made from: plain data, taken from the database at one moment. */
import type { Slots } from '../../common/slots.ts';
import type { SessionResult, SessionStatus } from '../session/status.ts';
import type { SessionType } from '../session/types.ts';

export interface AgentSnapshot {
  readonly id: string;
  readonly addr: string;
  readonly scalingGroup: string;
  readonly architecture: string;
  /** Capacity less what is reserved and used, never negative. */
  readonly free: Slots;
}

export interface PendingKernel {
  readonly id: string;
  readonly architecture: string;
  readonly requested: Slots;
}

export interface Dependency {
  readonly id: string;
  readonly name: string;
  readonly status: SessionStatus;
  readonly result: SessionResult;
}

export interface PendingSession {
  readonly id: string;
  readonly accessKey: string;
  readonly projectId: string;
  readonly domainName: string;
  readonly scalingGroup: string;
  readonly sessionType: SessionType;
  readonly clusterMode: 'single-node' | 'multi-node';
  readonly priority: number;
  readonly createdAt: Date;
  /** Batch sessions wait for it. */
  readonly startsAt: Date | null;
  /** At least one. */
  readonly kernels: readonly PendingKernel[];
  /** Only these agents may run it; empty: any. */
  readonly designatedAgents: readonly string[];
  /** Agents on which an earlier attempt failed; others are preferred. */
  readonly failedAgents: readonly string[];
  readonly dependencies: readonly Dependency[];
}

/** Limits by slot; what a slot that is not named may use depends on `unnamed`. */
export interface SlotLimits {
  readonly slots: Slots;
  readonly unnamed: 'unlimited' | 'forbidden';
}

export interface KeypairLimits {
  /** null: unlimited. */
  readonly maxConcurrentSessions: number | null;
  readonly maxConcurrentSftpSessions: number;
  readonly slots: SlotLimits;
}

export interface Occupancy {
  /** Slots held by sessions that count (all but SYSTEM), by access key, project id, domain name. */
  readonly keypairs: ReadonlyMap<string, Slots>;
  readonly projects: ReadonlyMap<string, Slots>;
  readonly domains: ReadonlyMap<string, Slots>;
  /** Sessions placed on agents, by access key. */
  readonly sessions: ReadonlyMap<string, number>;
  readonly sftpSessions: ReadonlyMap<string, number>;
}

export type SelectionStrategy = 'dispersed' | 'concentrated' | 'roundrobin' | 'legacy';

export interface Snapshot {
  readonly now: Date;
  /** By resource group. Groups left out use `dispersed`. */
  readonly strategies: ReadonlyMap<string, SelectionStrategy>;
  /** Slot names or prefixes that weigh first when agents are compared. */
  readonly slotPriority: readonly string[];
  readonly agents: readonly AgentSnapshot[];
  readonly pending: readonly PendingSession[];
  readonly occupancy: Occupancy;
  readonly keypairLimits: ReadonlyMap<string, KeypairLimits>;
  readonly projectLimits: ReadonlyMap<string, SlotLimits>;
  readonly domainLimits: ReadonlyMap<string, SlotLimits>;
}
