/** Real servers are told apart from each other, and from nothing. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { startTestPostgres } from '../../testing/postgres.ts';
import { missingTool, requireOrSkip, startEtcd, startRedis } from '../../testing/services.ts';
import { answersAs, type ServerKind } from './probes.ts';

const KINDS: readonly ServerKind[] = ['postgres', 'redis', 'etcd'];
const reason =
  missingTool('redis-server', 'redis-server') ?? missingTool('etcd', 'etcd-server') ?? null;

describe.if(requireOrSkip(reason))('servers', () => {
  const undo = new AsyncDisposableStack();
  const ports: Partial<Record<ServerKind, number>> = {};

  beforeAll(async () => {
    const [postgres, redis, etcd] = await Promise.all([
      startTestPostgres(),
      startRedis(),
      startEtcd(),
    ]);
    undo.defer(async () => void (await postgres.discard()));
    undo.defer(() => redis.stop());
    undo.defer(() => etcd.stop());
    ports.postgres = Number(new URL(postgres.url('postgres')).port);
    ports.redis = Number(redis.addr.split(':')[1]);
    ports.etcd = Number(etcd.addr.split(':')[1]);
  });
  afterAll(() => undo.disposeAsync());

  test.each(KINDS.map((kind) => [kind]))('%s', async (kind) => {
    const answers = await Promise.all(
      KINDS.map((asked) => answersAs(asked, '127.0.0.1', ports[kind] ?? 0)),
    );
    expect(answers).toEqual(KINDS.map((asked) => asked === kind));
    expect(await answersAs(kind, '127.0.0.1', 1)).toBe(false);
  });
});
