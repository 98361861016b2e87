/**
 * Scheduling: how many sessions a second are decided, and decided and committed in PostgreSQL, on
 * clusters and queues of several sizes; and how long one session takes from the request to the agent.
 */
import { readFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import type { Sql } from 'postgres';
import type { ManagerContext } from '../../manager/context.ts';
import { createScheduler } from '../../manager/scheduler/cycle.ts';
import { explainRequest } from '../../manager/scheduler/explain-service.ts';
import { PendingQueue, takeSnapshot } from '../../manager/scheduler/load.ts';
import { plan } from '../../manager/scheduler/plan.ts';
import { checkAccounting } from '../../manager/session/accounting-store.ts';
import { trySession } from '../../manager/session/service.ts';
import { controlPlaneFixture, sessionRequest } from '../control-plane.ts';
import { testManagerContext } from '../manager.ts';
import { insertProject } from '../sessions.ts';
import { SimulatedAgent } from '../simulated-agent.ts';
import { until } from '../until.ts';
import { percentile, printTable, sample } from './measure.ts';
import { benchSnapshot, insertAgents, insertQueue } from './schedule-rows.ts';

const PURE = [
  [100, 10_000],
  [1_000, 1_000],
  [1_000, 10_000],
  [1_000, 100_000],
  [5_000, 10_000],
] as const;
const COMMITTED = [
  [100, 1_000],
  [1_000, 1_000],
  [1_000, 10_000],
  [5_000, 10_000],
] as const;
/** Agents and queue of a cluster that is full. */
const FULL = [10, 10_000] as const;
const FULL_PASSES = 10;
const WHAT_IF_RUNS = 100;
const WHAT_IF_GOAL_MS = 10;
const PURE_RUNS = 3;
const PURE_GOAL = 50_000;
const COMMITTED_GOAL = 2_000;
const RPC_GOAL_MS = 15;
const RPC_RUNS = 200;
const RPC_WARM_UP = 20;
/** A pass may leave sessions to the next one. */
const MAX_PASSES = 100;

const rate = (count: number, ms: number) => Math.round((count / ms) * 1000);
const versus = (value: number, goal: number) => `${value} ${value >= goal ? '✓' : '✗'}`;

/** Wall time, and the time this process had a processor: on a busy machine they differ. */
interface Spent {
  readonly wallMs: number;
  readonly cpuMs: number;
}

function spend(work: () => void): Spent {
  const [cpu, startedMs] = [process.cpuUsage(), performance.now()];
  work();
  const used = process.cpuUsage(cpu);
  return { wallMs: performance.now() - startedMs, cpuMs: (used.user + used.system) / 1000 };
}

function measurePure(): void {
  console.log('\nThe decision alone: snapshot → plan');
  console.log(
    '| agents | queue | placed | wall ms | cpu ms | sessions/s | per cpu second | goal |',
  );
  console.log('|---|---|---|---|---|---|---|---|');
  for (const [agents, queue] of PURE) {
    const taken = benchSnapshot(agents, queue);
    let placed = 0;
    const runs = Array.from({ length: PURE_RUNS }, () =>
      spend(() => {
        placed = plan(taken).placements.length;
      }),
    );
    const wallMs = Math.min(...runs.map((run) => run.wallMs));
    const cpuMs = Math.min(...runs.map((run) => run.cpuMs));
    const cells = [agents, queue, placed, wallMs.toFixed(1), cpuMs.toFixed(1)];
    const rates = [versus(rate(queue, wallMs), PURE_GOAL), rate(queue, cpuMs)];
    console.log(`| ${[...cells, ...rates, `≥ ${PURE_GOAL}`].join(' | ')} |`);
  }
}

/** Clock ticks of /proc in a second, on every Linux that runs here. */
const TICKS_PER_SEC = 100;

/** Processor time that the server has spent on this database's connections. Milliseconds. */
async function serverCpuMs(sql: Sql): Promise<number> {
  const rows = await sql`SELECT pid FROM pg_stat_activity WHERE datname = current_database()`;
  const ticks = rows.map(({ pid }) => {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // What follows the name in parentheses begins with the third field; these are 14 and 15.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11]) + Number(fields[12]);
  });
  return (ticks.reduce((sum, each) => sum + each, 0) / TICKS_PER_SEC) * 1000;
}

async function countScheduled(sql: Sql): Promise<number> {
  const [row] = await sql`SELECT count(*)::int AS n FROM sessions WHERE status = 'SCHEDULED'`;
  return Number(row?.n);
}

/** A manager without loops, and a cluster without limits. */
async function withCluster<T>(
  agents: number,
  queue: number,
  work: (ctx: ManagerContext) => Promise<T>,
): Promise<T> {
  const { ctx, close } = await testManagerContext();
  try {
    const projectId = await insertProject(ctx.sql);
    await insertAgents(ctx.sql, agents);
    await insertQueue(ctx.sql, queue, projectId);
    await ctx.sql`UPDATE keypair_resource_policies SET max_concurrent_sessions = 0,
      default_for_unspecified = 'UNLIMITED', total_resource_slots = '{}'`;
    return await work(ctx);
  } finally {
    await close();
  }
}

const measureCommitted = (agents: number, queue: number): Promise<string> =>
  withCluster(agents, queue, async (ctx) => {
    const { sql } = ctx;
    const startedMs = performance.now();
    const taken = await takeSnapshot(ctx, await new PendingQueue().load(ctx));
    const readMs = performance.now() - startedMs;
    const { wallMs: planMs } = spend(() => void plan(taken));
    const scheduler = createScheduler(ctx);
    const [serverBeforeMs, own] = [await serverCpuMs(sql), process.cpuUsage()];
    const passedMs = performance.now();
    let scheduled = 0;
    for (let pass = 0; pass < MAX_PASSES; pass += 1) {
      await scheduler.pass();
      const now = await countScheduled(sql);
      if (now === scheduled) break;
      scheduled = now;
      if (scheduled === queue) break;
    }
    const totalMs = performance.now() - passedMs;
    const used = process.cpuUsage(own);
    const ownCpuMs = (used.user + used.system) / 1000;
    const cpuMs = [ownCpuMs, (await serverCpuMs(sql)) - serverBeforeMs];
    const problems = await checkAccounting(sql);
    if (problems.length > 0) throw new Error(`the books do not balance: ${problems[0]}`);
    const applyMs = totalMs - readMs - planMs;
    const split = [readMs, planMs, applyMs, ...cpuMs].map((ms) => ms.toFixed(0));
    return `| ${[
      ...[agents, queue, scheduled, totalMs.toFixed(0), ...split],
      ...[versus(rate(scheduled, totalMs), COMMITTED_GOAL), `≥ ${COMMITTED_GOAL}`],
    ].join(' | ')} |`;
  });

/** What each event costs when nothing more fits: the queue is looked through again. */
async function measureFull(): Promise<void> {
  const [agents, queue] = FULL;
  const samples = await withCluster(agents, queue, async (ctx) => {
    const scheduler = createScheduler(ctx);
    await scheduler.pass();
    return sample(FULL_PASSES, async () => void (await scheduler.pass()));
  });
  const what = `one pass, ${agents} full agents, ${queue} waiting`;
  printTable('A queue that waits', [{ what, samples, unit: 'ms' }]);
}

/** From the call that enqueues until the agent has been told; nothing else is going on. */
async function measureFirstCall(): Promise<void> {
  const fixture = await controlPlaneFixture();
  try {
    const plane = await fixture.start();
    await until(plane.isLeader, 'it leads', 30_000);
    const agent = new SimulatedAgent({ slots: { cpu: '4096', mem: '109951162777600' } });
    await fixture.join(plane, agent);
    const { sql } = fixture;
    await sql`UPDATE keypair_resource_policies SET max_concurrent_sessions = 0`;
    const one = async (index: number) => {
      const told = agent.started.length;
      await fixture.enqueue(`bench-${index}`);
      while (agent.started.length === told) await Bun.sleep(0);
    };
    await sample(RPC_WARM_UP, one);
    const samples = await sample(RPC_RUNS, (index) => one(RPC_WARM_UP + index));
    const whatIf = await sample(WHAT_IF_RUNS, async () => {
      const request = sessionRequest('maybe', { resources: { cpu: 4000, mem: '1g' } });
      await explainRequest(fixture.ctx, await trySession(fixture.ctx, fixture.caller, request));
    });
    const roundTrips = await sample(RPC_RUNS, async () => void (await sql`SELECT 1`));
    printTable('One session on an idle cluster: enqueue → agent RPC', [
      {
        ...{ what: 'enqueue → agent told', samples, unit: 'ms', goal: RPC_GOAL_MS },
        peer: { what: 'one SELECT 1', samples: roundTrips },
      },
      { what: 'what-if of a request', samples: whatIf, unit: 'ms', goal: WHAT_IF_GOAL_MS },
    ]);
    console.log(`p99 ${percentile(samples, 0.99).toFixed(1)} ms`);
  } finally {
    await fixture.close();
  }
}

export async function run(): Promise<void> {
  const [load] = loadavg();
  console.log(`${cpus().length} processors, load ${load?.toFixed(1)} before the run`);
  measurePure();
  console.log('\nDecided and committed in PostgreSQL, history included');
  console.log(
    '| agents | queue | placed | total ms | read | plan | apply | own cpu ms | server cpu ms | sessions/s | goal |',
  );
  console.log('|---|---|---|---|---|---|---|---|---|---|---|');
  for (const [agents, queue] of COMMITTED) console.log(await measureCommitted(agents, queue));
  await measureFull();
  await measureFirstCall();
}
