/**
 * Tells agents what they should do: wishes are taken from the database when they are sent, batched
 * per agent, one call per agent at a time. What fails is sent again; what cannot be delivered for
 * long is given to another agent.
 */
import { errorMessage } from '../../common/errors.ts';
import type { ClusterJoin, DesiredKernel } from '../../common/protocol/kernel.ts';
import type { ManagerContext } from '../context.ts';
import type { KernelStatus } from '../session/status.ts';
import { applyReports } from '../session/transition.ts';
import { undeliveredReports } from './deadlines.ts';
import { terminationReasonOf } from './reconcile.ts';
import {
  type AutoPull,
  type DueKernel,
  selectDueKernels,
  selectJoins,
  selectSpecs,
  type ToldKernel,
} from './wish-store.ts';

/** Kernels looked at per pass. */
const MAX_DUE = 2000;
/** Kernels that the database is asked to leave out, as their agents know. */
const MAX_TOLD = 5000;
/** Wishes per call. Specs are a few kilobytes each. */
const MAX_BATCH = 200;
/** A wish whose effect has not been seen is repeated after this long. Milliseconds. */
const REPEAT_MS = 15_000;
const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 10_000;

export interface Dispatcher {
  /** Sends what is due. Resolves when the calls are on their way, not when they are answered. */
  pass(): Promise<void>;
  /** Hears of nothing any more; to be called once no pass follows. */
  close(): void;
  /** Resolves when no call is in flight. */
  idle(): Promise<void>;
}

/** What an agent was told of a kernel, or is being told. */
interface Told {
  readonly status: KernelStatus;
  /** Monotonic milliseconds. */
  readonly atMs: number;
}

/**
 * Which kernels' agents know what is wanted, so that these are not read again with each pass. Nothing
 * depends on it: what has no effect within 15 seconds is told again.
 */
class Memory {
  /** Kernel → what its agent was told, earliest first. */
  readonly #told = new Map<string, Told>();

  /** @returns the note, for `forget`. */
  note(kernel: DueKernel, atMs: number): Told {
    const told = { status: kernel.status, atMs };
    // A key that is there already would keep its place.
    this.#told.delete(kernel.id);
    this.#told.set(kernel.id, told);
    return told;
  }

  /** The agent may not know after all. */
  forget(kernelId: string, told: Told): void {
    if (this.#told.get(kernelId) === told) this.#told.delete(kernelId);
  }

  /** What a kernel's agent was told holds until the kernel moves on. */
  moved(kernelId: string, to: string): void {
    const told = this.#told.get(kernelId);
    if (told && told.status !== to) this.#told.delete(kernelId);
  }

  knows({ id, status }: DueKernel): boolean {
    return this.#told.get(id)?.status === status;
  }

  /** The latest of those that were told lately enough. */
  current(nowMs: number): ToldKernel[] {
    for (const [id, { atMs }] of this.#told) {
      if (nowMs - atMs < REPEAT_MS) break;
      this.#told.delete(id);
    }
    return [...this.#told].slice(-MAX_TOLD).map(([id, { status }]) => ({ id, status }));
  }
}

/** A running kernel is due only for being told where the others of its session are. */
const isJoining = (kernel: DueKernel): boolean => kernel.status === 'RUNNING';

interface Route {
  busy: boolean;
  /** More was due than the call under way tells the agent. */
  hasMore: boolean;
  failures: number;
  /** Monotonic time before which no call is made. */
  notBeforeMs: number;
}

type DispatchContext = Pick<
  ManagerContext,
  'sql' | 'keyed' | 'transitions' | 'events' | 'clock' | 'log' | 'agents' | 'settings'
>;

/** The wish for each of the kernels that start or end. */
async function wishesFor(
  ctx: DispatchContext,
  autoPull: AutoPull,
  kernels: readonly DueKernel[],
): Promise<Map<string, DesiredKernel>> {
  const starting = kernels.filter((kernel) => kernel.status === 'SCHEDULED');
  const ids = starting.map((kernel) => kernel.id);
  const specs = await selectSpecs(ctx.keyed, ids, autoPull);
  const wishes = new Map(
    specs.map((spec): [string, DesiredKernel] => [spec.kernelId, { desired: 'running', spec }]),
  );
  for (const kernel of kernels) {
    if (kernel.status === 'SCHEDULED' || isJoining(kernel)) continue;
    wishes.set(kernel.id, {
      desired: 'terminated',
      kernelId: kernel.id,
      sessionId: kernel.session_id,
      reason: terminationReasonOf(kernel.status_info),
    });
  }
  return wishes;
}

/** The kernels of clusters that were told of each other. */
async function noteJoined(ctx: DispatchContext, agentId: string, joins: readonly ClusterJoin[]) {
  const kernelIds = joins.flatMap((join) => join.kernelIds);
  await applyReports(
    ctx,
    kernelIds.map((kernelId) => ({
      ...{ kind: 'joined', kernelId, reporter: agentId, onlyIn: ['RUNNING'] },
    })),
  );
}

/** Takes back what could not be delivered for too long. */
async function giveUp(
  ctx: DispatchContext,
  agentId: string,
  kernels: readonly DueKernel[],
  why: string,
) {
  const reports = undeliveredReports(agentId, kernels, why, ctx.clock.now().getTime());
  if (reports.length === 0) return;
  ctx.log.warn('kernels are taken back from an agent that cannot be told to start them', {
    ...{ agentId, kernels: reports.length, why },
  });
  await applyReports(ctx, reports);
}

/**
 * @param autoPull the present value of `config/docker/image/auto_pull`.
 * @param wake asks for another pass.
 */
export function createDispatcher(
  ctx: DispatchContext,
  autoPull: () => AutoPull,
  wake: () => void,
): Dispatcher {
  const memory = new Memory();
  const unsubscribe = ctx.events.subscribe((event) => {
    if (event.type === 'kernel-status') memory.moved(event.kernelId, event.status);
  });
  const routes = new Map<string, Route>();
  const calls = new Set<Promise<void>>();

  const send = async (
    agentId: string,
    kernels: readonly DueKernel[],
    wishes: readonly DesiredKernel[],
    route: Route,
  ) => {
    const atMs = ctx.clock.monotonicMs();
    // From now on: what a kernel does while its agent is being told counts.
    const notes = kernels.map((kernel) => ({ id: kernel.id, told: memory.note(kernel, atMs) }));
    const forget = () => {
      for (const { id, told } of notes) memory.forget(id, told);
    };
    try {
      const [first] = kernels;
      const joining = kernels.filter(isJoining).map((kernel) => kernel.id);
      const joins = await selectJoins(ctx.keyed, joining);
      if (!first || wishes.length + joins.length === 0) {
        forget();
        return;
      }
      const client = ctx.agents.client(agentId, first.agent_addr ?? '', first.identity_key ?? '');
      if (wishes.length > 0) await client.sync({ kernels: [...wishes] });
      if (joins.length > 0) {
        await client.joinClusters({ joins });
        await noteJoined(ctx, agentId, joins);
      }
      route.failures = 0;
    } catch (error) {
      forget();
      route.failures += 1;
      const pauseMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(route.failures - 1, 8));
      route.notBeforeMs = ctx.clock.monotonicMs() + pauseMs;
      if (route.failures === 1) {
        ctx.log.warn('an agent does not take wishes, they will be repeated', {
          ...{ agentId, error: errorMessage(error) },
        });
      }
      await giveUp(ctx, agentId, kernels, errorMessage(error));
    }
  };

  const launch = (
    agentId: string,
    kernels: readonly DueKernel[],
    wishes: readonly DesiredKernel[],
    route: Route,
  ) => {
    route.busy = true;
    const call = send(agentId, kernels, wishes, route)
      .catch((error) => ctx.log.error('dispatch failed', { agentId, error: errorMessage(error) }))
      .finally(() => {
        route.busy = false;
        calls.delete(call);
        if (route.failures === 0 && route.hasMore) wake();
      });
    calls.add(call);
  };

  return {
    async pass() {
      const nowMs = ctx.clock.monotonicMs();
      const told = memory.current(nowMs);
      const due = await selectDueKernels(ctx.keyed, ctx.clock.now(), { told, limit: MAX_DUE });
      const byAgent = new Map<string, DueKernel[]>();
      for (const kernel of due) {
        if (memory.knows(kernel)) continue;
        byAgent.set(kernel.agent, [...(byAgent.get(kernel.agent) ?? []), kernel]);
      }
      const next: { agentId: string; kernels: DueKernel[]; route: Route }[] = [];
      for (const [agentId, kernels] of byAgent) {
        const known = routes.get(agentId);
        const route = known ?? { busy: false, hasMore: false, failures: 0, notBeforeMs: 0 };
        routes.set(agentId, route);
        route.hasMore = route.busy || kernels.length > MAX_BATCH;
        if (route.busy || nowMs < route.notBeforeMs) continue;
        next.push({ agentId, kernels: kernels.slice(0, MAX_BATCH), route });
      }
      const chosen = next.flatMap(({ kernels }) => kernels);
      const wishes = await wishesFor(ctx, autoPull(), chosen);
      for (const { agentId, kernels, route } of next) {
        launch(
          agentId,
          kernels,
          kernels.flatMap(({ id }) => wishes.get(id) ?? []),
          route,
        );
      }
    },
    close: unsubscribe,
    async idle() {
      await Promise.allSettled(calls);
    },
  };
}
