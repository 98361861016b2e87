/** What a scheduling decision is made from: plain data, taken from the database at one moment. */
import type { Slots } from '../../common/slots.ts';
import type { PreemptionOptions } from '../resource-group/options.ts';
import type { SessionResult, SessionStatus } from '../session/status.ts';
import type { SessionType } from '../session/types.ts';

export interface AgentSnapshot {
  readonly id: string;
  readonly addr: string;
  readonly scalingGroup: string;
  readonly architecture: string;
  /** All that the agent has for sessions. */
  readonly capacity: Slots;
  /** Capacity less what is reserved and used, never negative. */
  readonly free: Slots;
  /** Sessions with kernels on the agent. */
  readonly sessions: number;
}

export interface PendingKernel {
  readonly id: string;
  readonly architecture: string;
  /** Name of its image where no registry has it, so that agents cannot pull it; else they can. */
  readonly localImage?: string | null;
  readonly requested: Slots;
}

export interface Dependency {
  readonly id: string;
  readonly name: string;
  readonly status: SessionStatus;
  readonly result: SessionResult;
}

/** Fair-share factors, from 0 to 1: the higher, the less of what is due has been used lately. */
export interface FairShareFactors {
  readonly domain: number;
  readonly project: number;
  readonly user: number;
}

/** Whose books a session counts in. */
export interface Ownership {
  readonly accessKey: string;
  readonly userId: string;
  readonly projectId: string;
  readonly domainName: string;
  readonly sessionType: SessionType;
}

export interface PendingSession extends Ownership {
  readonly id: string;
  readonly scalingGroup: string;
  readonly clusterMode: 'single-node' | 'multi-node';
  readonly priority: number;
  readonly createdAt: Date;
  /** Batch sessions wait for it. */
  readonly startsAt: Date | null;
  /** Longest time it may run, once it does; null: no limit is known. Seconds. */
  readonly durationSec: number | null;
  /** At least one. */
  readonly kernels: readonly PendingKernel[];
  /** Only these agents may run it; empty: any. */
  readonly designatedAgents: readonly string[];
  /** Agents on which an earlier attempt failed; others are preferred. */
  readonly failedAgents: readonly string[];
  /**
   * Agents that others were made to leave for it, in the order of the kernels that go there; with any it
   * comes before all who have none.
   */
  readonly clearedAgents: readonly string[];
  readonly dependencies: readonly Dependency[];
  readonly fairShare: FairShareFactors;
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
  /** null: unlimited. */
  readonly maxPendingSessions: number | null;
  /** null: unlimited. */
  readonly pendingSlots: SlotLimits | null;
  readonly slots: SlotLimits;
}

export interface Occupancy {
  /** Slots held by sessions that count (all but SYSTEM), by access key, user, project, domain. */
  readonly keypairs: ReadonlyMap<string, Slots>;
  readonly users: ReadonlyMap<string, Slots>;
  readonly projects: ReadonlyMap<string, Slots>;
  readonly domains: ReadonlyMap<string, Slots>;
  /** Sessions placed on agents, by access key. */
  readonly sessions: ReadonlyMap<string, number>;
  readonly sftpSessions: ReadonlyMap<string, number>;
}

export type SelectionStrategy = 'dispersed' | 'concentrated' | 'roundrobin' | 'legacy';
export type Sequencer = 'fifo' | 'lifo' | 'drf' | 'fair-share';

/** How a resource group schedules. */
export interface GroupRules {
  readonly sequencer: Sequencer;
  readonly strategy: SelectionStrategy;
  /** The agent that round-robin used last; null: none yet. */
  readonly lastAgent: string | null;
  /** After waiting so long for room a session has agents kept free for it. Milliseconds. */
  readonly reserveAfterMs: number;
  readonly preemption: PreemptionOptions;
}

/** A session on agents that may have to make room for another, or is leaving already. */
export interface PlacedSession extends Ownership {
  readonly id: string;
  readonly scalingGroup: string;
  readonly priority: number;
  /** null: it is still being brought up. */
  readonly startedAt: Date | null;
  /** Whether its owner lets it be preempted. */
  readonly isPreemptible: boolean;
  /** Its end is on the way, by preemption or otherwise; null: it stays. */
  readonly leaving: 'preempted' | 'ended' | null;
  readonly kernels: readonly {
    readonly id: string;
    readonly agentId: string;
    readonly slots: Slots;
  }[];
}

/** A placed session of which it is known when it will be over at the latest. */
export interface EndingSession extends Ownership {
  readonly id: string;
  readonly endsAt: Date;
  readonly kernels: readonly { readonly agentId: string; readonly slots: Slots }[];
}

export interface Snapshot {
  readonly now: Date;
  /** By name. Groups left out follow `defaultGroupRules`. */
  readonly groups: ReadonlyMap<string, GroupRules>;
  /** Slot names or prefixes that weigh first when agents are compared. */
  readonly slotPriority: readonly string[];
  /** Most sessions with kernels on one agent; null: no limit. */
  readonly maxSessionsPerAgent: number | null;
  readonly agents: readonly AgentSnapshot[];
  /** Who has local images, by `imageKey`; those left out may be anywhere. */
  readonly imageAgents: ReadonlyMap<string, readonly string[]>;
  readonly pending: readonly PendingSession[];
  readonly ending: readonly EndingSession[];
  /** Those that concern preemption; none where nobody may be preempted. */
  readonly placed: readonly PlacedSession[];
  readonly occupancy: Occupancy;
  readonly keypairLimits: ReadonlyMap<string, KeypairLimits>;
  /** By user id: the limits of the user's main keypair. */
  readonly userLimits: ReadonlyMap<string, SlotLimits>;
  readonly projectLimits: ReadonlyMap<string, SlotLimits>;
  readonly domainLimits: ReadonlyMap<string, SlotLimits>;
}

export const imageKey = (name: string, architecture: string): string => `${name} ${architecture}`;

export const defaultGroupRules: GroupRules = {
  sequencer: 'fifo',
  strategy: 'dispersed',
  lastAgent: null,
  reserveAfterMs: 300_000,
  preemption: {
    ...{ enabled: false, preemptible_priority: 5, order: 'oldest', mode: 'terminate' },
    ...{ preemption_min_runtime: 0, victim_scope: 'user' },
  },
};
