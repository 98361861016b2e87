/** Lists of roles and permissions through GraphQL: filters, pages, what hangs on them, who sees them. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { fewestQueries } from '../../testing/query-count.ts';
import { createPermission, roleTools } from '../../testing/roles.ts';
import { tenantSessions } from '../../testing/tenant-sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

let tenants: Tenants;
let answer: ReturnType<typeof roleTools>['answer'];
let refusal: ReturnType<typeof roleTools>['refusal'];
let makeRole: ReturnType<typeof roleTools>['makeRole'];
let inProject: ReturnType<typeof roleTools>['inProject'];
beforeAll(async () => {
  tenants = await testTenants();
  ({ answer, refusal, makeRole, inProject } = roleTools(tenants));
});
afterAll(() => tenants.close());

describe('lists', () => {
  test('filter, order and page, with what hangs on a row in the same queries', async () => {
    for (const name of ['list-a', 'list-b', 'list-c']) {
      const roleId = await makeRole({
        name,
        scopes: [{ scopeType: 'DOMAIN', scopeId: 'default' }],
      });
      await answer('superadmin', createPermission, {
        input: { roleId, ...inProject('USER', 'READ') },
      });
    }
    const query = `query ($filter: RoleFilter, $orderBy: [RoleOrderBy!], $limit: Int, $offset: Int) {
      adminRoles(filter: $filter, orderBy: $orderBy, limit: $limit, offset: $offset) {
        count edges { node { name
          permissions { edges { node { role { name } scope { __typename } } } }
          scopes { edges { node { scope { ... on DomainV2 { basicInfo { name } } } } } }
        } } } }`;
    const node = (name: string) => ({
      node: {
        name,
        permissions: { edges: [{ node: { role: { name }, scope: { __typename: 'ProjectV2' } } }] },
        scopes: { edges: [{ node: { scope: { basicInfo: { name: 'default' } } } }] },
      },
    });
    const filter = { name: { startsWith: 'list-' }, status: { in: ['ACTIVE'] } };
    const orderBy = [{ field: 'NAME', direction: 'DESC' }];
    const variables = { filter, orderBy, limit: 2, offset: 1 };
    expect(await answer('superadmin', query, variables)).toEqual({
      adminRoles: { count: 3, edges: [node('list-b'), node('list-a')] },
    });
    const who = { userId: { equals: tenants.people.user.userId } };
    const own = await answer('superadmin', query, {
      filter: {
        assignedUser: who,
        source: { equals: 'SYSTEM' },
        NOT: [{ name: { iContains: 'DOMAIN' } }],
      },
      orderBy,
      limit: 10,
    });
    const names = v
      .parse(
        v.object({
          adminRoles: v.object({
            edges: v.array(v.object({ node: v.looseObject({ name: v.string() }) })),
          }),
        }),
        own,
      )
      .adminRoles.edges.map((edge) => edge.node.name);
    expect(names).toEqual([
      `user-${tenants.people.user.userId.slice(0, 8)}`,
      `project-${tenants.projects.default.slice(0, 8)}-member`,
    ]);
  });

  test('tell what the scopes are, as the WebUI asks', async () => {
    const { sql } = tenants.db;
    const { insert } = await tenantSessions(tenants);
    const { sessionId } = await insert('user', 'held');
    await sql`INSERT INTO scaling_groups (name, is_active, driver, driver_opts, scheduler,
        scheduler_opts, use_host_network, default_deployment_options, default_session_options)
      VALUES ('gpu', true, 'static', '{}', 'fifo', '{}', false, '{}', '{}')`;
    const [registry] =
      await sql`INSERT INTO container_registries (url, registry_name, type, project)
      VALUES ('http://cr.example', 'cr.example', 'docker', 'stable') RETURNING id`;
    const scopes = [
      ['DOMAIN', 'default'],
      ['PROJECT', tenants.projects.default],
      ['USER', tenants.people.user.userId],
      ['RESOURCE_GROUP', 'gpu'],
      ['CONTAINER_REGISTRY', String(registry?.id)],
      ['SESSION', sessionId],
      ['MODEL_DEPLOYMENT', 'x'],
    ].map(([scopeType, scopeId]) => ({ scopeType, scopeId }));
    const roleId = await makeRole({ name: 'everywhere', scopes });
    const query = `query ($id: UUID!) { adminRole(id: $id) { allScopes: scopes(first: 100) { edges { node {
      scopeType scopeId scope { __typename
        ... on DomainV2 { basicInfo { domainName: name } }
        ... on ProjectV2 { basicInfo { projectName: name } }
        ... on UserV2 { basicInfo { email } }
        ... on VirtualFolderNode { vfolderName: name }
        ... on SessionV2 { metadata { sessionName: name } }
        ... on ModelDeployment { metadata { deploymentName: name } }
        ... on ResourceGroup { resourceGroupName: name }
        ... on ContainerRegistryV2 { registryName project }
        ... on Node { __isNode: __typename id }
        ... on ArtifactRegistry { id } } } } } } }`;
    const data = await answer('superadmin', query, { id: roleId });
    const shape = v.object({
      adminRole: v.object({
        allScopes: v.object({
          edges: v.array(
            v.object({ node: v.looseObject({ scopeType: v.string(), scope: v.unknown() }) }),
          ),
        }),
      }),
    });
    const found = new Map(
      v
        .parse(shape, data)
        .adminRole.allScopes.edges.map(({ node }) => [node.scopeType, node.scope]),
    );
    expect(Object.fromEntries(found)).toMatchObject({
      DOMAIN: { basicInfo: { domainName: 'default' }, __isNode: 'DomainV2' },
      PROJECT: { basicInfo: { projectName: 'work' } },
      USER: { basicInfo: { email: tenants.people.user.email } },
      RESOURCE_GROUP: { resourceGroupName: 'gpu' },
      CONTAINER_REGISTRY: { registryName: 'cr.example', project: 'stable' },
      SESSION: { metadata: { sessionName: 'held' } },
      MODEL_DEPLOYMENT: null,
    });
    // Those who have the role see no more of its scopes than elsewhere.
    const { userId } = tenants.people.otherUser;
    const give = `mutation { adminAssignRole(input: { roleId: "${roleId}", userId: "${userId}" }) {
      user { basicInfo { email } } grantedByUser { basicInfo { email } } } }`;
    expect(await answer('superadmin', give)).toEqual({
      adminAssignRole: {
        user: { basicInfo: { email: tenants.people.otherUser.email } },
        grantedByUser: { basicInfo: { email: tenants.people.superadmin.email } },
      },
    });
    const mine = `{ myRoles(filter: { role: { name: { equals: "everywhere" } } }) { edges { node {
      grantedByUser { id } role { scopes { edges { node { scope { __typename } } } } } } } } }`;
    const seen = await answer('otherUser', mine);
    expect(JSON.stringify(seen)).not.toContain('__typename');
    expect(seen).toMatchObject({ myRoles: { edges: [{ node: { grantedByUser: null } }] } });
  });

  test('a page of roles with all that hangs on them costs few queries, however long it is', async () => {
    const queriesOf = (limit: number) =>
      fewestQueries(tenants.ctx.sql, () =>
        answer(
          'superadmin',
          `{ adminRoles(limit: ${limit}) { count edges { node { name
            permissions { count edges { node { scope { __typename } role { name } } } }
            users { count edges { node { user { basicInfo { email } } grantedByUser { id } } } }
            scopes { edges { node { scope { __typename } entity { __typename } } } } } } } }`,
        ),
      );
    // The first may not yet have every kind of scope, each of which is looked up once.
    const [few, many] = [await queriesOf(5), await queriesOf(20)];
    expect(many).toBeLessThanOrEqual(few + 3);
    expect(many).toBeLessThan(25);
  });

  test('permissions by role, scope and entity', async () => {
    const roleId = await makeRole({ name: 'narrow' });
    for (const entity of ['VFOLDER', 'SESSION']) {
      await answer('superadmin', createPermission, {
        input: { roleId, ...inProject(entity, 'READ') },
      });
    }
    const query = `query ($filter: PermissionFilter) { adminPermissions(filter: $filter,
      orderBy: [{ field: ENTITY_TYPE, direction: ASC }]) { count edges { node { entityType } } } }`;
    const role = { roleId: { equals: roleId } };
    expect(await answer('superadmin', query, { filter: role })).toEqual({
      adminPermissions: {
        count: 2,
        edges: [{ node: { entityType: 'SESSION' } }, { node: { entityType: 'VFOLDER' } }],
      },
    });
    const filter = {
      ...role,
      scopeType: { equals: 'PROJECT' },
      scopeId: { equals: tenants.projects.default },
      entityType: { notIn: ['SESSION'] },
    };
    expect(await answer('superadmin', query, { filter })).toMatchObject({
      adminPermissions: { edges: [{ node: { entityType: 'VFOLDER' } }] },
    });
  });
});

test("a project's roles are for who may read them there", async () => {
  const projectId = tenants.projects.default;
  const outcome = { superadmin: 'data', admin: 'data', user: 'error', monitor: 'error' };
  const query = `{ projectRoles(projectId: "${projectId}") { edges { node { name } } } }`;
  expect(await tenants.outcomes(query)).toEqual({
    ...outcome,
    otherAdmin: 'error',
    otherUser: 'error',
  });
  const scopes = [{ scopeType: 'PROJECT', scopeId: projectId }];
  const roleId = await makeRole({ name: 'seers', scopes });
  await answer('superadmin', createPermission, { input: { roleId, ...inProject('ROLE', 'READ') } });
  const { userId } = tenants.people.user;
  await answer(
    'superadmin',
    `mutation { adminAssignRole(input: { roleId: "${roleId}", userId: "${userId}" }) { id } }`,
  );
  const data = await answer('user', query);
  expect(JSON.stringify(data)).toContain('seers');
  expect(JSON.stringify(data)).not.toContain('domain-');
  const other = query.replace(projectId, tenants.projects.elsewhere);
  expect(await refusal('user', other)).toContain('None of your roles');
});

test('the matrix tells what can be allowed where', async () => {
  const data = await answer(
    'user',
    `{ rbacPermissionMatrix { scopeType entities { entityType actions { operation description
         requiredPermission } } }
       rbacEntityOperationCombinations { entityType operations { operation requiredPermission } }
       rbacScopeEntityCombinations { scopeType validEntityTypes } }`,
  );
  const text = JSON.stringify(data);
  expect(data?.rbacPermissionMatrix).toContainEqual(
    expect.objectContaining({ scopeType: 'PROJECT' }),
  );
  expect(text).toContain('PROJECT_ADMIN_PAGE');
  expect(text).not.toContain('GRANT_');
  expect(data?.rbacScopeEntityCombinations).toContainEqual({
    scopeType: 'SESSION',
    validEntityTypes: ['KERNEL'],
  });
  expect(data?.rbacEntityOperationCombinations).toContainEqual({
    entityType: 'ROLE',
    operations: [{ operation: 'search', requiredPermission: 'READ' }],
  });
});
