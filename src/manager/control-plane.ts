/**
 * The control plane as a whole: the gateway for agents on every manager, and on the leader the
 * loops that schedule sessions, tell agents what to do, and notice what nobody reports.
 */
import * as v from 'valibot';
import type { Timer } from '../common/clock.ts';
import type { managerApi } from '../common/protocol/manager.ts';
import type { ApiOf } from '../common/rpc/api.ts';
import type { FinishedPass } from '../metrics/passes.ts';
import { createDispatcher } from './agent/dispatch.ts';
import { createAgentGateway } from './agent/gateway.ts';
import { type HangTolerance, watchHangTolerance } from './agent/hang-tolerance.ts';
import { livenessPass } from './agent/liveness.ts';
import type { AutoPull } from './agent/wish-store.ts';
import type { ManagerContext } from './context.ts';
import type { WakefulLoop } from './event/bus.ts';
import { FAIR_SHARE_SWEEP_MS, fairSharePass } from './fair-share/upkeep.ts';
import { IdleWork } from './folder/work.ts';
import { createIdleChecks } from './idle/pass.ts';
import { SAMPLE_MS } from './idle/utilization.ts';
import { type Loop, startLoop } from './loop.ts';
import { createScheduler } from './scheduler/cycle.ts';
import { startElection } from './scheduler/leader.ts';
import { appProxiesPass } from './session/apps.ts';
import { createCallbackSender } from './session/callback.ts';

export interface ControlPlane {
  /** What agents call. */
  readonly gateway: ApiOf<typeof managerApi>;
  /** Whether this manager runs the loops now. */
  readonly isLeader: () => boolean;
  /** Ends the loops and gives leadership back; nothing is left running. */
  stop(): Promise<void>;
}

const SCHEDULE_SWEEP_MS = 10_000;
const DISPATCH_SWEEP_MS = 1_000;
/** Also how exactly repetitions of a failed call keep their times. */
const CALLBACK_SWEEP_MS = 1_000;
/** Also how soon the work of a manager that died is taken up, once its leases are gone. */
const FOLDER_SWEEP_MS = 3_000;
const APP_SWEEP_MS = 60_000;
const APP_RETRY_MS = 5_000;
/** Statuses of sessions that nothing should lead to any more. */
const ENDING = new Set(['TERMINATING', 'TERMINATED', 'ERROR', 'CANCELLED']);
const MAX_LIVENESS_MS = 1_000;
const STOP_GRACE_MS = 1_000;
const AUTO_PULL_KEY = 'config/docker/image/auto_pull';
const autoPullSetting = v.fallback(v.picklist(['digest', 'tag', 'none']), 'digest');

/** Follows a setting of the configuration store. */
async function watchAutoPull(ctx: ManagerContext) {
  let value: AutoPull = 'digest';
  const subscription = await ctx.config.watch(AUTO_PULL_KEY, (change) => {
    value = v.parse(autoPullSetting, change.type === 'put' ? change.value : undefined);
  });
  value = v.parse(autoPullSetting, await ctx.config.get(AUTO_PULL_KEY));
  return { current: () => value, close: () => subscription.close() };
}

/** Told of every pass of a loop. */
type OnPass = (pass: FinishedPass) => void;

interface LeaderLoops {
  wake(loop: WakefulLoop): void;
  stop(): Promise<void>;
}

function startScheduling(ctx: ManagerContext, onPass: OnPass): Loop {
  const scheduler = createScheduler(ctx);
  let alarm: Timer | undefined;
  const loop = startLoop({
    name: 'scheduler',
    sweepMs: SCHEDULE_SWEEP_MS,
    clock: ctx.clock,
    log: ctx.log,
    onPass,
    async run() {
      const nextStartAt = await scheduler.pass();
      alarm?.cancel();
      if (nextStartAt === null) return;
      const pauseMs = nextStartAt.getTime() - ctx.clock.now().getTime();
      // Later ones are left to the sweep, which sets the alarm anew.
      if (pauseMs < SCHEDULE_SWEEP_MS) alarm = ctx.clock.timer(pauseMs, () => loop.wake());
    },
  });
  return {
    wake: loop.wake,
    async stop() {
      await loop.stop();
      alarm?.cancel();
    },
  };
}

/** What the loops follow of the cluster's configuration. */
interface Followed {
  autoPull(): AutoPull;
  hangTolerance(): HangTolerance;
}

function startLeaderLoops(ctx: ManagerContext, followed: Followed, onPass: OnPass): LeaderLoops {
  const { clock, log } = ctx;
  const dispatcher = createDispatcher(ctx, followed.autoPull, () => dispatching.wake());
  const dispatching = startLoop({
    name: 'dispatcher',
    sweepMs: DISPATCH_SWEEP_MS,
    clock,
    log,
    onPass,
    run: () => dispatcher.pass(),
  });
  const scheduling = startScheduling(ctx, onPass);
  const since = clock.now();
  const liveness = startLoop({
    name: 'liveness',
    sweepMs: Math.min(MAX_LIVENESS_MS, ctx.settings.heartbeatTimeoutSec * 250),
    clock,
    log,
    onPass,
    run: () => livenessPass(ctx, since, followed.hangTolerance()),
  });
  // Leaving the lead ends what it began.
  const folderWork = new IdleWork(ctx);
  const folders = startLoop({
    name: 'folders',
    sweepMs: FOLDER_SWEEP_MS,
    clock,
    log,
    onPass,
    run: (signal) => folderWork.pass(signal),
  });
  const fairShares = startLoop({
    name: 'fair shares',
    sweepMs: FAIR_SHARE_SWEEP_MS,
    clock,
    log,
    onPass,
    run: (signal) => fairSharePass(ctx, signal),
  });
  const sender = createCallbackSender(ctx, () => callbacks.wake());
  const callbacks = startLoop({
    name: 'callbacks',
    sweepMs: CALLBACK_SWEEP_MS,
    clock,
    log,
    onPass,
    run: () => sender.pass(),
  });
  const idleChecks = createIdleChecks(ctx);
  const idle = startLoop({
    name: 'idle checks',
    sweepMs: SAMPLE_MS,
    clock,
    log,
    onPass,
    run: (signal) => idleChecks.pass(signal),
  });
  const apps = startLoop({
    name: 'app proxies',
    sweepMs: APP_SWEEP_MS,
    retryMs: APP_RETRY_MS,
    clock,
    log,
    onPass,
    run: () => appProxiesPass(ctx),
  });
  const woken: Readonly<Record<WakefulLoop, Loop>> = {
    ...{ schedule: scheduling, start: dispatching, terminate: dispatching, callback: callbacks },
    apps,
  };
  return {
    wake: (loop) => woken[loop].wake(),
    async stop() {
      await Promise.all(
        [scheduling, dispatching, liveness, folders, fairShares, callbacks, idle, apps].map(
          (loop) => loop.stop(),
        ),
      );
      dispatcher.close();
      await sender.stop();
      // A call to an agent that hangs has a time limit of its own, too long to wait for here.
      await Promise.race([dispatcher.idle(), clock.sleep(STOP_GRACE_MS)]);
    },
  };
}

/**
 * Starts the control plane. The database must be migrated.
 * @param onPass told of every pass of the loops.
 * @throws what the configuration store throws when it cannot be read.
 */
export async function startControlPlane(
  ctx: ManagerContext,
  onPass: OnPass = () => {},
): Promise<ControlPlane> {
  const autoPull = await watchAutoPull(ctx);
  const hangTolerance = await watchHangTolerance(ctx);
  const followed = { autoPull: autoPull.current, hangTolerance: hangTolerance.current };
  let loops: LeaderLoops | undefined;
  const stopping = new Set<Promise<void>>();

  const lead = (leading: boolean) => {
    if (leading) {
      loops = startLeaderLoops(ctx, followed, onPass);
    } else if (loops) {
      const stopped = loops.stop().finally(() => stopping.delete(stopped));
      stopping.add(stopped);
      loops = undefined;
    }
  };
  const unsubscribe = ctx.events.subscribe((event) => {
    if (event.type === 'wake') loops?.wake(event.loop);
    if (event.type === 'session-status' && ENDING.has(event.status)) loops?.wake('apps');
  });
  const { sql, clock, log } = ctx;
  const election = startElection({ sql, clock, log, onChange: lead });

  return {
    gateway: createAgentGateway(ctx, autoPull.current),
    isLeader: election.isLeader,
    async stop() {
      unsubscribe();
      await election.stop();
      await Promise.all(stopping);
      await autoPull.close();
      await hangTolerance.close();
    },
  };
}
