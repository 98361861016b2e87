/** Images through GraphQL: who sees and changes which, and registries that are scanned and changed. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { REGISTRY_ACCOUNT, startTestRegistry, type TestRegistry } from '../../testing/registry.ts';
import { missingTool, requireOrSkip } from '../../testing/services.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { until } from '../../testing/until.ts';

const canRun = requireOrSkip(missingTool('docker-registry', 'docker-registry'));

let tenants: Tenants;
const registryIds = { open: crypto.randomUUID(), closed: crypto.randomUUID() };
const imageIds = {
  shared: crypto.randomUUID(),
  mine: crypto.randomUUID(),
  others: crypto.randomUUID(),
  closed: crypto.randomUUID(),
};

beforeAll(async () => {
  tenants = await testTenants();
  const { sql } = tenants.db;
  await sql`UPDATE domains SET allowed_docker_registries = '{cr.example,closed.example}'
             WHERE name = 'default'`;
  for (const [name, isGlobal] of [
    ['open', true],
    ['closed', false],
  ] as const) {
    await sql`INSERT INTO container_registries (id, url, registry_name, type, project, is_global)
      VALUES (${registryIds[name]}, ${`https://${name}.example`},
              ${name === 'open' ? 'cr.example' : 'closed.example'}, 'docker', 'stable', ${isGlobal})`;
  }
  const insert = (id: string, registry: 'open' | 'closed', name: string, owner: string | null) => {
    const host = registry === 'open' ? 'cr.example' : 'closed.example';
    const labels = owner === null ? {} : { 'ai.backend.customized-image.owner': `user:${owner}` };
    return sql`INSERT INTO images (id, name, project, image, tag, registry, registry_id, architecture,
        config_digest, size_bytes, type, labels, resources)
      VALUES (${id}, ${`${host}/stable/${name}:1.0-py3.11`}, 'stable', ${`stable/${name}`}, '1.0-py3.11',
        ${host}, ${registryIds[registry]}, 'x86_64', 'sha256:00', 3000000000, 'COMPUTE',
        ${sql.json(labels)}, '{"cpu": {"min": "1", "max": null}}')`;
  };
  await insert(imageIds.shared, 'open', 'shared', null);
  await insert(imageIds.mine, 'open', 'mine', tenants.people.user.userId);
  await insert(imageIds.others, 'open', 'others', tenants.people.admin.userId);
  await insert(imageIds.closed, 'closed', 'closed', null);
});
afterAll(() => tenants.close());

const nodes = v.object({
  count: v.number(),
  edges: v.array(v.object({ node: v.looseObject({ base_image_name: v.string() }) })),
});

async function namesSeenBy(who: Parameters<Tenants['ask']>[0], more = ''): Promise<string[]> {
  const document = `{ image_nodes(scope_id: "system:" order: "name" ${more}) { count edges { node {
    base_image_name } } } }`;
  const { data, errors } = await tenants.ask(who, document);
  expect(errors).toBeNull();
  const { count, edges } = v.parse(nodes, data?.image_nodes);
  expect(count).toBe(edges.length);
  return edges.map(({ node }) => node.base_image_name);
}

describe('image nodes', () => {
  test('each sees shared images of allowed registries and their own', async () => {
    expect(await namesSeenBy('superadmin')).toEqual(['closed', 'mine', 'others', 'shared']);
    expect(await namesSeenBy('user')).toEqual(['mine', 'shared']);
    expect(await namesSeenBy('admin')).toEqual(['others', 'shared']);
    expect(await namesSeenBy('otherUser')).toEqual([]);
    expect(await namesSeenBy('superadmin', 'filter: "name ilike \\"%shar%\\""')).toEqual([
      'shared',
    ]);
  });

  test('a registry that is not for everybody is for the members of its projects', async () => {
    const change = (props: string) =>
      tenants.ask(
        'superadmin',
        `mutation { modify_container_registry_node_v2(id: "${registryIds.closed}", props: {${props}}) {
          container_registry { allowed_groups { count edges { node { row_id } } } } } }`,
      );
    const { data } = await change(`allowed_groups: {add: ["${tenants.projects.default}"]}`);
    expect(data?.modify_container_registry_node_v2).toEqual({
      container_registry: {
        allowed_groups: { count: 1, edges: [{ node: { row_id: tenants.projects.default } }] },
      },
    });
    expect(await namesSeenBy('user')).toEqual(['closed', 'mine', 'shared']);
    expect(await namesSeenBy('admin')).toEqual(['others', 'shared']);
    await change(`allowed_groups: {remove: ["${tenants.projects.default}"]}`);
    expect(await namesSeenBy('user')).toEqual(['mine', 'shared']);
  });

  test('what it is, and what each may do with it', async () => {
    const query = `query ($id: ID!) { node(id: $id) { ... on ImageNode { name tag version size_bytes
      tags { key value } resource_limits { key min max } permissions installed type status } } }`;
    const id = btoa(`ImageNode:${imageIds.mine}`);
    expect((await tenants.ask('user', query, { id })).data?.node).toEqual({
      name: 'stable/mine',
      tag: '1.0-py3.11',
      version: '1.0',
      size_bytes: 3000000000,
      tags: [{ key: 'py', value: '3.11' }],
      resource_limits: [{ key: 'cpu', min: '1', max: 'Infinity' }],
      permissions: ['read_attribute', 'create_container', 'forget_image'],
      installed: false,
      type: 'COMPUTE',
      status: 'ALIVE',
    });
    expect((await tenants.ask('admin', query, { id })).data?.node).toBeNull();
    const v2 = `{ imageV2(id: "${imageIds.shared}") { id identity { canonicalName namespace } } }`;
    expect((await tenants.ask('user', v2)).data?.imageV2).toEqual({
      id: btoa(`ImageV2:${imageIds.shared}`),
      identity: {
        canonicalName: 'cr.example/stable/shared:1.0-py3.11',
        namespace: 'stable/shared',
      },
    });
    expect((await tenants.ask('otherUser', v2)).data?.imageV2).toBeNull();
    const own = await tenants.ask('user', '{ customized_images { base_image_name } }');
    expect(own.data?.customized_images).toEqual([{ base_image_name: 'mine' }]);
  });

  test('the newer list is for superadmins, with its filters and orders', async () => {
    const list = `{ adminImagesV2(filter: {name: {contains: "/stable/"}, status: {equals: ALIVE}},
      orderBy: [{field: NAME, direction: DESC}], limit: 2) { count edges { node { identity {
      namespace } } } } }`;
    const { data } = await tenants.ask('superadmin', list);
    expect(data?.adminImagesV2).toEqual({
      count: 4,
      edges: ['shared', 'others'].map((name) => ({
        node: { identity: { namespace: `stable/${name}` } },
      })),
    });
    expect(await tenants.outcomes(list)).toMatchObject({ user: 'error', admin: 'error' });
  });
});

describe('changing images', () => {
  const audited = async () =>
    (await tenants.db.sql`SELECT count(*)::int AS n FROM audit_logs`)[0]?.n;

  test('aliases: set, found, moved and taken away, with a record of each', async () => {
    const before = await audited();
    const set = (target: string) =>
      tenants.ask(
        'superadmin',
        `mutation { alias_image(alias: "short", target: "${target}") { ok msg } }`,
      );
    expect((await set('cr.example/stable/shared:1.0-py3.11')).data?.alias_image).toEqual({
      ok: true,
      msg: 'success',
    });
    const found = await tenants.ask('user', '{ image(reference: "short") { base_image_name } }');
    expect(found.data?.image).toEqual({ base_image_name: 'shared' });
    expect((await set('nothing:1')).errors?.[0]?.message).toContain(
      "There is no image 'nothing:1'",
    );
    const gone = 'mutation { dealias_image(alias: "short") { ok } }';
    expect((await tenants.ask('superadmin', gone)).data?.dealias_image).toEqual({ ok: true });
    expect((await tenants.ask('superadmin', gone)).errors).toHaveLength(1);
    expect(await audited()).toBe(before + 2);
  });

  test('limits, labels and accelerators; the limits of the labels come back', async () => {
    const target = 'target: "cr.example/stable/shared:1.0-py3.11"';
    const modify = (props: string) =>
      tenants.ask(
        'superadmin',
        `mutation { modify_image(${target}, props: {${props}}) { ok msg } }`,
      );
    await modify(`resource_limits: [{key: "cpu", min: "2", max: "8"}, {key: "mem", min: "1g"}],
      labels: [{key: "ai.backend.resource.min.cpu", value: "3"}], supported_accelerators: ["cuda"]`);
    const read = async () => {
      const query = `{ image_node(id: "${imageIds.shared}") { supported_accelerators
        resource_limits { key min max } labels { key value } } }`;
      return (await tenants.ask('user', query)).data?.image_node;
    };
    expect(await read()).toEqual({
      supported_accelerators: ['cuda'],
      resource_limits: [
        { key: 'cpu', min: '2', max: '8' },
        { key: 'mem', min: '1073741824', max: 'Infinity' },
      ],
      labels: [{ key: 'ai.backend.resource.min.cpu', value: '3' }],
    });
    const wrong = await modify('resource_limits: [{key: "cpu", min: "many"}]');
    expect(wrong.errors?.[0]?.message).toContain("'many'");
    await tenants.ask(
      'superadmin',
      `mutation { clear_image_custom_resource_limit(key: {image_canonical:
        "cr.example/stable/shared:1.0-py3.11"}) { image_node { id } } }`,
    );
    expect(await read()).toMatchObject({
      resource_limits: [{ key: 'cpu', min: '3', max: 'Infinity' }],
    });
  });

  test('everybody may forget what is their own, and nothing else', async () => {
    const forget = (id: string) =>
      `mutation { forget_image_by_id(image_id: "${id}") { ok image { status } } }`;
    for (const who of ['user', 'otherUser'] as const) {
      const { errors } = await tenants.ask(who, forget(imageIds.others));
      expect(errors?.[0]?.message).toContain('There is no image');
    }
    expect((await tenants.ask('monitor', forget(imageIds.others))).data).toMatchObject({
      forget_image_by_id: { ok: false },
    });
    expect((await tenants.ask('admin', forget(imageIds.others))).data?.forget_image_by_id).toEqual({
      ok: true,
      image: { status: 'DELETED' },
    });
    expect(await namesSeenBy('superadmin')).toEqual(['closed', 'mine', 'shared']);
    expect(await namesSeenBy('superadmin', 'filter_by_statuses: [DELETED]')).toEqual(['others']);
  });
});

describe('registries', () => {
  const create = (props: string) =>
    tenants.ask(
      'superadmin',
      `mutation { create_container_registry_node_v2(props: {${props}}) { container_registry { row_id
        registry_name project password username is_global ssl_verify type } } }`,
    );

  test('made, changed, never shown with a password, and removed with their images', async () => {
    const { data, errors } = await create(`url: "https://new.example", type: "docker",
      registry_name: "new.example", project: "stable", username: "u", password: "hush"`);
    expect(errors).toBeNull();
    const made = v.parse(
      v.object({ container_registry: v.looseObject({ row_id: v.string() }) }),
      data?.create_container_registry_node_v2,
    ).container_registry;
    expect(made).toMatchObject({
      password: '*****',
      username: 'u',
      is_global: true,
      type: 'docker',
    });
    const again = `mutation { modify_container_registry_node_v2(id: "${btoa(`ContainerRegistryNode:${made.row_id}`)}",
      props: {password: "*****", username: null, ssl_verify: false}) { container_registry {
      password username ssl_verify } } }`;
    expect(
      (await tenants.ask('superadmin', again)).data?.modify_container_registry_node_v2,
    ).toEqual({
      container_registry: { password: '*****', username: null, ssl_verify: false },
    });
    const [row] = await tenants.db
      .sql`SELECT password FROM container_registries WHERE id = ${made.row_id}`;
    expect(row?.password).toBe('hush');
    const log = await tenants.db.sql`SELECT after FROM audit_logs WHERE entity_id = ${made.row_id}`;
    expect(JSON.stringify(log)).not.toContain('hush');
    await tenants.db
      .sql`UPDATE images SET registry_id = ${made.row_id} WHERE id = ${imageIds.closed}`;
    await tenants.ask(
      'superadmin',
      `mutation { delete_container_registry_node_v2(id: "${made.row_id}") { container_registry { id } } }`,
    );
    expect(await namesSeenBy('superadmin')).not.toContain('closed');
    const list =
      '{ container_registry_nodes(filter: "registry_name == \\"new.example\\"") { count } }';
    expect((await tenants.ask('superadmin', list)).data?.container_registry_nodes).toEqual({
      count: 0,
    });
    expect(await tenants.outcomes(list)).toMatchObject({ admin: 'error', user: 'error' });
  });

  test.each([
    ['url: "ftp://x", type: "docker", registry_name: "x.example"', 'https://HOST'],
    ['url: "https://u:p@x", type: "docker", registry_name: "x.example"', 'without a password'],
    ['url: "https://x", type: "docker", registry_name: "a/b"', "first part of an image's name"],
    ['url: "https://x", type: "harbor2", registry_name: "x.example"', 'needs a project'],
    [
      'url: "https://x", type: "docker", registry_name: "cr.example", project: "stable"',
      'exists already',
    ],
    [
      `url: "https://x", type: "docker", registry_name: "x.example", allowed_groups: {add: ["${imageIds.mine}"]}`,
      'There is no project',
    ],
  ])('%s', async (props, says) => {
    const { errors } = await create(props);
    expect(errors?.[0]?.message).toContain(says);
  });
});

describe.skipIf(!canRun)('a registry on the network', () => {
  let registry: TestRegistry;
  beforeAll(async () => {
    registry = await startTestRegistry();
    await registry.push('team/tool', '1.0', [{ architecture: 'amd64' }, { architecture: 'arm64' }]);
    const { username, password } = REGISTRY_ACCOUNT;
    await tenants.db
      .sql`INSERT INTO container_registries (url, registry_name, type, project, username,
        password) VALUES (${registry.url}, ${registry.addr}, 'docker', 'team', ${username}, ${password})`;
  });
  afterAll(() => registry?.stop());

  const taskResult = v.object({ ok: v.literal(true), task_id: v.string() });

  /** Scans and waits for the task. @returns its last message. */
  async function scan(name: string): Promise<string> {
    const document = `mutation { rescan_images(registry: "${name}") { ok msg task_id } }`;
    const { data } = await tenants.ask('superadmin', document);
    const { task_id } = v.parse(taskResult, data?.rescan_images);
    const { tasks } = tenants.ctx;
    return until(async () => {
      for await (const event of tasks.watch(task_id, null, AbortSignal.timeout(10_000))) {
        if (event.state !== 'updated') return `${event.state}: ${event.message}`;
      }
      return null;
    }, 'the scan has ended');
  }

  const tool = `{ image_nodes(scope_id: "system:", filter: "name == \\"team/tool\\"", order: "architecture")
    { edges { node { id architecture tag } } } }`;

  test('is scanned in the background; a tag is removed from it', async () => {
    expect(await scan(registry.addr)).toBe('done: Found 2 images, 2 new or changed.');
    const { data } = await tenants.ask('superadmin', tool);
    const listed = v.parse(
      v.object({ edges: v.array(v.object({ node: v.looseObject({ id: v.string() }) })) }),
      data?.image_nodes,
    );
    expect(listed.edges.map(({ node }) => node.architecture)).toEqual(['aarch64', 'x86_64']);
    expect(await scan(`${registry.addr}/team/tool:1.0`)).toContain('0 new or changed');
    const id = listed.edges[0]?.node.id;
    const untag = `mutation { untag_image_from_registry(image_id: "${id}") { ok msg } }`;
    expect(await tenants.outcomes(untag.replace('ok msg', 'ok'))).toMatchObject({ user: 'error' });
    expect(await scan(registry.addr)).toBe('done: Found 0 images, 0 new or changed.');
  });

  test('one that is not there, or not configured, ends the task with the reason', async () => {
    await tenants.db.sql`INSERT INTO container_registries (url, registry_name, type, project)
      VALUES ('http://127.0.0.1:1', 'away.example', 'docker', 'x')`;
    expect(await scan('away.example')).toMatch(/^failed: away.example\/x: .*can't be reached/);
    expect(await scan('unknown.example')).toMatch(/^failed: .*There is no container registry/);
  });
});
