/**
 * Whole lives of sessions: enqueued, scheduled, started, ended, with history and accounting, on
 * simulated agents and a PostgreSQL that writes as safely as in production. How many a second, what
 * each costs the manager and PostgreSQL in processor time, and whether the manager's memory is flat.
 *
 * `BACKEND_BENCH_SESSIONS=100000` makes the long run; 10 000 is the default. `BACKEND_BENCH_STATEMENTS=1`
 * shows what each statement costs PostgreSQL, which costs it a little more then.
 */
import { availableParallelism, loadavg } from 'node:os';
import type { Sql } from 'postgres';
import * as v from 'valibot';
import { checkAccounting } from '../../manager/session/accounting-store.ts';
import { terminateSession } from '../../manager/session/service.ts';
import { type ControlPlaneFixture, controlPlaneFixture } from '../control-plane.ts';
import { startTestPostgres, testDatabase } from '../postgres.ts';
import { SimulatedAgent } from '../simulated-agent.ts';
import { until } from '../until.ts';
import { processorTime, processTree } from './measure.ts';
import { printStatements, printTables, resetStatements, STATEMENT_SETTINGS } from './statements.ts';

const DEFAULT_SESSIONS = 10_000;
/** Sessions before the figures count: statements are prepared and code is compiled. */
const WARM_UP = 500;
const AGENTS = 20;
const AGENT_SLOTS = { cpu: '256', mem: '1099511627776' };
/** Requests under way at a time. */
const CLIENTS = 256;
/** Most sessions that live at a time; the cluster has room for all of them. */
const MAX_LIVE = 2_000;
const MARKS = 10;
const GOAL = 1_000;
const MIB = 1024 * 1024;
const WITH_STATEMENTS = process.env.BACKEND_BENCH_STATEMENTS === '1';
/** As real agents do: they would be taken for lost, and what they could not deliver would wait. */
const HEARTBEAT_MS = 5_000;
/** With no session ended for so long, the run has failed. */
const STALL_MS = 60_000;
const ENDED_BADLY = new Set(['ERROR', 'CANCELLED']);
/** The tables that a session's life leaves rows in. */
const TABLES = [
  'sessions',
  'kernels',
  'resource_allocations',
  'session_scheduling_history',
  'kernel_scheduling_history',
];

/** Who ends a session once it runs. */
type End = 'work' | 'owner';

interface Mark {
  readonly ended: number;
  readonly atMs: number;
  readonly rssMiB: number;
  readonly heapMiB: number;
}

interface Run {
  readonly wallMs: number;
  readonly managerCpuMs: number;
  readonly postgresCpuMs: number;
  readonly marks: readonly Mark[];
}

/** Milliseconds of processor time. */
function ownTime(since?: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
}

const rate = (count: number, ms: number) => Math.round((count / ms) * 1000);

/** Memory once what is garbage is gone. */
function memory(): Pick<Mark, 'rssMiB' | 'heapMiB'> {
  Bun.gc(true);
  const { rss, heapUsed } = process.memoryUsage();
  return { rssMiB: rss / MIB, heapMiB: heapUsed / MIB };
}

/** A cluster with a leading manager and its agents. */
class Cluster {
  readonly fixture: ControlPlaneFixture;
  readonly agents: readonly SimulatedAgent[];
  readonly #postmaster: number;
  #serial = 0;

  constructor(fixture: ControlPlaneFixture, agents: readonly SimulatedAgent[], postmaster: number) {
    this.fixture = fixture;
    this.agents = agents;
    this.#postmaster = postmaster;
  }

  /** Leads `count` sessions through their lives. @throws when one ends in another way than it should. */
  async churn(count: number, end: End): Promise<Run> {
    const { ctx } = this.fixture;
    const progress = { live: 0, ended: 0 };
    const failure = Promise.withResolvers<never>();
    const marks: Mark[] = [];
    const startedMs = performance.now();
    let measuringMs = 0;
    const note = () => {
      const before = process.cpuUsage();
      marks.push({ ended: progress.ended, atMs: performance.now(), ...memory() });
      measuringMs += ownTime(before);
    };
    const unsubscribe = ctx.events.subscribe((event) => {
      if (event.type === 'kernel-status' && event.status === 'RUNNING') {
        this.#end(event, end).catch(failure.reject);
      }
      if (event.type !== 'session-status') return;
      const { status, reason } = event;
      if (ENDED_BADLY.has(status)) failure.reject(new Error(`a session is ${status}: ${reason}`));
      if (status !== 'TERMINATED') return;
      progress.live -= 1;
      progress.ended += 1;
      if (progress.ended % Math.ceil(count / MARKS) === 0) note();
    });
    const cpu = process.cpuUsage();
    const postgresBefore = processorTime(processTree(this.#postmaster));
    try {
      const work = Promise.all([
        this.#enqueue(count, progress),
        this.#watch(() => progress.ended, count),
      ]);
      await Promise.race([work, failure.promise]);
    } finally {
      unsubscribe();
    }
    const wallMs = performance.now() - startedMs;
    const managerCpuMs = ownTime(cpu) - measuringMs;
    const postgresCpuMs = processorTime(processTree(this.#postmaster)) - postgresBefore;
    return { wallMs, managerCpuMs, postgresCpuMs, marks };
  }

  async #enqueue(count: number, progress: { live: number }): Promise<void> {
    let left = count;
    const client = async () => {
      while (left > 0) {
        if (progress.live >= MAX_LIVE) {
          await Bun.sleep(1);
          continue;
        }
        left -= 1;
        progress.live += 1;
        this.#serial += 1;
        await this.fixture.enqueue(`churn-${this.#serial}`, { reuse: false });
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
  }

  async #end(running: { sessionId: string; kernelId: string }, by: End): Promise<void> {
    const { sessionId, kernelId } = running;
    if (by === 'owner') await terminateSession(this.fixture.ctx, { sessionId });
    else {
      // A start that was given to another agent may still be on the first one, which has no say any more.
      for (const agent of this.agents) agent.end(kernelId, 'self-terminated');
    }
  }

  /** Resolves when `count` sessions have ended. @throws when nothing moves. */
  async #watch(ended: () => number, count: number): Promise<void> {
    let [last, movedMs] = [0, performance.now()];
    let beatMs = performance.now();
    while (ended() < count) {
      await Bun.sleep(5);
      // What the agents remember for tests is not the manager's memory.
      for (const agent of this.agents) agent.started.length = 0;
      if (performance.now() - beatMs > HEARTBEAT_MS) {
        await Promise.all(this.agents.map((agent) => agent.heartbeat()));
        await Promise.all(this.agents.map((agent) => agent.flush()));
        beatMs = performance.now();
      }
      const now = ended();
      if (now !== last) [last, movedMs] = [now, performance.now()];
      if (performance.now() - movedMs > STALL_MS) {
        throw new Error(`no session has ended for ${STALL_MS / 1000} s; ${count - now} are left`);
      }
    }
  }
}

async function withCluster<T>(work: (cluster: Cluster) => Promise<T>): Promise<T> {
  await using undo = new AsyncDisposableStack();
  const settings = WITH_STATEMENTS ? STATEMENT_SETTINGS : {};
  const server = await startTestPostgres({ durable: true, settings });
  undo.defer(() => server.discard());
  const db = await testDatabase({ server: server.url('').replace(/\/$/, '') });
  const fixture = await controlPlaneFixture({ db });
  undo.defer(() => fixture.close());
  const plane = await fixture.start();
  await until(plane.isLeader, 'it leads', 30_000);
  await db.sql`UPDATE keypair_resource_policies SET max_concurrent_sessions = 0`;
  const agents = Array.from(
    { length: AGENTS },
    (_, index) => new SimulatedAgent({ id: `i-${index}`, slots: AGENT_SLOTS }),
  );
  for (const agent of agents) await fixture.join(plane, agent);
  return await work(new Cluster(fixture, agents, server.pid));
}

const countRow = v.tuple([v.object({ count: v.number() })]);

/** @throws when something is missing or does not balance after all sessions have ended. */
async function checkBooks(sql: Sql, sessions: number): Promise<void> {
  const [{ count: left }] = v.parse(
    countRow,
    await sql`SELECT count(*)::int FROM sessions s WHERE s.status <> 'TERMINATED' OR NOT EXISTS (
      SELECT 1 FROM session_scheduling_history h
      WHERE h.session_id = s.id AND h.to_status = 'TERMINATED')`,
  );
  if (left > 0) throw new Error(`${left} sessions have no end in the books`);
  const [{ count }] = v.parse(countRow, await sql`SELECT count(*)::int FROM sessions`);
  if (count !== sessions) throw new Error(`${count} sessions are stored instead of ${sessions}`);
  const problems = await checkAccounting(sql);
  if (problems.length > 0) throw new Error(`the books do not balance: ${problems[0]}`);
}

/**
 * PostgreSQL storing the same rows as they are in the end, one INSERT for each table and one
 * commit: no life can be recorded faster. @returns milliseconds.
 */
async function insertPeer(sql: Sql): Promise<number> {
  for (const table of TABLES) {
    await sql`CREATE TABLE ${sql(`peer_${table}`)} (LIKE ${sql(table)} INCLUDING ALL)`;
  }
  const startedMs = performance.now();
  await sql.begin(async (tx) => {
    for (const table of TABLES) {
      await tx`INSERT INTO ${tx(`peer_${table}`)} SELECT * FROM ${tx(table)}`;
    }
  });
  return performance.now() - startedMs;
}

function printRun(title: string, count: number, run: Run): void {
  const { wallMs, managerCpuMs, postgresCpuMs, marks } = run;
  const each = (ms: number) => `${(ms / count).toFixed(2)} ms`;
  const perSecond = rate(count, wallMs);
  console.log(`\n${title}: ${count} sessions in ${(wallMs / 1000).toFixed(1)} s`);
  console.log(`  ${perSecond} sessions/s ${perSecond >= GOAL ? '✓' : '✗'}; goal ≥ ${GOAL}/s`);
  console.log(
    `  processor time of a session: manager and agents ${each(managerCpuMs)}, PostgreSQL ${each(postgresCpuMs)}`,
  );
  const [first] = marks;
  const [middle, last] = [marks[Math.floor(marks.length / 2)], marks.at(-1)];
  if (!first || !middle || !last) return;
  const shown = [first, middle, last];
  const rates = marks.slice(1).map((mark, index) => {
    const before = marks[index] ?? mark;
    return rate(mark.ended - before.ended, mark.atMs - before.atMs);
  });
  console.log(`  sessions/s by tenths: ${rates.join(', ')}`);
  console.log(
    `  manager's memory after ${shown.map(({ ended }) => ended).join(', ')}: ${shown.map(({ rssMiB }) => rssMiB.toFixed(0)).join(' → ')} MiB, of it heap ${shown.map(({ heapMiB }) => heapMiB.toFixed(1)).join(' → ')} MiB`,
  );
}

async function measure(
  cluster: Cluster,
  phase: { readonly title: string; readonly count: number; readonly end: End },
): Promise<Run> {
  const { title, count, end } = phase;
  const { sql } = cluster.fixture;
  if (WITH_STATEMENTS) await resetStatements(sql);
  const run = await cluster.churn(count, end);
  printRun(title, count, run);
  if (WITH_STATEMENTS) {
    await printStatements(sql, count);
    await printTables(sql, count);
  }
  return run;
}

export async function run(): Promise<void> {
  const sessions = Number(process.env.BACKEND_BENCH_SESSIONS ?? DEFAULT_SESSIONS);
  if (!Number.isSafeInteger(sessions) || sessions < MARKS) {
    throw new Error(`BACKEND_BENCH_SESSIONS: a number of sessions, ${MARKS} at least.`);
  }
  console.log(
    `\nchurn: ${availableParallelism()} cores, load ${loadavg()[0]?.toFixed(1)}, ${AGENTS} agents, ${CLIENTS} clients, at most ${MAX_LIVE} sessions at a time`,
  );
  await withCluster(async (cluster) => {
    const { sql } = cluster.fixture;
    await cluster.churn(WARM_UP, 'work');
    const byWork = await measure(cluster, {
      ...{ title: 'Work that ends by itself', count: sessions, end: 'work' },
    });
    const owned = Math.min(sessions, DEFAULT_SESSIONS);
    await measure(cluster, { title: 'Ended by their owners', count: owned, end: 'owner' });
    const stored = WARM_UP + sessions + owned;
    await checkBooks(sql, stored);
    const peerMs = await insertPeer(sql);
    const perSecond = rate(sessions, byWork.wallMs);
    console.log(
      `\npeer: one INSERT per table of the same rows ${rate(stored, peerMs)} sessions/s; ${(perSecond / rate(stored, peerMs)).toFixed(2)} of the peer`,
    );
  });
}
