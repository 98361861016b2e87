/** Images over the newer HTTP operations: flat rows, aliases, changes, removal; for superadmins only. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { signingClient } from '../../testing/manager.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

let tenants: Tenants;
const [id, registryId] = [crypto.randomUUID(), crypto.randomUUID()];
beforeAll(async () => {
  tenants = await testTenants();
  const { sql } = tenants.db;
  await sql`INSERT INTO container_registries (id, url, registry_name, type, project, is_global)
    VALUES (${registryId}, 'https://cr.example', 'cr.example', 'docker', 'stable', true)`;
  await sql`INSERT INTO images (id, name, project, image, tag, registry, registry_id, architecture,
      config_digest, size_bytes, type, labels, resources, status, accelerators)
    VALUES (${id}, 'cr.example/stable/python:3.13-ubuntu22', 'stable', 'stable/python',
      '3.13-ubuntu22', 'cr.example', ${registryId}, 'x86_64', 'sha256:0', 10, 'COMPUTE',
      '{"role":"test"}', '{"cpu":{"min":"1"}}', 'ALIVE', 'cuda')`;
});
afterAll(() => tenants.close());

type Who = keyof Tenants['people'];

async function call(who: Who, method: string, path: string, body: unknown) {
  const client = signingClient(tenants.url, tenants.people[who]);
  const response = await client(method, `/v2/images${path}`, body);
  return { status: response.status, json: await response.json() };
}
async function done(method: string, path: string, body: unknown) {
  const { status, json } = await call('superadmin', method, path, body);
  expect({ path, status, json }).toMatchObject({ status: 200 });
  return json;
}

test('images are told flat, as the SDK reads them', async () => {
  const page = await done('POST', '/search', { filter: { name: { contains: 'python' } } });
  expect(page).toMatchObject({ total_count: 1, has_next_page: false });
  expect(page.items).toEqual([
    {
      ...{ id, name: 'cr.example/stable/python:3.13-ubuntu22', image: 'stable/python' },
      ...{ registry: 'cr.example', registry_id: registryId, project: 'stable' },
      ...{ tag: '3.13-ubuntu22', architecture: 'x86_64', size_bytes: 10, type: 'compute' },
      ...{ status: 'ALIVE', labels: [{ key: 'role', value: 'test' }] },
      tags: expect.any(Array),
      resource_limits: [{ key: 'cpu', min: '1', max: null }],
      ...{ accelerators: 'cuda', config_digest: 'sha256:0', is_local: false },
      ...{ created_at: expect.any(String), last_used_at: expect.any(String) },
    },
  ]);
});

test('aliases are given, found and taken', async () => {
  const given = await done('POST', '/alias', { image_id: id, alias: 'py' });
  expect(given).toEqual({ alias_id: expect.any(String), alias: 'py', image_id: id });
  const wanted = { filter: { image_id: { equals: id }, alias: { starts_with: 'p' } } };
  expect((await done('POST', '/aliases/search', wanted)).items).toEqual([
    { id: given.alias_id, alias: 'py' },
  ]);
  expect(await done('POST', '/dealias', { alias: 'py' })).toEqual(given);
  expect((await done('POST', '/aliases/search', wanted)).items).toEqual([]);
  expect((await call('superadmin', 'POST', '/dealias', { alias: 'py' })).status).toBe(404);
});

test('an image is changed, marked as removed, and removed', async () => {
  const { item } = await done('PATCH', '', {
    ...{ image_id: id, tag: '3.14', labels: { role: 'changed' } },
    ...{ supported_accelerators: 'cuda,rocm', resource_limits: { mem: { min: '64m' } } },
  });
  expect(item).toMatchObject({
    ...{ name: 'cr.example/stable/python:3.14', tag: '3.14', accelerators: 'cuda,rocm' },
    labels: [{ key: 'role', value: 'changed' }],
    resource_limits: [
      { key: 'cpu', min: '1', max: null },
      { key: 'mem', min: '67108864', max: null },
    ],
  });
  const forgotten = await done('POST', '/forget', { image_id: id });
  expect(forgotten.item).toMatchObject({ id, status: 'DELETED' });
  const { item: changed } = await done('PATCH', '', { image_id: id, labels: { role: 'old' } });
  expect(changed).toMatchObject({ id, status: 'DELETED', labels: [{ key: 'role', value: 'old' }] });
  const purged = await done('POST', '/purge', { image_id: id });
  expect(purged.item).toMatchObject({ id, name: 'cr.example/stable/python:3.14' });
  for (const path of ['/forget', '/purge']) {
    expect((await call('superadmin', 'POST', path, { image_id: id })).status).toBe(404);
  }
  expect((await call('superadmin', 'PATCH', '', { image_id: id, tag: 'x' })).status).toBe(404);
  const deeds = await tenants.db.sql`SELECT operation FROM audit_logs WHERE entity_id = ${id}`;
  expect(deeds.map(({ operation }) => operation)).toContain('purge');
});
