/** The public JavaScript client, unmodified, against a whole local cluster. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';
import { type RunningCluster, startCluster } from '../../standalone/cluster.ts';
import { silentLog } from '../manager.ts';
import { missingTool, requireOrSkip } from '../services.ts';
import { until } from '../until.ts';
import { type JsClient, openJsClient, provideBrowserGlobals } from './js-client.ts';

const START_TIMEOUT_MS = 60_000;
/** The client's own limit of 5 seconds is short for starting a session on a busy machine. */
const CREATE_TIMEOUT_MS = 30_000;

const canRun = requireOrSkip(
  process.platform === 'linux' ? missingTool('python3', 'python3') : 'sessions need Linux',
);
let folder = '';
let cluster: RunningCluster;
let forgetGlobals: () => void;
let client: JsClient;
let admin: JsClient;

const clientOf = (name: string, secretKey?: string) => {
  const account = cluster.record.accounts.find((each) => each.name === name);
  if (!account) throw new Error(`The cluster has no account '${name}'.`);
  const { accessKey } = account;
  const secret = secretKey ?? account.secretKey;
  return openJsClient({ endpoint: cluster.record.endpoint, accessKey, secretKey: secret });
};

const created = v.object({
  sessionId: v.pipe(v.string(), v.uuid()),
  sessionName: v.string(),
  status: v.string(),
  servicePorts: v.array(v.unknown()),
  created: v.boolean(),
});
const create = async (name: string, resources: object = {}, image = 'python') =>
  v.parse(
    created,
    await client.call('createIfNotExists', image, name, resources, CREATE_TIMEOUT_MS),
  );

const slice = v.object({
  result: v.object({
    runId: v.string(),
    status: v.string(),
    console: v.array(v.tuple([v.string(), v.unknown()])),
    exitCode: v.nullable(v.number()),
    options: v.nullable(v.record(v.string(), v.unknown())),
  }),
});

/** Runs code until it ends or asks for input. */
async function execute(runId: string, mode: string, code: string) {
  let output = '';
  for (let turn = 0; turn < 100; turn += 1) {
    const asked = turn === 0 ? [mode, code] : ['continue', ''];
    const { result } = v.parse(
      slice,
      await client.call('execute', 'js-client', runId, ...asked, {}),
    );
    expect(result.runId).toBe(runId);
    output += result.console.map(([kind, text]) => (kind === 'stdout' ? text : '')).join('');
    if (result.status !== 'continued') return { ...result, output };
  }
  throw new Error('the code does not end');
}

const textOf = (blob: unknown): Promise<string> => {
  if (!(blob instanceof Blob)) throw new Error('not a Blob');
  return blob.text();
};

describe.if(canRun)('the JavaScript client', () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'bai-js-client-'));
    // Else PostgreSQL's account could not enter it, and its files would lie elsewhere and stay.
    chmodSync(folder, 0o755);
    forgetGlobals = provideBrowserGlobals();
    cluster = await startCluster({
      envId: 'js-client',
      folder: join(folder, 'js-client'),
      backend: 'process',
      managerPort: 0,
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      progress: () => {},
    });
    client = await clientOf('user');
    admin = await clientOf('admin');
    await create('js-client', { cpu: 1, mem: '256m', env: { GREETING: '안녕' } });
  }, START_TIMEOUT_MS);

  afterAll(async () => {
    await client.call('destroy', 'js-client');
    await until(
      () =>
        client.call('get_info', 'js-client').then(
          () => false,
          () => true,
        ),
      'the session has ended',
      START_TIMEOUT_MS,
    );
    await cluster.stop();
    forgetGlobals();
    rmSync(folder, { recursive: true, force: true });
  }, START_TIMEOUT_MS);

  test('learns the version and uses the paths of this API', () => {
    expect(client.property('managerVersion')).toBe('26.4.4');
    expect(client.property('apiVersion')).toBe('v9.20250722');
    expect(client.property('kernelPrefix')).toBe('/session');
  });

  describe('sessions', () => {
    test('one that exists is given again', async () => {
      const again = await create('js-client');
      expect(again).toMatchObject({ sessionName: 'js-client', status: 'RUNNING', created: false });
      const info = await client.call('get_info', 'js-client');
      expect(info).toMatchObject({ status: 'RUNNING', lang: expect.stringContaining('python') });
      expect(await client.call('get_info', again.sessionId)).toMatchObject({
        containerId: v.parse(v.object({ containerId: v.string() }), info).containerId,
      });
    });

    test('run code, keep its state, ask for input, and have a log', async () => {
      const first = await execute('run-one-1', 'query', 'import os; x = os.environ["GREETING"]');
      expect(first).toMatchObject({ status: 'finished', exitCode: 0, output: '' });
      expect((await execute('run-two-2', 'query', 'print(x)')).output).toBe('안녕\n');
      const asking = await execute('run-ask-3', 'query', 'print("hi", input("name? "))');
      expect(asking).toMatchObject({ status: 'waiting-input', options: { is_password: false } });
      const answered = await execute('run-ask-3', 'input', 'Kim');
      expect(answered).toMatchObject({ status: 'finished', output: 'hi Kim\n' });
      const log = v.parse(
        v.object({ result: v.object({ logs: v.string() }) }),
        await client.call('get_logs', 'js-client'),
      );
      expect(log.result.logs).toContain('안녕');
    });

    test('take files and give them back', async () => {
      await client.call('upload', 'js-client', 'sub/note.txt', new Blob(['a note']));
      const { output } = await execute('run-file-4', 'query', 'print(open("sub/note.txt").read())');
      expect(output).toBe('a note\n');
      const single = await client.call('download_single', 'js-client', 'sub/note.txt');
      expect(await textOf(single)).toBe('a note');
      const archives = await client.call('download', 'js-client', ['sub/note.txt']);
      expect(await textOf(archives)).toContain('a note');
    });

    test('are listed', async () => {
      const list = v.object({
        compute_session_list: v.object({
          items: v.array(v.looseObject({ name: v.string(), status: v.string() })),
          total_count: v.number(),
        }),
      });
      const mine = v.parse(list, await client.call('computeSession.list'));
      expect(mine.compute_session_list).toMatchObject({
        items: [{ name: 'js-client', status: 'RUNNING' }],
        total_count: 1,
      });
      const all = v.parse(list, await admin.call('computeSession.list'));
      expect(all.compute_session_list.total_count).toBe(1);
      const others = v.parse(
        list,
        await admin.call('computeSession.list', ['name status'], 'ERROR'),
      );
      expect(others.compute_session_list.items).toEqual([]);
    });

    test('start and end', async () => {
      await create('js-short', { cpu: 1, mem: '256m' }, 'bash');
      expect(await client.call('destroy', 'js-short')).toEqual({ stats: { status: 'terminated' } });
    });
  });

  test('keypairs, images, agents and announcements', async () => {
    const accessKey = cluster.record.accounts.find(({ name }) => name === 'user')?.accessKey;
    expect(await client.call('keypair.info', accessKey)).toMatchObject({
      keypair: { access_key: accessKey, is_active: true, concurrency_used: expect.any(Number) },
    });
    const images = v.parse(
      v.object({
        images: v.array(v.looseObject({ name: v.string(), installed: v.literal(true) })),
      }),
      await client.call('image.list'),
    );
    expect(images.images.map(({ name }) => name)).toContain('python');
    expect(await admin.call('agent.list')).toMatchObject({ agents: [{ status: 'ALIVE' }] });
    expect(await client.call('service.get_announcement')).toEqual({ enabled: false, message: '' });
  });

  describe('refusals carry a status, a title and an explanation', () => {
    test('a wrong secret', async () => {
      const stranger = await clientOf('user', 'not-the-secret');
      expect(await stranger.refused('get_info', 'js-client')).toMatchObject({
        statusCode: 401,
        title: '401 Unauthorized - Credential/signature mismatch.',
      });
    });

    test.each([
      ['another image under the same name', 400, ['bash', 'js-client', {}]],
      ['an unknown image', 404, ['no-such-image', 'js-other', {}]],
      ['more than any agent has', 400, ['python', 'js-other', { cpu: 100_000, mem: '1g' }]],
      ['an amount that is none', 400, ['python', 'js-other', { cpu: 1, mem: 'lots' }]],
    ])('creating with %s', async (_what, statusCode, args) => {
      const refusal = await client.refused('createIfNotExists', ...args, CREATE_TIMEOUT_MS);
      expect(refusal.statusCode).toBe(statusCode);
      expect(refusal.description).not.toBe('');
    });

    test('a session that is not there', async () => {
      expect((await client.refused('get_info', 'js-none')).statusCode).toBe(404);
      expect((await client.refused('get_logs', 'js-none')).statusCode).toBe(404);
    });

    test('fields that are not there, and those of others', async () => {
      expect((await client.refused('query', '{ nothing }', {})).statusCode).toBe(400);
      expect((await client.refused('agent.list')).statusCode).toBe(400);
    });
  });
});
