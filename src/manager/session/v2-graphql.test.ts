/** Sessions, kernels and images in the newer schema: who reads which, filters, pages, and every field. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { fewestQueries } from '../../testing/query-count.ts';
import type { InsertedSession } from '../../testing/sessions.ts';
import { tenantSessions } from '../../testing/tenant-sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { provideSystemRoles } from '../authz/system-roles.ts';
import { globalId } from '../graphql/global-id.ts';
import { upsertImages } from '../image/catalog.ts';

type Who = Parameters<Tenants['ask']>[0];

let tenants: Tenants;
let mine: InsertedSession;
let abroad: InsertedSession;
let imageId = '';

beforeAll(async () => {
  tenants = await testTenants();
  const { sql } = tenants.ctx;
  const sessions = await tenantSessions(tenants);
  mine = await sessions.insert('user', 'mine');
  await sessions.insert('user', 'pulling', { status: 'PULLING' });
  await sessions.insert('user', 'broken', { status: 'ERROR' });
  abroad = await sessions.insert('otherUser', 'abroad');
  await sql`update sessions set creation_id = 'c1', bootstrap_script = 'secret', batch_timeout = 60
    where id = ${mine.sessionId}`;
  await provideSystemRoles(sql);
  // The monitor administers the user's project.
  await sql`insert into user_roles (user_id, role_id)
    select distinct ${tenants.people.monitor.userId}::uuid, p.role_id from permissions p
     where p.scope_type = 'project' and p.scope_id = ${tenants.projects.default}
       and p.entity_type = 'session' and p.operation = 'read'`;
  await sql`insert into container_registries (url, registry_name, type, project, username, password,
      ssl_verify, is_global)
    values ('http://local', 'local', 'local', 'python', null, null, false, true)`;
  await upsertImages(sql, [
    {
      ...{ canonical: 'local/python:3.11', architecture: 'x86_64', digest: 'sha256:0' },
      ...{ sizeBytes: 1, labels: { 'ai.backend.role': 'COMPUTE' }, aliases: ['py'] },
    },
  ]);
  const [image] = await sql`select id from images`;
  imageId = String(image?.id);
});
afterAll(() => tenants.close());

async function data(who: Who, query: string, variables?: unknown) {
  const answer = await tenants.ask(who, query, variables);
  expect(answer.errors).toBeNull();
  return JSON.parse(JSON.stringify(answer.data ?? {}));
}

const namesIn = (connection: { edges: { node: { metadata: { name: string } } }[] }) =>
  connection.edges.map(({ node }) => node.metadata.name);

describe('lists of sessions', () => {
  const admin = `query($filter: SessionV2Filter, $orderBy: [SessionV2OrderBy!], $limit: Int, $first: Int,
      $after: String) {
    adminSessionsV2(filter: $filter, orderBy: $orderBy, limit: $limit, first: $first, after: $after) {
      count pageInfo { endCursor hasNextPage } edges { node { id metadata { name } } } } }`;
  const project = `query($id: UUID!) { projectSessionsV2(scope: { projectId: $id }) {
    count edges { node { metadata { name } } } } }`;

  test('all, for superadmins', async () => {
    expect((await data('superadmin', admin)).adminSessionsV2.count).toBe(4);
    expect(await tenants.outcomes(admin)).toEqual({
      ...{ superadmin: 'data', admin: 'error', user: 'error', monitor: 'error' },
      ...{ otherAdmin: 'error', otherUser: 'error' },
    });
  });

  test('those of a project, for whom a role lets read them', async () => {
    const id = tenants.projects.default;
    for (const who of ['superadmin', 'monitor', 'admin'] as const) {
      const { projectSessionsV2: list } = await data(who, project, { id });
      expect(namesIn(list).sort()).toEqual(['broken', 'mine', 'pulling']);
    }
    // Members use a project together; their sessions stay their own.
    expect(await tenants.outcomes(project, { id })).toMatchObject({
      ...{ user: 'error', otherAdmin: 'error', otherUser: 'error' },
    });
    const { errors } = await tenants.ask('monitor', project, { id: tenants.projects.elsewhere });
    expect(errors).toHaveLength(1);
  });

  test.each([
    [{ name: { iContains: 'MIN' } }, ['mine']],
    [{ status: { equals: 'PREPARING' } }, ['pulling']],
    [{ status: { in: ['CANCELLED'] } }, ['broken']],
    [{ domainName: { equals: 'elsewhere' } }, ['abroad']],
    [{ NOT: [{ name: { equals: 'mine' } }], status: { equals: 'RUNNING' } }, ['abroad']],
    [{ OR: [{ name: { equals: 'mine' } }, { name: { equals: 'broken' } }] }, ['broken', 'mine']],
  ])('filter %j', async (filter, found) => {
    const { adminSessionsV2: list } = await data('superadmin', admin, { filter });
    expect(namesIn(list).sort()).toEqual(found);
  });

  test('filters by owner and project', async () => {
    const { userId } = tenants.people.otherUser;
    const filter = {
      userUuid: { equals: userId },
      projectId: { in: [tenants.projects.elsewhere] },
      id: { equals: abroad.sessionId },
    };
    const { adminSessionsV2: list } = await data('superadmin', admin, { filter });
    expect(namesIn(list)).toEqual(['abroad']);
  });

  test('ordered by offset, and by cursor newest first', async () => {
    const orderBy = [{ field: 'NAME', direction: 'ASC' }];
    const byName = await data('superadmin', admin, { orderBy, limit: 2 });
    expect(namesIn(byName.adminSessionsV2)).toEqual(['abroad', 'broken']);
    const first = (await data('superadmin', admin, { first: 3 })).adminSessionsV2;
    const after = first.pageInfo.endCursor;
    const rest = (await data('superadmin', admin, { first: 3, after })).adminSessionsV2;
    expect([...namesIn(first), ...namesIn(rest)].sort()).toEqual([
      ...['abroad', 'broken', 'mine', 'pulling'],
    ]);
  });
});

describe('one session', () => {
  const query = `query($id: UUID!) { sessionV2(id: $id) {
    id imageIds domainName userId projectId
    metadata { creationId name sessionType accessKey clusterMode clusterSize priority isPreemptible tag }
    resource { resourceGroupName allocation { requested { entries { resourceType quantity } }
      used { entries { resourceType quantity } } } }
    lifecycle { status result createdAt terminatedAt startsAt batchTimeout }
    runtime { environ { entries { name value } } bootstrapScript startupCommand callbackUrl }
    network { useHostNetwork networkType networkId }
    domain { basicInfo { name } } user { basicInfo { email } } project { basicInfo { name } }
    images { count edges { cursor node { id identity { canonicalName namespace architecture } } } }
    kernels { count edges { node { id imageId startupCommand
      sessionInfo { sessionId creationId name sessionType }
      userInfo { userId accessKey domainName groupId }
      network { servicePorts { entries { name protocol containerPorts hostPorts isInference } }
        preopenPorts }
      cluster { clusterRole clusterIdx localRank clusterHostname }
      resource { agentId resourceGroupName containerId allocation { requested { entries {
        resourceType quantity } } used { entries { resourceType quantity } } }
        resourceOpts { entries { name value } } }
      lifecycle { status result createdAt terminatedAt startsAt }
      image { id } domain { id } user { id } project { id } session { metadata { name } } } } } } }`;

  test('says everything to its owner', async () => {
    const { sessionV2: session } = await data('user', query, { id: mine.sessionId });
    const { user } = tenants.people;
    const entries = [
      { resourceType: 'cpu', quantity: '1' },
      { resourceType: 'mem', quantity: '268435456' },
    ];
    const image = { id: globalId('ImageV2', imageId) };
    expect(session).toMatchObject({
      ...{ id: globalId('SessionV2', mine.sessionId), imageIds: [imageId] },
      ...{ domainName: 'default', userId: user.userId, projectId: tenants.projects.default },
      metadata: {
        ...{ creationId: 'c1', name: 'mine', sessionType: 'INTERACTIVE', tag: null },
        ...{ accessKey: user.accessKey, clusterMode: 'SINGLE_NODE', clusterSize: 1 },
        ...{ priority: 10, isPreemptible: true },
      },
      resource: {
        resourceGroupName: 'default',
        allocation: { requested: { entries }, used: { entries } },
      },
      lifecycle: { status: 'RUNNING', result: 'UNDEFINED', batchTimeout: 60 },
      runtime: {
        environ: { entries: [{ name: 'A', value: 'b' }] },
        bootstrapScript: 'secret',
      },
      network: { useHostNetwork: false },
      domain: { basicInfo: { name: 'default' } },
      user: { basicInfo: { email: user.email } },
      project: { basicInfo: { name: 'work' } },
      images: {
        count: 1,
        edges: [{ node: { ...image, identity: { canonicalName: 'local/python:3.11' } } }],
      },
    });
    expect(session.kernels.count).toBe(1);
    expect(session.kernels.edges[0].node).toMatchObject({
      ...{ id: globalId('KernelV2', mine.kernelId), imageId, image },
      sessionInfo: { sessionId: mine.sessionId, name: 'mine', sessionType: 'INTERACTIVE' },
      userInfo: { userId: user.userId, domainName: 'default' },
      network: {
        servicePorts: {
          entries: [
            {
              ...{ name: 'sshd', protocol: 'TCP', containerPorts: [2200], hostPorts: [30001] },
              isInference: false,
            },
          ],
        },
      },
      cluster: { clusterRole: 'main', clusterIdx: 1, localRank: 0, clusterHostname: 'main1' },
      resource: {
        ...{ agentId: 'i-one', resourceGroupName: 'default', containerId: 'c0ffee' },
        resourceOpts: { entries: [{ name: 'shmem', value: '67108864' }] },
      },
      lifecycle: { status: 'RUNNING' },
      session: { metadata: { name: 'mine' } },
    });
  });

  test('keeps what may be secret from administrators', async () => {
    for (const who of ['admin', 'monitor'] as const) {
      const { sessionV2: session } = await data(who, query, { id: mine.sessionId });
      expect(session.runtime).toEqual({
        ...{ environ: null, bootstrapScript: null, startupCommand: null, callbackUrl: null },
      });
    }
  });

  test('is not there for strangers, nor are its kernels', async () => {
    const one = 'query($id: UUID!) { sessionV2(id: $id) { id } }';
    const kernel = 'query($id: UUID!) { kernelV2(id: $id) { id } }';
    const kernels = `query($id: UUID!) { sessionKernelsV2(scope: { sessionId: $id },
      filter: { status: { equals: RUNNING } }, orderBy: [{ field: CLUSTER_IDX }]) {
        count edges { node { id } } } }`;
    const seen = {
      ...{ superadmin: 'data', admin: 'data', user: 'data', monitor: 'data' },
      ...{ otherAdmin: 'error', otherUser: 'error' },
    };
    expect(await tenants.outcomes(one, { id: mine.sessionId })).toEqual(seen);
    expect(await tenants.outcomes(kernel, { id: mine.kernelId })).toEqual(seen);
    expect(await tenants.outcomes(kernels, { id: mine.sessionId })).toEqual(seen);
    expect((await data('user', kernels, { id: mine.sessionId })).sessionKernelsV2.count).toBe(1);
    const all = '{ adminKernelsV2 { count edges { node { id } } } }';
    expect((await data('superadmin', all)).adminKernelsV2.count).toBe(4);
    expect(await tenants.outcomes(all)).toMatchObject({ admin: 'error', user: 'error' });
    const node = 'query($id: ID!) { node(id: $id) { id } }';
    for (const id of [globalId('SessionV2', mine.sessionId), globalId('KernelV2', mine.kernelId)]) {
      expect(await data('user', node, { id })).toEqual({ node: { id } });
      expect(await data('otherUser', node, { id })).toEqual({ node: null });
    }
  });
});

test('a page of sessions with all their parts costs as many queries as one session', async () => {
  const queriesOf = (limit: number) =>
    fewestQueries(tenants.ctx.sql, () =>
      data(
        'superadmin',
        `{ adminSessionsV2(limit: ${limit}) { count edges { node { domain { id } user { id } project { id } images { count }
          kernels { edges { node { image { id } session { id } domain { id } } } } } } } }`,
      ),
    );
  expect(await queriesOf(4)).toBe(await queriesOf(1));
});
