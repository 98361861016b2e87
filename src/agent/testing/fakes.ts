/** A manager that records what it is told, and settings for an agent under test. */

import type { Logger } from '../../common/logger.ts';
import type { DesiredKernel } from '../../common/protocol/kernel.ts';
import type { AgentEvent, Heartbeat, managerApi } from '../../common/protocol/manager.ts';
import type { StatisticsReport } from '../../common/protocol/statistics.ts';
import type { ApiOf } from '../../common/rpc/api.ts';
import { agentSettingsFrom } from '../config-file.ts';
import type { AgentSettings } from '../settings.ts';

export const silentLog: Logger = {
  trace() {},
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
};

export class RecordingManager implements ApiOf<typeof managerApi> {
  readonly events: AgentEvent[] = [];
  readonly heartbeats: Heartbeat[] = [];
  readonly statistics: StatisticsReport[] = [];
  readonly goodbyes: string[] = [];
  /** What the next heartbeats are answered. */
  desired: DesiredKernel[] = [];
  /** true: every call fails, as if it could not be reached. */
  isAway = false;

  #reach(): void {
    if (this.isAway) throw new Error('the manager is away');
  }

  async heartbeat(beat: Heartbeat) {
    this.#reach();
    this.heartbeats.push(beat);
    return { desired: this.desired };
  }

  async deliver({ events }: { events: AgentEvent[] }) {
    this.#reach();
    this.events.push(...events);
    return { ackedSeq: events.at(-1)?.seq ?? 0 };
  }

  async reportStatistics(report: StatisticsReport): Promise<null> {
    this.#reach();
    this.statistics.push(report);
    return null;
  }

  async goodbye({ reason }: { reason: string }): Promise<null> {
    this.#reach();
    this.goodbyes.push(reason);
    return null;
  }

  /** Kinds of the events about one kernel, in order. */
  kinds(kernelId: string): string[] {
    return this.events.filter((event) => event.kernelId === kernelId).map(({ body }) => body.kind);
  }

  /** The last event of a kind about one kernel. */
  last<K extends AgentEvent['body']['kind']>(
    kernelId: string,
    kind: K,
  ): Extract<AgentEvent['body'], { kind: K }> | undefined {
    const isWanted = (body: AgentEvent['body']): body is Extract<AgentEvent['body'], { kind: K }> =>
      body.kind === kind;
    return this.events
      .filter((event) => event.kernelId === kernelId)
      .map(({ body }) => body)
      .findLast(isWanted);
  }
}

/** Settings of an agent under test. */
export const testSettings = (overrides: Partial<AgentSettings> = {}): AgentSettings => ({
  ...agentSettingsFrom({
    agent: { id: 'i-test', backend: 'dummy' },
    resource: { 'reserved-cpu': 0, 'reserved-mem': '0' },
  }),
  ...overrides,
});
