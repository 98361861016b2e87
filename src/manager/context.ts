/** What every feature of the manager is given. Nothing else is global. */
import type { Sql } from 'postgres';
import type { Clock } from '../common/clock.ts';
import type { Logger } from '../common/logger.ts';
import type { agentApi } from '../common/protocol/agent.ts';
import type { Random } from '../common/random.ts';
import type { ApiOf } from '../common/rpc/api.ts';
import type { ConfigStore } from '../stores/config/port.ts';
import type { LiveStore } from '../stores/live/port.ts';
import type { BackgroundTasks } from './background-task/service.ts';
import type { EventBus } from './event/bus.ts';
import type { EventLog } from './event/log.ts';
import type { LargeTotals } from './graphql/large-totals.ts';
import type { OwnRecords } from './own-records.ts';
import type { NewSessions } from './session/new-sessions.ts';
import type { TransitionQueue } from './session/transition-queue.ts';
import type { ManagerSettings } from './settings.ts';

export type AgentClient = ApiOf<typeof agentApi>;

/** How the manager reaches agents: over HTTP, or in-process inside `up`. */
export interface AgentDirectory {
  /** @throws BackendError AgentConnectionUnavailable when the agent is unknown. */
  client(agentId: string, addr: string, publicKey: string): AgentClient;
}

export interface ManagerContext {
  /** `manager.id` of the configuration, `i-<hostname>` by default. */
  readonly id: string;
  readonly sql: Sql;
  /** For statements that find rows by a key, and only those; see `lookupConnections`. */
  readonly lookups: Sql;
  /** Keypairs and accounts of callers. */
  readonly own: OwnRecords;
  /** Totals of the longest lists. */
  readonly totals: LargeTotals;
  /** For transactions of which each statement goes by keys; see `keyedConnections`. */
  readonly keyed: Sql;
  /** Where statuses, allocations and the agents' books are changed. */
  readonly transitions: TransitionQueue;
  /** What requests for new sessions share. */
  readonly newSessions: NewSessions;
  readonly config: ConfigStore;
  readonly live: LiveStore;
  /** Sign-ins of browsers, under the keys that web servers read; no prefix. */
  readonly webSessions: LiveStore;
  readonly agents: AgentDirectory;
  readonly events: EventBus;
  readonly eventLog: Pick<EventLog, 'follow' | 'replay'>;
  readonly tasks: BackgroundTasks;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly settings: ManagerSettings;
}
