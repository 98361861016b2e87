/**
 * What agents call: heartbeats with full state, the ordered outbox, and goodbye. Who the caller is
 * has been checked by the transport.
 */

import { BackendError, errorCode, errorMessage } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import type { DesiredKernel } from '../../common/protocol/kernel.ts';
import type { AgentEvent, Heartbeat, managerApi } from '../../common/protocol/manager.ts';
import type { StatisticsReport } from '../../common/protocol/statistics.ts';
import type { ApiOf } from '../../common/rpc/api.ts';
import type { SlotMap } from '../../common/slots.ts';
import type { ManagerContext } from '../context.ts';
import { upsertImages } from '../image/catalog.ts';
import { noteAgentImages } from '../image/locations.ts';
import { loadResourceGroup } from '../resource-group/service.ts';
import { applyAgentEvents, applyReports, skipAgentEvent } from '../session/transition.ts';
import { type Reconciliation, reconcile } from './reconcile.ts';
import { noteSilence } from './silence-store.ts';
import { keepLastStatistics, noteStatistics } from './statistics.ts';
import {
  type AgentRow,
  addSlotTypes,
  markGone,
  moveKernels,
  selectAgent,
  selectKnownKernels,
  selectSlotNames,
  touchAgent,
  upsertAgent,
} from './store.ts';
import { type AutoPull, selectSpecs } from './wish-store.ts';

export type GatewayContext = Pick<
  ManagerContext,
  'sql' | 'keyed' | 'live' | 'events' | 'clock' | 'log' | 'settings' | 'transitions'
>;

/** After this long, what an agent has is told again to a live store that may have lost it. */
const NOTE_IMAGES_MS = 60_000;
/** `rocm.device`, `cuda.device:1g.10gb-mig`; as long as its column. */
const SLOT_NAME = /^(?=.{1,64}$)[a-z][a-z0-9-]*\.[a-z][a-z0-9:.+-]*$/;
/** Starts repeated in one answer; the dispatcher sends the rest. */
const MAX_STARTS = 100;

const sameMap = (a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>) =>
  Bun.deepEquals(a, b);

/** Whether the row already says what the heartbeat says. */
function isCurrent(row: AgentRow, beat: Heartbeat, slots: SlotMap): boolean {
  return (
    row.status === 'ALIVE' &&
    row.region === beat.region &&
    row.scaling_group === beat.scalingGroup &&
    row.addr === beat.addr &&
    row.public_host === beat.publicHost &&
    row.identity_key === beat.publicKey &&
    row.version === beat.version &&
    row.architecture === beat.architecture &&
    row.backend === beat.backend &&
    sameMap(row.available_slots, slots) &&
    sameMap(row.compute_plugins, beat.computePlugins)
  );
}

/** PostgreSQL's classes of errors that are the data's fault, not the moment's. */
const isBadData = (error: unknown): boolean => /^2[23]...$/.test(errorCode(error));

class Gateway {
  readonly ctx: GatewayContext;
  readonly autoPull: () => AutoPull;
  /** Agent → hash of the images it reported last. */
  private readonly images = new Map<string, string>();
  /** Agent → the images that the live store was told of last, and when. */
  private readonly noted = new Map<string, { hash: string; atMs: number }>();
  /** Agent → kernels missing in its last heartbeat. */
  private readonly missing = new Map<string, Reconciliation['missing']>();
  /** Agent → unknown slots already complained about. */
  private readonly refusedSlots = new Map<string, string>();

  constructor(ctx: GatewayContext, autoPull: () => AutoPull) {
    this.ctx = ctx;
    this.autoPull = autoPull;
  }

  async heartbeat(beat: Heartbeat) {
    const { sql, keyed } = this.ctx;
    const heldIds = beat.kernels.map((kernel) => kernel.kernelId).filter((id) => isUuid(id));
    const [row, slotNames, known] = await Promise.all([
      selectAgent(sql, beat.agentId),
      selectSlotNames(sql),
      selectKnownKernels(keyed, beat.agentId, heldIds),
    ]);
    await this.register(row, beat, await this.knownSlots(beat, slotNames));
    await this.takeImages(beat);
    const outcome = reconcile({
      agentId: beat.agentId,
      held: beat.kernels,
      known,
      missingBefore: this.missing.get(beat.agentId) ?? new Map(),
      nowMs: this.ctx.clock.now().getTime(),
    });
    this.missing.set(beat.agentId, outcome.missing);
    await this.follow(beat.agentId, outcome.moved);
    if (outcome.reports.length > 0) await applyReports(this.ctx, outcome.reports);
    const desired = await this.corrections(outcome);
    return { desired, lastEventSeq: Number(row?.last_event_seq ?? 0) };
  }

  private async knownSlots(beat: Heartbeat, names: ReadonlySet<string>): Promise<SlotMap> {
    const added = new Set(await this.addSlotTypes(beat, names));
    const slots: SlotMap = {};
    const unknown: string[] = [];
    for (const [name, amount] of Object.entries(beat.availableSlots)) {
      if (names.has(name) || added.has(name)) slots[name] = amount;
      else unknown.push(name);
    }
    const complaint = unknown.sort().join(', ');
    if (complaint !== (this.refusedSlots.get(beat.agentId) ?? '')) {
      this.refusedSlots.set(beat.agentId, complaint);
      if (complaint) {
        this.ctx.log.warn('slots of an agent are not in resource_slot_types and are ignored', {
          ...{ agentId: beat.agentId, slots: complaint },
        });
      }
    }
    return slots;
  }

  /** Kinds of accelerators that the cluster has not seen before, such as slices of a size. */
  private async addSlotTypes(beat: Heartbeat, names: ReadonlySet<string>): Promise<string[]> {
    const fresh = Object.keys(beat.availableSlots).flatMap((slot_name) => {
      const slot_type = beat.slotTypes[slot_name];
      const format = beat.slotFormats[slot_name];
      const isFresh = !names.has(slot_name) && SLOT_NAME.test(slot_name);
      return isFresh && slot_type && format ? [{ slot_name, slot_type, format }] : [];
    });
    if (fresh.length === 0) return [];
    const added = await addSlotTypes(this.ctx.sql, fresh);
    if (added.length > 0) {
      this.ctx.log.info('an agent brought new kinds of resources', {
        ...{ agentId: beat.agentId, slots: added.join(', ') },
      });
    }
    return added;
  }

  private async register(row: AgentRow | null, beat: Heartbeat, slots: SlotMap) {
    const { sql, clock, log, events } = this.ctx;
    const now = clock.now();
    if (row && isCurrent(row, beat, slots)) {
      await touchAgent(sql, beat.agentId, now);
      return;
    }
    if (
      row?.scaling_group !== beat.scalingGroup &&
      !(await loadResourceGroup(sql, beat.scalingGroup))
    ) {
      throw new BackendError(
        'ScalingGroupNotFound',
        `Agent ${beat.agentId} wants to join resource group '${beat.scalingGroup}', which does not exist. Create it, or correct scaling-group in agent.toml.`,
      );
    }
    await sql.begin(async (tx) => {
      await upsertAgent(tx, beat, slots, now);
      if (row?.status === 'LOST') await noteSilence(tx, 'back', [beat.agentId], now);
    });
    if (row?.status !== 'ALIVE') {
      log.info(row ? 'an agent is back' : 'an agent joined', { agentId: beat.agentId });
    }
    events.publish({ type: 'wake', loop: 'schedule' });
    events.publish({ type: 'wake', loop: 'start' });
  }

  private async takeImages(beat: Heartbeat) {
    const hash = Bun.hash(JSON.stringify(beat.images)).toString(16);
    await this.noteImages(beat, hash);
    if (this.images.get(beat.agentId) === hash) return;
    try {
      const { skipped } = await upsertImages(this.ctx.sql, beat.images);
      this.images.set(beat.agentId, hash);
      if (skipped.length > 0) {
        this.ctx.log.debug('images of unknown registries are ignored', {
          ...{ agentId: beat.agentId, skipped },
        });
      }
    } catch (error) {
      // The agent itself is welcome; the next heartbeat tries the images again.
      this.ctx.log.error('cannot register the images of an agent', {
        ...{ agentId: beat.agentId, error: errorMessage(error) },
      });
    }
  }

  private async noteImages(beat: Heartbeat, hash: string) {
    const nowMs = this.ctx.clock.monotonicMs();
    const noted = this.noted.get(beat.agentId);
    if (noted?.hash === hash && nowMs - noted.atMs < NOTE_IMAGES_MS) return;
    try {
      await noteAgentImages(this.ctx.live, beat.agentId, beat.images);
      this.noted.set(beat.agentId, { hash, atMs: nowMs });
    } catch (error) {
      // Lists of images say where they are; nothing depends on it.
      this.ctx.log.warn('cannot note the images of an agent', {
        ...{ agentId: beat.agentId, error: errorMessage(error) },
      });
    }
  }

  /** The agent goes by another address, and with it the services of its kernels. */
  private async follow(agentId: string, moved: Reconciliation['moved']) {
    if (moved.length === 0) return;
    const { sql, log, events } = this.ctx;
    await moveKernels(sql, agentId, moved);
    log.info('kernels are reached at another address', {
      ...{ agentId, kernels: moved.length, host: moved[0]?.host },
    });
    events.publish({ type: 'wake', loop: 'apps' });
  }

  private async corrections(outcome: Reconciliation): Promise<DesiredKernel[]> {
    const specs = await selectSpecs(
      this.ctx.keyed,
      outcome.start.slice(0, MAX_STARTS),
      this.autoPull(),
    );
    return [
      ...outcome.end.map((end): DesiredKernel => ({ desired: 'terminated', ...end })),
      ...specs.map((spec): DesiredKernel => ({ desired: 'running', spec })),
    ];
  }

  async deliver(agentId: string, events: readonly AgentEvent[]) {
    const wellFormed = events.filter((event) => isUuid(event.kernelId));
    const lastSeq = events.reduce((last, event) => Math.max(last, event.seq), 0);
    try {
      const acked = await applyAgentEvents(this.ctx, agentId, wellFormed);
      if (acked === null) throw unknownAgent(agentId);
      await this.keepStatistics(agentId, wellFormed);
      if (wellFormed.length < events.length) await skipAgentEvent(this.ctx, agentId, lastSeq);
      return { ackedSeq: Math.max(acked, lastSeq) };
    } catch (error) {
      if (!isBadData(error)) throw error;
      return { ackedSeq: await this.deliverOneByOne(agentId, wellFormed) };
    }
  }

  /** What ended kernels used at last; only figures for people, which no ending waits for. */
  private async keepStatistics(agentId: string, events: readonly AgentEvent[]) {
    const ended = events
      .filter(({ body }) => body.kind === 'kernel-terminated')
      .map(({ kernelId }) => kernelId);
    try {
      await keepLastStatistics(this.ctx, agentId, ended);
    } catch (error) {
      this.ctx.log.warn('cannot keep the last statistics of kernels', {
        ...{ agentId, kernels: ended.length, error: errorMessage(error) },
      });
    }
  }

  async reportStatistics(report: StatisticsReport) {
    await noteStatistics(this.ctx, report);
    return null;
  }

  /** An entry that the database refuses must not block those behind it for ever. */
  private async deliverOneByOne(agentId: string, events: readonly AgentEvent[]): Promise<number> {
    let acked = 0;
    for (const event of [...events].sort((a, b) => a.seq - b.seq)) {
      try {
        acked = (await applyAgentEvents(this.ctx, agentId, [event])) ?? acked;
      } catch (error) {
        if (!isBadData(error)) throw error;
        const { seq, kernelId } = event;
        this.ctx.log.error('an event of an agent cannot be applied and is skipped', {
          ...{ agentId, seq, kernelId, kind: event.body.kind, error: errorMessage(error) },
        });
        await skipAgentEvent(this.ctx, agentId, seq);
        acked = seq;
      }
    }
    return acked;
  }

  async goodbye(agentId: string, reason: 'shutdown' | 'agent-restart') {
    const status = reason === 'shutdown' ? 'TERMINATED' : 'RESTARTING';
    if (!(await markGone(this.ctx.sql, agentId, status, this.ctx.clock.now()))) {
      throw unknownAgent(agentId);
    }
    this.ctx.log.info('an agent left', { agentId, reason });
    return null;
  }
}

function unknownAgent(agentId: string): BackendError {
  return new BackendError(
    'AgentNotFound',
    `Agent ${agentId} has not registered; it must send a heartbeat first.`,
  );
}

/**
 * The manager's side of the link with agents.
 * @param autoPull the present value of `config/docker/image/auto_pull`.
 */
export function createAgentGateway(
  ctx: GatewayContext,
  autoPull: () => AutoPull = () => 'digest',
): ApiOf<typeof managerApi> {
  const gateway = new Gateway(ctx, autoPull);
  return {
    heartbeat: (beat) => gateway.heartbeat(beat),
    deliver: ({ agentId, events }) => gateway.deliver(agentId, events),
    reportStatistics: (report) => gateway.reportStatistics(report),
    goodbye: ({ agentId, reason }) => gateway.goodbye(agentId, reason),
  };
}
