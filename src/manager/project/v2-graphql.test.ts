/** Projects and domains through the newer schema: lists, changes, and who may. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as v from 'valibot';
import { insertAgent, insertResourceGroup, insertSession } from '../../testing/sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { globalId } from '../graphql/global-id.ts';

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
});
afterAll(() => tenants.close());

type Who = Parameters<Tenants['ask']>[0];

async function data(who: Who, query: string, variables?: unknown) {
  const answer = await tenants.ask(who, query, variables);
  expect(answer.errors).toBeNull();
  return answer.data ?? {};
}

async function refusal(who: Who, query: string, variables?: unknown): Promise<string> {
  const { errors } = await tenants.ask(who, query, variables);
  return errors?.[0]?.message ?? 'nobody was refused';
}

const list = v.object({
  count: v.number(),
  edges: v.array(
    v.object({ node: v.object({ organization: v.object({ domainName: v.string() }) }) }),
  ),
});

/** The domains of the listed projects. */
async function domains(who: Who, field: string, variables?: unknown): Promise<string[]> {
  const query = `query ($filter: ProjectV2Filter, $orderBy: [ProjectV2OrderBy!]) {
    list: ${field} { count edges { node { organization { domainName } } } } }`;
  const { count, edges } = v.parse(list, (await data(who, query, variables)).list);
  expect(edges).toHaveLength(count);
  return edges.map(({ node }) => node.organization.domainName);
}

const ALL = 'adminProjectsV2(filter: $filter, orderBy: $orderBy)';

test('adminProjectsV2 is filtered and ordered by everything that the schema has', async () => {
  const { userId } = tenants.people.otherUser;
  const cases: readonly [filter: object, expected: string[]][] = [
    [{ id: { equals: tenants.projects.default } }, ['default']],
    [{ name: { equals: 'work' } }, ['default', 'elsewhere']],
    [{ domainName: { startsWith: 'else' } }, ['elsewhere']],
    [{ type: { equals: 'MODEL_STORE' } }, []],
    [{ type: { in_: ['GENERAL'] }, isActive: true }, ['default', 'elsewhere']],
    [{ domain: { name: { equals: 'default' } } }, ['default']],
    [{ user: { id: { equals: userId } } }, ['elsewhere']],
    [{ user: { username: { equals: 'user' }, isActive: true } }, ['default']],
    [{ user: { email: { contains: 'nobody' } } }, []],
    [{ createdAt: { before: '2001-01-01T00:00:00Z' } }, []],
    [{ NOT: [{ domainName: { equals: 'default' } }] }, ['elsewhere']],
  ];
  const orderBy = [{ field: 'DOMAIN_NAME', direction: 'ASC' }];
  for (const [filter, expected] of cases) {
    expect(await domains('superadmin', ALL, { filter, orderBy })).toEqual(expected);
  }
  for (const field of ['CREATED_AT', 'MODIFIED_AT', 'NAME', 'IS_ACTIVE', 'TYPE', 'USER_USERNAME']) {
    expect(await domains('superadmin', ALL, { orderBy: [{ field }] })).toHaveLength(2);
  }
  const byMember = [{ field: 'USER_EMAIL', direction: 'ASC' }];
  expect(await domains('superadmin', ALL, { orderBy: byMember })).toEqual(['elsewhere', 'default']);
});

test('everybody sees what is theirs to see', async () => {
  const id = tenants.projects.default;
  const reached = async (query: string) => {
    const outcomes = await tenants.outcomes(query);
    return Object.keys(outcomes).filter((who) => outcomes[who] === 'data');
  };
  const seers = ['superadmin', 'admin', 'user'];
  expect(await reached('{ adminProjectsV2 { count } }')).toEqual(['superadmin']);
  expect(await reached(`{ projectV2(projectId: "${id}") { id } }`)).toEqual(seers);
  expect(await reached(`{ projectDomainV2(projectId: "${id}") { id } }`)).toEqual(seers);
  expect(await reached(`{ node(id: "${globalId('ProjectV2', id)}") { id } }`)).toEqual(seers);
  expect(await reached('{ rgDomainsV2(scope: { resourceGroupName: "x" }) { count } }')).toEqual([
    'superadmin',
  ]);
  const ofDomain =
    'domainProjectsV2(scope: { domainName: "default" }, filter: $filter, orderBy: $orderBy)';
  expect(await domains('admin', ofDomain)).toEqual(['default']);
  expect(await domains('user', ofDomain)).toEqual(['default']);
  expect(await domains('monitor', ofDomain)).toEqual([]);
  expect(await domains('otherAdmin', ofDomain)).toEqual([]);
});

test('all fields, and the projects of domains and users', async () => {
  const { sql } = tenants.db;
  await sql`UPDATE groups SET allowed_vfolder_hosts = '{"local:v": ["upload-file"]}'
    WHERE domain_name = 'default'`;
  const query = `{ adminDomainsV2(orderBy: [{ field: NAME, direction: ASC }]) { edges { node {
    basicInfo { name } projects { count edges { node { id
      basicInfo { name description type integrationName } organization { domainName resourcePolicy }
      storage { allowedVfolderHosts { host permissions } }
      lifecycle { isActive createdAt modifiedAt } domain { basicInfo { name } }
      users(orderBy: [{ field: EMAIL }]) { edges { node { basicInfo { email } projects { count } } } }
    } } } } } } }`;
  const project = (domain: 'default' | 'elsewhere', email: string) => ({
    node: {
      basicInfo: { name: domain },
      projects: {
        count: 1,
        edges: [
          {
            node: {
              id: globalId('ProjectV2', tenants.projects[domain]),
              basicInfo: {
                name: 'work',
                description: null,
                type: 'GENERAL',
                integrationName: null,
              },
              organization: { domainName: domain, resourcePolicy: 'default' },
              storage: {
                allowedVfolderHosts:
                  domain === 'default' ? [{ host: 'local:v', permissions: ['UPLOAD_FILE'] }] : [],
              },
              lifecycle: {
                isActive: true,
                createdAt: expect.any(String),
                modifiedAt: expect.any(String),
              },
              domain: { basicInfo: { name: domain } },
              users: { edges: [{ node: { basicInfo: { email }, projects: { count: 1 } } }] },
            },
          },
        ],
      },
    },
  });
  expect(await data('superadmin', query)).toEqual({
    adminDomainsV2: {
      edges: [
        project('default', 'user@test.example'),
        project('elsewhere', 'otherUser@test.example'),
      ],
    },
  });
});

test('what the running sessions of a project and a domain hold', async () => {
  const { sql } = tenants.db;
  const projectId = tenants.projects.default;
  await insertResourceGroup(sql, 'default');
  await insertAgent(sql, 'i-one');
  const common = { projectId, agentId: 'i-one', owner: tenants.people.user };
  for (const [name, status] of [
    ['one', 'RUNNING'],
    ['two', 'PREPARING'],
    ['waiting', 'PENDING'],
    ['over', 'TERMINATED'],
  ] as const) {
    const { sessionId } = await insertSession(sql, { ...common, name, status });
    await sql`UPDATE sessions SET occupying_slots = '{"cpu": "2", "cuda.shares": "0.5"}'
      WHERE id = ${sessionId}`;
  }
  const overview = {
    activeResourceOverview: {
      sessionCount: 2,
      slots: {
        entries: expect.arrayContaining([
          { resourceType: 'cpu', quantity: '4' },
          { resourceType: 'cuda.shares', quantity: '1' },
        ]),
      },
    },
  };
  const fields =
    'activeResourceOverview { sessionCount slots { entries { resourceType quantity } } }';
  expect(await data('user', `{ projectV2(projectId: "${projectId}") { ${fields} } }`)).toEqual({
    projectV2: overview,
  });
  expect(
    await data(
      'superadmin',
      `{ adminDomainsV2(orderBy: [{ field: NAME, direction: ASC }]) {
      edges { node { ${fields} } } } }`,
    ),
  ).toEqual({
    adminDomainsV2: {
      edges: [
        { node: overview },
        { node: { activeResourceOverview: { sessionCount: 0, slots: { entries: [] } } } },
      ],
    },
  });
  await sql`DELETE FROM kernels`;
  await sql`DELETE FROM sessions`;
});

test('superadmins make, change, close and purge projects', async () => {
  const { adminCreateProjectV2 } = await data(
    'superadmin',
    `mutation { adminCreateProjectV2(input: { name: "new", domainName: "default", description: "first" }) {
      project { id basicInfo { name description } organization { resourcePolicy } } } }`,
  );
  const { project } = v.parse(
    v.object({ project: v.object({ id: v.string(), basicInfo: v.object({ name: v.string() }) }) }),
    adminCreateProjectV2,
  );
  const id = Buffer.from(project.id, 'base64').toString().split(':')[1] ?? '';
  const update = `mutation ($id: UUID!, $input: UpdateProjectInput!) {
    adminUpdateProjectV2(projectId: $id, input: $input) {
      project { basicInfo { name description } lifecycle { isActive } } } }`;
  expect(await data('superadmin', update, { id, input: { name: 'newer' } })).toEqual({
    adminUpdateProjectV2: {
      project: {
        basicInfo: { name: 'newer', description: 'first' },
        lifecycle: { isActive: true },
      },
    },
  });
  expect(await refusal('superadmin', update, { id, input: { name: 'work' } })).toContain('already');
  expect(
    await data('superadmin', `mutation { adminDeleteProjectV2(projectId: "${id}") { deleted } }`),
  ).toEqual({ adminDeleteProjectV2: { deleted: true } });
  expect(
    await data('superadmin', `{ projectV2(projectId: "${id}") { lifecycle { isActive } } }`),
  ).toEqual({ projectV2: { lifecycle: { isActive: false } } });
  const purge = `mutation { adminPurgeProjectV2(projectId: "${id}") { purged } }`;
  expect(await data('superadmin', purge)).toEqual({ adminPurgeProjectV2: { purged: true } });
  expect(await refusal('superadmin', purge)).toContain('no project');
});

test('members are taken out by whoever manages the project', async () => {
  const { user, monitor } = tenants.people;
  const projectId = tenants.projects.default;
  const unassign = `mutation ($ids: [UUID!]!) {
    unassignUsersFromProjectV2(projectId: "${projectId}", input: { userIds: $ids }) {
      unassignedUsers { basicInfo { email } } failed { userId message } } }`;
  const ids = [user.userId, monitor.userId];
  for (const who of ['user', 'monitor', 'otherAdmin', 'otherUser'] as const) {
    expect(await refusal(who, unassign, { ids })).toContain('Not enough permission');
  }
  expect(await data('admin', unassign, { ids })).toEqual({
    unassignUsersFromProjectV2: {
      unassignedUsers: [{ basicInfo: { email: user.email } }],
      failed: [{ userId: monitor.userId, message: 'User is not assigned to this project.' }],
    },
  });
  expect(await refusal('user', unassign, { ids })).toContain('Not enough permission');
  const left = await tenants.db.sql`
    SELECT 1 FROM association_groups_users WHERE group_id = ${projectId}`;
  expect(left).toHaveLength(0);
});

test('superadmins make, change, close and purge domains', async () => {
  const fields = `domain { basicInfo { name description integrationName }
    registry { allowedDockerRegistries } lifecycle { isActive } }`;
  expect(
    await data(
      'superadmin',
      `mutation { adminCreateDomainV2(input: { name: "fresh", description: "d",
        allowedDockerRegistries: ["cr.example"], integrationName: "x" }) { ${fields} } }`,
    ),
  ).toEqual({
    adminCreateDomainV2: {
      domain: {
        basicInfo: { name: 'fresh', description: 'd', integrationName: 'x' },
        registry: { allowedDockerRegistries: ['cr.example'] },
        lifecycle: { isActive: true },
      },
    },
  });
  const update = (input: string) =>
    data(
      'superadmin',
      `mutation { adminUpdateDomainV2(domainName: "fresh", input: ${input}) { ${fields} } }`,
    );
  expect(await update('{ description: "e" }')).toMatchObject({
    adminUpdateDomainV2: {
      domain: {
        basicInfo: { description: 'e', integrationName: 'x' },
        registry: { allowedDockerRegistries: ['cr.example'] },
      },
    },
  });
  expect(
    await data('superadmin', 'mutation { adminDeleteDomainV2(domainName: "fresh") { deleted } }'),
  ).toEqual({ adminDeleteDomainV2: { deleted: true } });
  // The project for models has to go first.
  const purge = 'mutation { adminPurgeDomainV2(domainName: "fresh") { purged } }';
  expect(await refusal('superadmin', purge)).toContain('1 project(s)');
  await tenants.db.sql`DELETE FROM groups WHERE domain_name = 'fresh'`;
  expect(await data('superadmin', purge)).toEqual({ adminPurgeDomainV2: { purged: true } });
});

test('rgDomainsV2 names the domains of a resource group', async () => {
  const { sql } = tenants.db;
  await sql`INSERT INTO scaling_groups (name, driver, driver_opts, scheduler, use_host_network,
      scheduler_opts, default_deployment_options, default_session_options)
    VALUES ('gpu', 'static', '{}', 'fifo', false, '{}', '{}', '{}')`;
  await sql`INSERT INTO sgroups_for_domains (scaling_group, domain) VALUES ('gpu', 'elsewhere')`;
  expect(
    await data(
      'superadmin',
      '{ rgDomainsV2(scope: { resourceGroupName: "gpu" }) { edges { node { basicInfo { name } } } } }',
    ),
  ).toEqual({ rgDomainsV2: { edges: [{ node: { basicInfo: { name: 'elsewhere' } } }] } });
});
