/** Sessions of several kernels as clients create and see them: REST, both GraphQL schemas, events. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  signingClient,
  type TestAccount,
  type TestManagerContext,
  testManagerContext,
} from '../../testing/manager.ts';
import { insertAccount, insertProject, joinProject } from '../../testing/sessions.ts';
import { SimulatedAgent } from '../../testing/simulated-agent.ts';
import { until } from '../../testing/until.ts';
import type { ManagerContext } from '../context.ts';
import { type ControlPlane, startControlPlane } from '../control-plane.ts';
import { createGraphqlEngine } from '../graphql/engine.ts';
import { featureRoutes, featureSockets, graphqlModules } from '../main.ts';
import { type ManagerServer, startServer } from '../server.ts';

let manager: TestManagerContext;
let ctx: ManagerContext;
let server: ManagerServer;
let controlPlane: ControlPlane;
let graphql: Awaited<ReturnType<typeof createGraphqlEngine>>;
let stranger: TestAccount;
const digest = (letter: string) => `sha256:${letter.repeat(64)}`;
const image = { architecture: 'x86_64', sizeBytes: 0, labels: {} };
const agent = new SimulatedAgent({
  slots: { cpu: '100', mem: '107374182400' },
  images: [
    { ...image, canonical: 'local/python:3', digest: digest('a'), aliases: ['python'] },
    { ...image, canonical: 'local/bash:5', digest: digest('b'), aliases: ['bash'] },
  ],
});

beforeAll(async () => {
  manager = await testManagerContext();
  ctx = { ...manager.ctx, agents: { client: () => agent.client } };
  const projectId = await insertProject(ctx.sql);
  await ctx.sql`UPDATE keypair_resource_policies SET max_containers_per_session = 4`;
  stranger = await insertAccount(ctx.sql, {
    ...{ name: 'stranger', role: 'user', domainName: 'default' },
  });
  for (const account of [manager.accounts.user, stranger]) {
    await joinProject(ctx.sql, account, projectId);
  }
  controlPlane = await startControlPlane(ctx);
  agent.connect(controlPlane.gateway);
  await agent.heartbeat();
  graphql = await createGraphqlEngine(ctx, graphqlModules);
  server = await startServer(ctx, {
    listen: { hostname: '127.0.0.1', port: 0 },
    routes: featureRoutes(ctx, graphql),
    sockets: featureSockets(ctx, graphql),
  });
}, 60_000);
afterAll(async () => {
  await server.stop(0);
  await graphql.close();
  await controlPlane.stop();
  await manager.close();
});

async function call(method: string, path: string, body?: unknown, account?: TestAccount) {
  const client = signingClient(server.url, account ?? manager.accounts.user);
  const answer = await client(method, path, body);
  return { status: answer.status, body: await answer.json() };
}

async function query(text: string, variables: Record<string, unknown>, account?: TestAccount) {
  const { body } = await call('POST', '/admin/gql', { query: text, variables }, account);
  expect(body.errors ?? null).toBeNull();
  return body.data;
}

let serial = 0;
async function createCluster(more: Record<string, unknown> = {}) {
  const { status, body } = await call('POST', '/session', {
    ...{ name: `cluster-${++serial}`, image: 'python', clusterSize: 3 },
    config: { resources: { cpu: 1, mem: '256m' } },
    ...more,
  });
  return { status, body, sessionId: String(body.sessionId) };
}

const kernelsOf = (sessionId: string) =>
  ctx.sql`SELECT id, cluster_hostname AS name, image, requested_slots AS slots, startup_command
    FROM kernels WHERE session_id = ${sessionId} ORDER BY local_rank`;

describe('a cluster', () => {
  test('is answered for when it runs, and shown with all of its kernels', async () => {
    const { status, body, sessionId } = await createCluster();
    expect([status, body.status]).toEqual([201, 'RUNNING']);
    const rows = await kernelsOf(sessionId);
    const ids = rows.map(({ id }) => id);
    const old = await query(
      `query($id: UUID!) { compute_session(id: $id) { cluster_mode cluster_size occupying_slots
        containers { id cluster_role cluster_idx cluster_hostname local_rank status agent } } }`,
      { id: sessionId },
    );
    expect(old.compute_session).toMatchObject({ cluster_mode: 'single-node', cluster_size: 3 });
    expect(JSON.parse(old.compute_session.occupying_slots)).toMatchObject({ cpu: '3' });
    expect(old.compute_session.containers).toEqual(
      ['main1', 'sub1', 'sub2'].map((cluster_hostname, local_rank) => ({
        ...{ id: ids[local_rank], cluster_hostname, local_rank, status: 'RUNNING', agent: 'i-sim' },
        cluster_role: cluster_hostname.slice(0, -1),
        cluster_idx: Number(cluster_hostname.at(-1)),
      })),
    );
    const listed = await query(
      `query($id: ID!) { compute_container_list(limit: 10, offset: 0, session_id: $id) {
        total_count items { id cluster_hostname } } }`,
      { id: sessionId },
    );
    expect(listed.compute_container_list.total_count).toBe(3);

    const newer = await query(
      `query($id: UUID!) { sessionV2(id: $id) { metadata { clusterSize clusterMode }
        resource { allocation { requested { entries { resourceType quantity } } } }
        kernels { count edges { node { cluster { clusterHostname localRank } } } } } }`,
      { id: sessionId },
    );
    const { metadata, resource, kernels } = newer.sessionV2;
    expect(metadata).toEqual({ clusterSize: 3, clusterMode: 'SINGLE_NODE' });
    expect(resource.allocation.requested.entries).toContainEqual({
      ...{ resourceType: 'cpu', quantity: '3' },
    });
    expect(kernels.count).toBe(3);
    // Secrets of the cluster are for its kernels.
    expect(JSON.stringify([old, newer, listed, body])).not.toContain('PRIVATE KEY');

    const hidden = await query(
      'query($id: UUID!) { compute_session(id: $id) { containers { id } } }',
      { id: sessionId },
      stranger,
    );
    expect(hidden.compute_session).toBeNull();
  });

  test('keeps a log for each kernel, and none of another session', async () => {
    const { sessionId, body } = await createCluster({ clusterSize: 2 });
    const [, sub] = await kernelsOf(sessionId);
    const other = await createCluster({ clusterSize: 2 });
    const [elsewhere] = await kernelsOf(other.sessionId);
    const rank = await ctx.sql`SELECT count(*)::int AS kernels FROM kernels k
      WHERE session_id = ${sessionId} AND status = 'RUNNING'`;
    expect(rank[0]?.kernels).toBe(2);
    agent.end(sub?.id, 'self-terminated', 'It broke.');
    await until(
      async () =>
        (
          await ctx.sql`SELECT FROM sessions WHERE id = ${sessionId}
        AND status = 'TERMINATED'`
        ).length === 1,
      'the session has ended',
      20_000,
    );
    const logs = (kernel: string) =>
      call('GET', `/session/${body.sessionId}/logs?kernel_id=${kernel}`);
    expect((await logs(sub?.id)).body).toEqual({ result: { logs: 'bye\n' } });
    expect((await logs(elsewhere?.id)).status).toBe(404);
    const { compute_session: over } = await query(
      'query($id: UUID!) { compute_session(id: $id) { status status_info status_data } }',
      { id: sessionId },
    );
    expect(over).toMatchObject({ status: 'TERMINATED', status_info: 'self-terminated' });
    expect(JSON.parse(over.status_data).error.repr).toBe('It broke.');
  });

  test('larger than the policy allows is refused with the number', async () => {
    const { status, body } = await createCluster({ clusterSize: 5 });
    expect(status).toBe(400);
    expect(body.type).toEndWith('/quota-exceeded');
    expect(body.msg).toContain('more than 4 containers');
  });
});

describe('a cluster from a template', () => {
  const path = '/session/_/create-cluster';

  async function task(kernel: Record<string, unknown>, spec: Record<string, unknown>) {
    const template = {
      ...{ api_version: '6', kind: 'task_template', metadata: { name: 'task' } },
      spec: { session_type: 'interactive', kernel, ...spec },
    };
    const payload = JSON.stringify([{ template }]);
    const { body } = await call('POST', '/template/session', { payload, group: 'default' });
    return body[0].id;
  }

  async function template(): Promise<string> {
    const environ = { PART: 'main', SHARED: 'own' };
    const main = await task({ image: 'python', environ }, { resources: { cpu: 2, mem: '512m' } });
    const run = { bootstrap: 'echo worker', startup_command: null };
    const worker = await task({ image: 'bash', run }, { resources: { cpu: 1, mem: '256m' } });
    const body = {
      ...{ api_version: 'v1', kind: 'cluster_template', mode: 'multi-node' },
      metadata: { name: 'training' },
      spec: {
        environ: { SHARED: 'all', EVERYWHERE: 'yes' },
        nodes: [
          { role: 'worker', session_template: worker, replicas: 2 },
          { role: 'main', session_template: main },
        ],
      },
    };
    const made = await call('POST', '/template/cluster', { payload: JSON.stringify(body) });
    expect(made).toMatchObject({ status: 200 });
    return made.body.id;
  }

  test('has the roles, images, resources and variables that its nodes say', async () => {
    const name = `cluster-${++serial}`;
    const sent = { template_id: await template(), clientSessionToken: name, groupName: 'default' };
    const { status, body } = await call('POST', path, sent);
    expect(status).toBe(201);
    expect(body).toEqual({
      kernelId: expect.any(String),
      status: 'RUNNING',
      servicePorts: [],
      created: true,
    });
    expect(await kernelsOf(body.kernelId)).toMatchObject([
      { name: 'main1', image: 'local/python:3', slots: { cpu: '2' } },
      { name: 'worker1', image: 'local/bash:5', slots: { cpu: '1' } },
      { name: 'worker2', image: 'local/bash:5', slots: { cpu: '1' } },
    ]);
    const specs = [...agent.kernels.values()]
      .map(({ spec }) => spec)
      .filter(({ sessionName }) => sessionName === name);
    const environOf = (hostname: string) =>
      specs.find(({ cluster }) => cluster.hostname === hostname)?.environ;
    expect(environOf('main1')).toMatchObject({ PART: 'main', SHARED: 'own', EVERYWHERE: 'yes' });
    expect(environOf('worker2')).toMatchObject({ SHARED: 'all', EVERYWHERE: 'yes' });
    expect(environOf('worker2')?.BACKENDAI_CLUSTER_REPLICAS).toBe('main:1,worker:2');
    const [session] = await ctx.sql`SELECT images, cluster_mode, cluster_size FROM sessions
      WHERE id = ${body.kernelId}`;
    expect(session).toEqual({
      ...{ images: ['local/python:3', 'local/bash:5'], cluster_mode: 'multi-node' },
      cluster_size: 3,
    });
    const again = await call('POST', path, sent);
    expect(again.status).toBe(400);
    expect(again.body.type).toEndWith('/session-already-exists');
  });

  test('of somebody else, or of another kind, is not there', async () => {
    const template_id = await template();
    const body = { template_id, session_name: 'stranger', group: 'default' };
    const loner = await insertAccount(ctx.sql, {
      ...{ name: 'loner', role: 'user', domainName: 'default' },
    });
    expect((await call('POST', path, body, loner)).status).toBe(404);
    // Who shares the project may use it.
    expect((await call('POST', path, body, stranger)).status).toBe(201);
    const single = await task({ image: 'python' }, {});
    const wrong = await call('POST', path, { ...body, template_id: single });
    expect(wrong.status).toBe(404);
  });
});
