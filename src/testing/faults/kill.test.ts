/**
 * The kill test: `kill -9` of manager, agents and PostgreSQL while 50 sessions start and the earlier
 * ones end, ten times. Afterwards every session runs or has ended with a reason, and nothing is left.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { ApiError, ConnectionError } from '../../client/errors.ts';
import { checkAccounting } from '../../manager/session/accounting-store.ts';
import { seeded } from '../seeded.ts';
import { missingTool, requireOrSkip } from '../services.ts';
import { until } from '../until.ts';
import {
  type DistributedCluster,
  type Part,
  SIMULATED_GROUP,
  startDistributedCluster,
} from './distributed.ts';
import { cgroupsOf, namesIn, processesNaming } from './leftovers.ts';

const ROUNDS = 10;
const SESSIONS = 50;
/** Of these, so many are real processes; the rest is simulated. */
const REAL_SESSIONS = 18;
const MAX_SLICES = 100;
const CONTINUE = { mode: 'continue', code: '' } as const;
const QUIET_DEADLINE_MS = 60_000;
const REQUEST_TIMEOUT_MS = 10_000;
const ACCEPT_DEADLINE_MS = 40_000;
const TEST_TIMEOUT_MS = 280_000;

const isReady =
  requireOrSkip(missingTool('etcd', 'etcd-server')) &&
  requireOrSkip(missingTool('redis-server', 'redis-server'));

const ALREADY_EXISTS = 'session_create_already-exists';

let cluster: DistributedCluster;
beforeAll(async () => {
  if (isReady) cluster = await startDistributedCluster();
}, 60_000);
afterAll(async () => {
  await cluster?.stop();
}, 60_000);

/** Whether a request may be sent again: a part was away, and nothing was refused. */
const isOutage = (error: unknown): boolean =>
  error instanceof ConnectionError ||
  (error instanceof ApiError && error.status >= 500) ||
  (error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError'));

/** Repeats a request as a patient client does while parts are away. */
async function patiently<T>(what: string, request: () => Promise<T>): Promise<T> {
  const giveUpAtMs = performance.now() + ACCEPT_DEADLINE_MS;
  for (;;) {
    try {
      return await request();
    } catch (error) {
      if (!isOutage(error) || performance.now() > giveUpAtMs) {
        throw new Error(`${what}: ${error instanceof Error ? error.message : error}`, {
          cause: error,
        });
      }
      await Bun.sleep(100);
    }
  }
}

/**
 * Real ones are batch sessions that succeed or fail, and interactive ones; python and bash. Some have
 * two kernels.
 */
function startSession(name: string, index: number): Promise<unknown> {
  const isReal = index < REAL_SESSIONS;
  const batch = { type: 'batch', startupCommand: index % 6 === 0 ? 'exit 3' : 'true' } as const;
  const spec = {
    name,
    image: isReal ? (index % 4 === 1 ? 'python' : 'bash') : 'dummy',
    scalingGroup: isReal ? 'default' : SIMULATED_GROUP,
    resources: isReal ? { cpu: '0.1', mem: '192m' } : { cpu: '1', mem: '192m' },
    enqueueOnly: true,
    ...(isReal && index % 3 === 0 ? batch : {}),
    ...(index % 7 === 5 ? { clusterSize: 2 } : {}),
  };
  let isRepeated = false;
  return patiently(name, async () => {
    const wasSentBefore = isRepeated;
    isRepeated = true;
    try {
      await cluster.client.session.create(spec, AbortSignal.timeout(REQUEST_TIMEOUT_MS));
    } catch (error) {
      // The name is this request's own: what was lost the first time is the answer.
      const isThere = error instanceof ApiError && error.errorCode === ALREADY_EXISTS;
      if (!(wasSentBefore && isThere)) throw error;
    }
  });
}

/** Ends a session of the round before; one that is gone by now is fine. */
const endSession = (id: string): Promise<unknown> =>
  patiently(`ending ${id}`, () =>
    cluster.client.session.destroy(id).catch((error: unknown) => {
      if (!(error instanceof ApiError && error.status === 404)) throw error;
    }),
  );

interface Row {
  id: string;
  name: string;
  status: string;
  status_info: string | null;
  image: string;
  kernel_id: string;
  kernel_status: string;
  kernel_info: string | null;
}

const TERMINAL = ['TERMINATED', 'CANCELLED', 'ERROR'];
const isTerminal = (status: string) => TERMINAL.includes(status);

const rows = () => cluster.sql<Row[]>`
  SELECT s.id, s.name, s.status, s.status_info, k.image, k.id AS kernel_id,
    k.status AS kernel_status, k.status_info AS kernel_info
  FROM sessions s JOIN kernels k ON k.session_id = s.id`;

/** How many sessions of a round have come to run by now, or beyond. */
async function started(round: number): Promise<number> {
  const [row] = await cluster.sql<{ count: number }[]>`SELECT count(*) FROM sessions
    WHERE name LIKE ${`r${round}-%`} AND (status = 'RUNNING' OR status = ANY(${TERMINAL}))`;
  return row?.count ?? 0;
}

/** What still is in motion; agents must have been heard since `since`. */
async function unsettled(since: Date): Promise<string[]> {
  try {
    const moving = await cluster.sql<{ text: string }[]>`
      SELECT format('session %s is %s (%s)', name, status, status_info) AS text FROM sessions
      WHERE (status <> 'RUNNING' OR session_type = 'BATCH') AND NOT status = ANY(${TERMINAL})
      UNION ALL
      SELECT format('agent %s is %s, last heard %s', id, status, last_heartbeat) FROM agents
      WHERE status <> 'ALIVE' OR last_heartbeat IS NULL OR last_heartbeat < ${since}`;
    return moving.map(({ text }) => text);
  } catch (error) {
    return [`PostgreSQL: ${error instanceof Error ? error.message : error}`];
  }
}

/** Everything that is not as it should be, in words. */
async function violations(): Promise<string[]> {
  const all = await rows();
  const found = await checkAccounting(cluster.sql);
  for (const row of all) {
    if (isTerminal(row.status) !== isTerminal(row.kernel_status)) {
      found.push(`${row.name} is ${row.status}, its kernel ${row.kernel_status}`);
    }
    if (isTerminal(row.status) && !row.status_info) found.push(`${row.name} ended without reason`);
  }
  const history = await cluster.sql<{ name: string }[]>`SELECT name FROM sessions s WHERE NOT EXISTS
    (SELECT FROM session_scheduling_history h WHERE h.session_id = s.id)`;
  found.push(...history.map(({ name }) => `${name} has no history`));

  const isReal = ({ image }: Row) => !image.includes('dummy');
  const running = new Set(
    all.filter((row) => row.status === 'RUNNING' && isReal(row)).map((row) => row.kernel_id),
  );
  const onHost = (await namesIn(cluster.kernelsFolder)).sort();
  if (onHost.join() !== [...running].sort().join()) {
    found.push(`kernels running [${[...running].sort()}], but the agent's folder has [${onHost}]`);
  }
  const alive = new Set((await processesNaming([...running])).map(({ mark }) => mark));
  for (const id of running) if (!alive.has(id)) found.push(`no process of running kernel ${id}`);
  const gone = all.map((row) => row.kernel_id).filter((id) => !running.has(id));
  for (const { pid, command } of await processesNaming(gone)) {
    found.push(`process ${pid} of a kernel that does not run: ${command}`);
  }
  return [...found, ...(await cgroupsOf(gone)).map((path) => `${path} is left`)];
}

/** Polls until `list` is empty. @throws with what is in it at the deadline, and the facts around. */
async function untilNone(what: string, list: () => Promise<string[]>): Promise<void> {
  let last: string[] = [];
  const isNone = async () => {
    last = await list();
    return last.length === 0;
  };
  await until(isNone, what, QUIET_DEADLINE_MS).catch(async () => {
    const wrong = await violations();
    const held = await cluster.sql`SELECT * FROM agent_resources ORDER BY agent_id, slot_name`;
    const facts = [...last, ...wrong, await summary(''), ...held.map((row) => JSON.stringify(row))];
    const logs = await cluster.logs();
    throw new Error(`${what}: not within ${QUIET_DEADLINE_MS} ms\n${facts.join('\n')}\n${logs}`);
  });
}

/** Runs code in a session until it is through. @returns what it printed. */
async function printed(session: string, code: string): Promise<string> {
  const runId = `ask-${session}`;
  let output = '';
  for (let turn = 0; turn < MAX_SLICES; turn += 1) {
    const request = turn === 0 ? ({ mode: 'query', code } as const) : CONTINUE;
    const slice = await cluster.client.session.execute(session, { ...request, runId });
    output += (slice.console ?? []).map(([, text]) => String(text)).join('');
    if (slice.status === 'finished') return output;
  }
  throw new Error(`${session} does not finish: ${output}`);
}

/** Asks some of the running sessions to run code; simulated ones answer, but do not compute. */
async function askSome(random: () => number): Promise<void> {
  const running = (await rows()).filter(({ status }) => status === 'RUNNING');
  for (const isReal of [true, false]) {
    const candidates = running.filter(({ image }) => image.includes('dummy') !== isReal);
    const row = candidates[Math.floor(random() * candidates.length)];
    if (!row) continue;
    const code = row.image.includes('python') ? 'print(6 * 7)' : 'echo $((6 * 7))';
    const output = await printed(row.id, code);
    if (isReal) expect(output).toBe('42\n');
  }
}

/** What became of the sessions of a round, or of all. */
async function summary(prefix: string): Promise<string> {
  const found = (await rows()).filter(({ name }) => name.startsWith(prefix));
  const counts = new Map<string, number>();
  for (const { status, status_info: info } of found) {
    const key = isTerminal(status) ? `${status} (${info})` : status;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return [...counts].map(([key, count]) => `${count} ${key}`).join(', ');
}

async function runRound(round: number, victim: Part, random: () => number): Promise<void> {
  const earlier = (await rows()).filter(({ status }) => status === 'RUNNING');
  const threshold = Math.floor(random() * (SESSIONS - 10));
  const work = Promise.all([
    ...Array.from({ length: SESSIONS }, (_, index) => startSession(`r${round}-${index}`, index)),
    ...earlier.map(({ id }) => endSession(id)),
  ]);
  // Observed below; a rejection while waiting must not end the process first.
  work.catch(() => {});
  const isMiddle = async () => (await started(round)) >= threshold;
  await until(isMiddle, `${threshold} of ${SESSIONS} have started`, QUIET_DEADLINE_MS);
  const since = new Date();
  await cluster.killAndRestart(victim);
  await work;
  await untilNone(`round ${round}: quiet after kill -9 of ${victim}`, () => unsettled(since));
  await untilNone(`round ${round}: in order after kill -9 of ${victim}`, violations);
  const names = new Set((await rows()).map(({ name }) => name));
  for (let index = 0; index < SESSIONS; index += 1) expect(names).toContain(`r${round}-${index}`);
  await askSome(random);
  console.log(
    `kill -9 of ${victim} at ${threshold} of ${SESSIONS}: ${await summary(`r${round}-`)}`,
  );
}

test.skipIf(!isReady)(
  'whatever is killed, every session runs or has ended with a reason, and nothing is left',
  async () => {
    const seed = Number(process.env.BACKEND_TEST_SEED ?? Date.now() % 1_000_000);
    console.log(`BACKEND_TEST_SEED=${seed}`);
    const random = seeded(seed);
    const victims: Part[] = ['manager', 'process agent', 'PostgreSQL', 'dummy agent'];
    const offset = Math.floor(random() * victims.length);
    for (let round = 0; round < ROUNDS; round += 1) {
      const victim = victims[(offset + round) % victims.length] ?? 'manager';
      await runRound(round, victim, random);
    }

    await Promise.all(
      (await rows()).filter(({ status }) => status === 'RUNNING').map(({ id }) => endSession(id)),
    );
    await untilNone('the end: all sessions have ended', async () =>
      (await rows()).filter(({ status }) => !isTerminal(status)).map(({ name }) => name),
    );
    await untilNone('the end: in order', violations);
    const held = await cluster.sql`SELECT * FROM agent_resources WHERE reserved <> 0 OR used <> 0`;
    expect([...held]).toEqual([]);
  },
  TEST_TIMEOUT_MS,
);
