/**
 * Two managers on the same stores: the one that leads gets `kill -9` while sessions are being placed.
 * The other goes on within seconds, and no session is lost or started twice.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readClientConfig } from '../../client/config.ts';
import { Client } from '../../client/index.ts';
import { checkAccounting } from '../../manager/session/accounting-store.ts';
import { missingTool, requireOrSkip } from '../services.ts';
import { until } from '../until.ts';
import {
  type DistributedCluster,
  SIMULATED_GROUP,
  startDistributedCluster,
} from './distributed.ts';

const ROUNDS = 3;
const SESSIONS = 24;
const MANAGERS = ['manager', 'second manager'] as const;
type ManagerName = (typeof MANAGERS)[number];
const TIMEOUT_MS = 240_000;
const DEADLINE_MS = 60_000;

const isReady =
  requireOrSkip(missingTool('etcd', 'etcd-server')) &&
  requireOrSkip(missingTool('redis-server', 'redis-server'));

let cluster: DistributedCluster;
let clients: Record<ManagerName, Client>;
beforeAll(async () => {
  if (!isReady) return;
  cluster = await startDistributedCluster({ managers: MANAGERS, agents: ['dummy agent'] });
  const clientOf = (name: ManagerName) =>
    new Client(readClientConfig({ ...cluster.environmentFor(name) }));
  clients = { manager: clientOf('manager'), 'second manager': clientOf('second manager') };
}, TIMEOUT_MS);
afterAll(async () => {
  await cluster?.stop();
}, TIMEOUT_MS);

const enqueue = (client: Client, name: string) =>
  client.session.create({
    ...{ name, image: 'dummy', scalingGroup: SIMULATED_GROUP, enqueueOnly: true },
    resources: { cpu: '1', mem: '192m' },
  });

/** How many sessions whose names start so are in one of the statuses. */
async function count(prefix: string, ...statuses: string[]): Promise<number> {
  const [row] = await cluster.sql<{ count: number }[]>`
    SELECT count(*)::int AS count FROM sessions
    WHERE starts_with(name, ${prefix}) AND status = ANY(${statuses})`;
  return row?.count ?? 0;
}

const placed = (prefix: string) =>
  count(prefix, 'SCHEDULED', 'PREPARING', 'PULLING', 'PREPARED', 'CREATING', 'RUNNING');

const serves = async (name: ManagerName): Promise<boolean> => {
  const url = cluster.environmentFor(name).BACKEND_ENDPOINT ?? '';
  const response = await fetch(url, { signal: AbortSignal.timeout(5000) }).catch(() => null);
  return response?.ok ?? false;
};
const bothServe = async () => (await Promise.all(MANAGERS.map(serves))).every(Boolean);

const hasLed = async (name: ManagerName): Promise<boolean> => {
  const log = await readFile(join(cluster.folderOf(name), 'server.log'), 'utf8').catch(() => '');
  return log.includes('this manager leads the scheduling');
};

/** What of the sessions is not as if they had been started once. */
const irregular = (prefix: string) => cluster.sql`
  SELECT s.name, s.status, count(k.id) AS kernels, count(h.*) AS starts
  FROM sessions s LEFT JOIN kernels k ON k.session_id = s.id
  LEFT JOIN kernel_scheduling_history h ON h.kernel_id = k.id AND h.to_status = 'RUNNING'
  WHERE starts_with(s.name, ${prefix}) GROUP BY s.id
  HAVING count(k.id) <> 1 OR count(h.*) <> 1 OR s.status <> 'RUNNING'`;

async function waitUntil(condition: () => Promise<boolean>, what: string): Promise<void> {
  await until(condition, what, DEADLINE_MS).catch(async (error) => {
    throw new Error(`${error}\n${await cluster.logs()}`);
  });
}

test.skipIf(!isReady)(
  'the leader is killed while sessions are placed: the other goes on, none is lost or doubled',
  async () => {
    await waitUntil(
      async () => (await Promise.all(MANAGERS.map(hasLed))).includes(true),
      'one of the managers leads',
    );
    let leader: ManagerName = (await hasLed('manager')) ? 'manager' : 'second manager';
    const measuredMs: number[] = [];
    for (let round = 1; round <= ROUNDS; round += 1) {
      await waitUntil(bothServe, 'both managers serve');
      const other: ManagerName = leader === 'manager' ? 'second manager' : 'manager';
      const prefix = `r${round}-`;
      // Half are enqueued before the kill, half after it; the first of those tells when work goes on.
      const before = Array.from({ length: SESSIONS / 2 }, (_, at) =>
        enqueue(clients[other], `${prefix}before-${at}`),
      );
      await waitUntil(async () => (await placed(`${prefix}before`)) > 0, 'some are placed');
      const killedAtMs = performance.now();
      await cluster.kill(leader);
      await Promise.all(before);
      const after = Array.from({ length: SESSIONS / 2 }, (_, at) =>
        enqueue(clients[other], `${prefix}after-${at}`),
      );
      await waitUntil(async () => (await placed(`${prefix}after`)) > 0, 'scheduling goes on');
      measuredMs.push(performance.now() - killedAtMs);
      await Promise.all(after);
      cluster.start(leader);
      await waitUntil(async () => (await count(prefix, 'RUNNING')) === SESSIONS, 'all run');
      expect([...(await irregular(prefix))]).toEqual([]);
      expect(await checkAccounting(cluster.sql)).toEqual([]);
      leader = other;
    }
    const seconds = measuredMs.map((ms) => (ms / 1000).toFixed(2)).join(', ');
    console.log(`from the leader's end to the next placement, in seconds: ${seconds}`);
    expect(Math.max(...measuredMs)).toBeLessThan(30_000);
    expect(await hasLed('manager')).toBe(true);
    expect(await hasLed('second manager')).toBe(true);
  },
  TIMEOUT_MS,
);
