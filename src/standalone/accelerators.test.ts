/** Sessions with accelerators in a local cluster: from the command line to the device, and back. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import * as v from 'valibot';
import { systemClock } from '../common/clock.ts';
import { systemRandom } from '../common/random.ts';
import { signingClient, silentLog, type TestClient } from '../testing/manager.ts';
import { until } from '../testing/until.ts';
import { type RunningCluster, startCluster } from './cluster.ts';

const TIMEOUT_MS = 120_000;
const SAMPLE = resolve(import.meta.dir, '../../config/accelerator/mock-accelerator.toml');
const PROGRAM = resolve(import.meta.dir, '../../bin/backend.ai.ts');
const FIRST = 'c59395cd-ac91-4cd3-a1b0-3d2568aa2d01';

let folder: string;
let mockFile: string;
let cluster: RunningCluster;
let user: TestClient;
let admin: TestClient;
let keys: { accessKey: string; secretKey: string };

async function start(): Promise<void> {
  cluster = await startCluster({
    envId: 'accelerators',
    folder: join(folder, 'cluster'),
    backend: 'process',
    managerPort: 0,
    mockAcceleratorFile: mockFile,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    progress: () => {},
  });
  const keysOf = async (email: string) => {
    const [row] = await cluster.manager.ctx.sql<{ accessKey: string; secretKey: string }[]>`
      SELECT access_key AS "accessKey", secret_key AS "secretKey" FROM keypairs
       WHERE user_id = ${email} AND is_active ORDER BY created_at LIMIT 1`;
    if (row === undefined) throw new Error(`${email} has no keypair`);
    return { ...row, email, userId: '' };
  };
  keys = await keysOf('user@lablup.com');
  user = signingClient(cluster.manager.url, { ...keys, email: 'user@lablup.com', userId: '' });
  admin = signingClient(cluster.manager.url, await keysOf('admin@lablup.com'));
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'accelerators-'));
  await chmod(folder, 0o755);
  mockFile = join(folder, 'mock.toml');
  const sample = await readFile(SAMPLE, 'utf8');
  const slice =
    '  { mother_uuid = "m", model_name = "MIG-10g", numa_node = 0, subproc_count = 28, memory_size = "10G", is_mig_device = true },\n]';
  await writeFile(mockFile, sample.replace(/\n\]/, `\n${slice}`));
  await start();
}, TIMEOUT_MS);
afterAll(async () => {
  await cluster.stop();
  await rm(folder, { recursive: true, force: true });
}, TIMEOUT_MS);

async function cli(...argv: string[]) {
  const child = Bun.spawn([process.execPath, PROGRAM, ...argv], {
    cwd: folder,
    env: {
      HOME: folder,
      PATH: process.env.PATH ?? '',
      BACKEND_ENDPOINT: cluster.manager.url,
      BACKEND_ENDPOINT_TYPE: 'api',
      BACKEND_ACCESS_KEY: keys.accessKey,
      BACKEND_SECRET_KEY: keys.secretKey,
    },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const [out, err, exitCode] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    child.exited,
  ]);
  return { exitCode, out, err };
}

const start201 = async (name: string, resources: Record<string, unknown>, more = {}) => {
  const config = { resources: { cpu: 1, mem: '128m', ...resources } };
  const body = { clientSessionToken: name, lang: 'bash', config, ...more };
  const response = await user('POST', '/session', body);
  expect([response.status, await response.clone().text()]).toMatchObject([201, expect.any(String)]);
};

const graphql = async (query: string): Promise<unknown> => {
  const response = await admin('POST', '/admin/gql', { query });
  const { data, errors } = v.parse(
    v.object({ data: v.unknown(), errors: v.nullish(v.unknown()) }),
    await response.json(),
  );
  expect(errors ?? null).toBeNull();
  return data;
};

async function end(name: string): Promise<void> {
  expect((await user('DELETE', `/session/${name}`)).status).toBe(200);
  await until(
    async () => (await user('GET', `/session/${name}`)).status === 404,
    `${name} has ended`,
    TIMEOUT_MS,
  );
}

const checkedPresets = v.object({
  presets: v.array(v.object({ name: v.string(), allocatable: v.boolean() })),
  scaling_group_remaining: v.record(v.string(), v.string()),
});

const agentRows = v.object({
  agent_list: v.object({
    items: v.array(
      v.object({
        available_slots: v.pipe(v.string(), v.parseJson(), v.record(v.string(), v.string())),
        occupied_slots: v.pipe(v.string(), v.parseJson(), v.record(v.string(), v.string())),
        compute_plugins: v.pipe(v.string(), v.parseJson(), v.record(v.string(), v.unknown())),
        live_stat: v.nullable(v.string()),
        gpu_alloc_map: v.unknown(),
      }),
    ),
  }),
});
async function agent() {
  const fields = 'available_slots occupied_slots compute_plugins live_stat gpu_alloc_map';
  const query = `{ agent_list(limit: 1, offset: 0) { items { ${fields} } } }`;
  const [row] = v.parse(agentRows, await graphql(query)).agent_list.items;
  if (!row) throw new Error('no agent');
  return row;
}

test(
  'the node offers whole devices and slices, and the cluster knows both kinds',
  async () => {
    const { available_slots: slots, compute_plugins: plugins } = await agent();
    expect(slots).toMatchObject({ 'cuda.device': '2', 'cuda.device:10g-mig': '1' });
    expect(plugins).toMatchObject({ cuda: { cuda_support: true, nvidia_driver: '450.0.0' } });
    const types = await user('GET', '/config/resource-slots');
    expect(await types.json()).toMatchObject({
      'cuda.device': 'count',
      'cuda.device:10g-mig': 'unique',
    });
  },
  TIMEOUT_MS,
);

test(
  '`run -r cuda.device=1` prints what the kernel sees of its device',
  async () => {
    const code = 'echo $GPU_COUNT $GPU_TYPE $GPU_CONFIG $BACKENDAI_MOCK_CUDA_DEVICES';
    const resources = ['-r', 'cpu=1', '-r', 'mem=128m', '-r', 'cuda.device=1'];
    const ran = await cli('run', '--rm', 'bash', ...resources, '-c', code);
    expect({
      ...ran,
      out: ran.out.split('\n').filter((line) => line.startsWith('1 ')),
    }).toMatchObject({ exitCode: 0, out: [`1 cuda 0:40g ${FIRST}`] });
  },
  TIMEOUT_MS,
);

test(
  'presets and quotas count devices',
  async () => {
    const { sql } = cluster.manager.ctx;
    for (const [name, devices] of [
      ['two-gpus', '2'],
      ['three-gpus', '3'],
    ] as const) {
      const slots = JSON.stringify({ cpu: '1', mem: '134217728', 'cuda.device': devices });
      await sql`INSERT INTO resource_presets (name, resource_slots)
        VALUES (${name}, ${slots}::text::jsonb)`;
    }
    const presets = async () => {
      const response = await user('POST', '/resource/check-presets', { group: 'default' });
      const found = v.parse(checkedPresets, await response.json());
      const allocatable = (name: string) => found.presets.find((p) => p.name === name)?.allocatable;
      return {
        remaining: found.scaling_group_remaining['cuda.device'],
        two: allocatable('two-gpus'),
        three: allocatable('three-gpus'),
      };
    };
    const isFree = async () => (await presets()).remaining === '2';
    await until(isFree, 'the session of before has ended', TIMEOUT_MS);
    expect(await presets()).toEqual({ remaining: '2', two: true, three: false });
    const [policy] = await sql<{ name: string; slots: string }[]>`
      SELECT p.name, p.total_resource_slots::text AS slots FROM keypair_resource_policies p
        JOIN keypairs k ON k.resource_policy = p.name WHERE k.access_key = ${keys.accessKey}`;
    if (!policy) throw new Error('the user has no policy');
    const limit = (slots: string) => sql`UPDATE keypair_resource_policies
      SET total_resource_slots = ${slots}::text::jsonb WHERE name = ${policy.name}`;
    await limit(JSON.stringify({ ...JSON.parse(policy.slots), 'cuda.device': '1' }));
    expect(await presets()).toEqual({ remaining: '1', two: false, three: false });
    const asked = await user('POST', '/session', {
      clientSessionToken: 'too-much',
      lang: 'bash',
      enqueueOnly: true,
      config: { resources: { cpu: 1, mem: '128m', 'cuda.device': 2 } },
    });
    expect(asked.status).toBe(201);
    await until(
      async () => {
        const [session] = await sql<{ data: string | null }[]>`
          SELECT status_data->'scheduler'->'failed_predicates' AS data FROM sessions
          WHERE name = 'too-much' AND status = 'PENDING'`;
        return JSON.stringify(session?.data ?? '').includes('KeypairResourceLimitValidator');
      },
      'the quota holds the session back',
      TIMEOUT_MS,
    );
    await end('too-much');
    await limit(policy.slots);
  },
  TIMEOUT_MS,
);

test(
  'the books of manager and agent agree, statistics tell of the devices, and more is not given',
  async () => {
    await start201('both', { 'cuda.device': 2 });
    const session = v.parse(
      v.object({
        compute_session_list: v.object({
          items: v.array(
            v.object({
              occupying_slots: v.string(),
              containers: v.array(v.object({ live_stat: v.nullable(v.string()) })),
            }),
          ),
        }),
      }),
      await graphql(
        '{ compute_session_list(limit: 1, offset: 0, status: "RUNNING") { items { occupying_slots containers { live_stat } } } }',
      ),
    );
    expect(session.compute_session_list.items[0]?.occupying_slots).toContain('"cuda.device":"2"');
    const { occupied_slots: occupied, gpu_alloc_map: shares } = await agent();
    expect(occupied['cuda.device']).toBe('2');
    expect(shares).toMatchObject({ [FIRST]: 1 });
    const [kernel] = await cluster.manager.ctx.sql`
      SELECT attached_devices->'cuda' AS devices FROM kernels WHERE status = 'RUNNING'`;
    expect(kernel?.devices).toMatchObject([
      {
        device_id: FIRST,
        model_name: 'CUDA GPU',
        data: { smp: '108', mem: String(40 * 1024 ** 3) },
      },
      { model_name: 'CUDA GPU' },
    ]);
    await until(
      async () => (await agent()).live_stat?.includes(`"cuda_temperature"`) ?? false,
      'the node tells what its devices do',
      TIMEOUT_MS,
    );
    const refused = await user('POST', '/session', {
      clientSessionToken: 'third',
      lang: 'bash',
      enqueueOnly: true,
      config: { resources: { cpu: 1, mem: '128m', 'cuda.device': 1 } },
    });
    expect(refused.status).toBe(201);
    await end('both');
    await until(
      async () => {
        const rows = await cluster.manager.ctx
          .sql`SELECT FROM sessions WHERE name = 'third' AND status = 'RUNNING'`;
        return rows.length === 1;
      },
      'the session that waited has a device now',
      TIMEOUT_MS,
    );
    await end('third');
  },
  TIMEOUT_MS,
);

test(
  'a slice is given once; in shares mode a kernel gets its part, also after a restart of the agent',
  async () => {
    await start201('slice', { 'cuda.device:10g-mig': 1 });
    await end('slice');
    await cluster.manager.ctx.config.putMany(
      new Map([
        ['config/plugins/accelerator/cuda/allocation_mode', 'fractional'],
        ['config/plugins/accelerator/cuda/unit_mem', String(40 * 1024 ** 3)],
        ['config/plugins/accelerator/cuda/unit_proc', '108'],
      ]),
    );
    await cluster.stop();
    await start();
    expect((await agent()).available_slots).toMatchObject({ 'cuda.shares': '2' });
    await start201('half', { 'cuda.shares': '0.55' });
    const devices = async () => {
      const [kernel] = await cluster.manager.ctx.sql`
        SELECT attached_devices->'cuda' AS devices, occupied_slots->>'cuda.shares' AS held
        FROM kernels WHERE status = 'RUNNING'`;
      return kernel;
    };
    const half = {
      held: '0.5',
      devices: [{ device_id: FIRST, data: { shares: '0.5', mem: String(20 * 1024 ** 3) } }],
    };
    expect(await devices()).toMatchObject(half);
    await cluster.stop();
    await start();
    // What a kernel of before holds is still held: the other half of the device, and no more of it.
    await start201('rest', { 'cuda.shares': '1.5' });
    await end('half');
    await end('rest');
  },
  TIMEOUT_MS,
);
