/** Container registries over HTTP: kept, read, told of pushes by Harbor, and their quotas. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { signingClient } from '../../testing/manager.ts';
import { REGISTRY_ACCOUNT, startTestRegistry, type TestRegistry } from '../../testing/registry.ts';
import { missingTool, requireOrSkip } from '../../testing/services.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

const canRun = requireOrSkip(missingTool('docker-registry', 'docker-registry'));

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
});
afterAll(() => tenants.close());
afterEach(async () => {
  await tenants.db.sql`DELETE FROM images`;
  await tenants.db.sql`DELETE FROM container_registries`;
});

type Who = keyof Tenants['people'];
async function call(who: Who, method: string, target: string, json?: unknown) {
  const response = await signingClient(tenants.url, tenants.people[who])(method, target, json);
  const text = await response.text();
  const body: unknown = text === '' ? null : JSON.parse(text);
  return { status: response.status, body };
}
const root = (method: string, target: string, json?: unknown) =>
  call('superadmin', method, target, json);
const row = v.looseObject({ id: v.string() });
const base = { url: 'https://cr.example', registry_name: 'cr.example', type: 'docker' };
async function make(more: Record<string, unknown> = {}): Promise<string> {
  const { status, body } = await root('POST', '/container-registries/', { ...base, ...more });
  expect([status, body]).toMatchObject([201, expect.anything()]);
  return v.parse(row, body).id;
}
const imageNames = async () =>
  (await tenants.db.sql`SELECT name FROM images WHERE status = 'ALIVE' ORDER BY name`).map(
    ({ name }) => name,
  );

describe('registries', () => {
  test('are made, listed, changed and removed; passwords are never told', async () => {
    const secret = { username: 'robot', password: 'hush', extra: { a: 1 }, project: 'stable' };
    const id = await make({ ...secret, allowed_groups: { add: [tenants.projects.default] } });
    const shown = { id, ...base, ...secret, password: '*****' };
    const listed = await root('GET', '/container-registries/');
    expect(listed.body).toMatchObject({ items: [shown] });
    const changed = await root('PATCH', `/container-registries/${id}`, {
      ...{ username: 'other', password: '*****', ssl_verify: false, url: null },
      allowed_groups: { remove: [tenants.projects.default] },
    });
    expect(changed).toMatchObject({
      status: 200,
      body: { ...shown, username: 'other', ssl_verify: false },
    });
    const [stored] = await tenants.db.sql`
      SELECT password FROM container_registries WHERE id = ${id}`;
    expect(stored?.password).toBe('hush');
    const loaded = await root('GET', '/container-registries/load?registry=cr.example&project=none');
    expect(loaded.body).toEqual({ items: [] });
    const found = await root('GET', '/container-registries/load?registry=cr.example');
    expect(found.body).toMatchObject({ items: [{ id }] });
    expect((await root('DELETE', `/container-registries/${id}`)).status).toBe(204);
    expect((await root('DELETE', `/container-registries/${id}`)).status).toBe(404);
    const audit = await tenants.db.sql`
      SELECT before, after FROM audit_logs WHERE entity_id = ${id}`;
    expect(audit).toHaveLength(3);
    expect(JSON.stringify(audit)).not.toContain('hush');
  });

  test('are for superadmins', async () => {
    const id = await make();
    for (const who of ['admin', 'user', 'monitor', 'otherAdmin'] as const) {
      for (const [method, path] of [
        ['GET', '/container-registries/'],
        ['POST', '/container-registries/'],
        ['PATCH', `/container-registries/${id}`],
        ['DELETE', `/container-registries/${id}`],
        ['POST', '/container-registries/rescan'],
        ['POST', '/container-registries/clear'],
        ['GET', `/group/registry-quota?group=${tenants.projects.default}`],
      ] as const) {
        const body = method === 'GET' ? undefined : { registry: 'cr.example' };
        expect([path, (await call(who, method, path, body)).status]).toEqual([path, 403]);
      }
    }
  });

  test('wrong ones are refused', async () => {
    await make();
    const attempt = async (more: Record<string, unknown>) =>
      (await root('POST', '/container-registries/', { ...base, ...more })).status;
    expect(await attempt({})).toBe(409);
    expect(await attempt({ registry_name: 'x', url: 'ftp://x' })).toBe(400);
    expect(await attempt({ registry_name: 'x', type: 'attic' })).toBe(400);
    expect(await attempt({ registry_name: 'x', type: 'harbor2' })).toBe(400);
    expect(await attempt({ registry_name: 'x\u0000' })).toBe(400);
    const nobody = { allowed_groups: { add: [crypto.randomUUID()] } };
    expect(await attempt({ registry_name: 'x', ...nobody })).toBe(404);
    expect((await root('PATCH', '/container-registries/x', {})).status).toBe(400);
  });

  test('one that cannot be read says so', async () => {
    await make({ url: 'http://127.0.0.1:1' });
    const scanned = await root('POST', '/container-registries/rescan', { registry: 'cr.example' });
    expect(scanned.status).toBe(503);
    const none = await root('POST', '/container-registries/rescan', { registry: 'none.example' });
    expect(none.status).toBe(404);
  });
});

describe.skipIf(!canRun)('a registry on the network', () => {
  let registry: TestRegistry;
  beforeAll(async () => {
    registry = await startTestRegistry();
    await registry.push('stable/python', '3.11', [{ architecture: 'amd64' }]);
    await registry.push('other/thing', '1', [{ architecture: 'amd64' }]);
  });
  afterAll(() => registry?.stop());

  const add = (project: string, more: Record<string, unknown> = {}) =>
    make({
      url: registry.url,
      registry_name: registry.addr,
      project,
      ...REGISTRY_ACCOUNT,
      ...more,
    });
  const pushed = (
    name: string,
    tag: string,
    headers: Record<string, string> = {},
    event = 'PUSH_ARTIFACT',
  ) =>
    fetch(`${tenants.url}/container-registries/webhook/harbor`, {
      method: 'POST',
      headers,
      body: JSON.stringify({
        type: event,
        occur_at: 1,
        event_data: {
          resources: [{ digest: 'x', resource_url: `${registry.addr}/stable/${name}:${tag}`, tag }],
          repository: { namespace: 'stable', name, repo_full_name: `stable/${name}` },
        },
      }),
    });

  test('is read into the catalogue, and its images are forgotten by project', async () => {
    await add('stable');
    await add('other');
    const all = { registry: registry.addr };
    expect((await root('POST', '/container-registries/rescan', all)).status).toBe(204);
    const [python, thing] = [
      `${registry.addr}/stable/python:3.11`,
      `${registry.addr}/other/thing:1`,
    ];
    expect(await imageNames()).toEqual([thing, python].sort());
    const clear = (project?: string) =>
      root('POST', '/container-registries/clear', { ...all, project });
    expect((await clear('other')).status).toBe(204);
    expect(await imageNames()).toEqual([python]);
    expect((await clear()).status).toBe(204);
    expect(await imageNames()).toEqual([]);
  });

  test('what was pushed to it is registered when Harbor tells', async () => {
    await add('stable');
    expect((await pushed('python', '3.11', {}, 'PULL_ARTIFACT')).status).toBe(204);
    expect(await imageNames()).toEqual([]);
    expect((await pushed('python', '3.11')).status).toBe(204);
    expect(await imageNames()).toEqual([`${registry.addr}/stable/python:3.11`]);
    expect((await pushed('python', 'gone')).status).toBe(503);
  });

  test('Harbor has to know the secret, where there is one', async () => {
    await add('stable', { extra: { webhook_auth_header: 'Basic c2VjcmV0' } });
    expect((await pushed('python', '3.11')).status).toBe(401);
    expect((await pushed('python', '3.11', { Authorization: 'Basic x' })).status).toBe(401);
    expect(await imageNames()).toEqual([]);
    const right = { Authorization: 'Basic c2VjcmV0' };
    expect((await pushed('python', '3.11', right)).status).toBe(204);
    expect(await imageNames()).toHaveLength(1);
  });

  test('an unknown registry is told of', async () => {
    const response = await pushed('python', '3.11');
    expect(response.status).toBe(500);
    expect(v.parse(v.object({ type: v.string() }), await response.json()).type).toEndWith(
      '/webhook/harbor/container-registry-not-found',
    );
  });
});

describe('quotas in Harbor', () => {
  /** What Harbor's API does for one project, as far as it is used. */
  let storage = -1;
  let isDown = false;
  let harbor: ReturnType<typeof Bun.serve>;
  const authorized = `Basic ${btoa('admin:Harbor12345')}`;
  beforeAll(() => {
    harbor = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      async fetch(request) {
        const { pathname, searchParams } = new URL(request.url);
        if (isDown) return new Response('maintenance', { status: 503 });
        if (request.headers.get('authorization') !== authorized) {
          const headers = { 'WWW-Authenticate': 'Basic realm="harbor"' };
          return new Response('{}', { status: 401, headers });
        }
        if (pathname === '/api/v2.0/projects/team') return Response.json({ project_id: 7 });
        if (pathname === '/api/v2.0/quotas' && searchParams.get('reference_id') === '7') {
          return Response.json([{ id: 3, hard: { storage }, used: { storage: 0 } }]);
        }
        if (pathname === '/api/v2.0/quotas/3' && request.method === 'PUT') {
          const wanted = v.object({ hard: v.object({ storage: v.number() }) });
          storage = v.parse(wanted, await request.json()).hard.storage;
          return new Response(null);
        }
        return new Response('{}', { status: 404 });
      },
    });
  });
  afterAll(() => harbor.stop(true));

  const target = '/group/registry-quota';
  const id = () => tenants.projects.default;
  async function connect(type = 'harbor2'): Promise<void> {
    await make({
      ...{ url: harbor.url.origin, registry_name: 'harbor.example', type, project: 'team' },
      ...{ username: 'admin', password: 'Harbor12345' },
    });
    await tenants.db.sql`
      UPDATE groups SET container_registry = '{"registry":"harbor.example","project":"team"}'
       WHERE id = ${id()}`;
  }
  const read = async () => (await root('GET', `${target}?group_id=${id()}`)).body;

  test('are set, changed, read and taken away', async () => {
    await connect();
    expect(await read()).toEqual({ result: null });
    const wanted = { group: id(), quota: 5_000_000_000 };
    expect((await root('PATCH', target, wanted)).status).toBe(400);
    expect((await root('POST', target, wanted)).status).toBe(204);
    expect(await read()).toEqual({ result: 5_000_000_000 });
    expect((await root('POST', target, wanted)).status).toBe(400);
    expect((await root('PATCH', target, { ...wanted, quota: 1024 })).status).toBe(204);
    expect(storage).toBe(1024);
    expect((await root('DELETE', target, { group_id: id() })).status).toBe(204);
    expect(storage).toBe(-1);
    expect((await root('DELETE', target, { group_id: id() })).status).toBe(400);
    const records = await tenants.db.sql`
      SELECT after FROM audit_logs WHERE entity_id = ${id()} AND after ? 'registry_quota'`;
    expect(records).toHaveLength(3);
  });

  test('are refused by other registries, without one, and while Harbor is away', async () => {
    expect((await root('GET', `${target}?group_id=${id()}`)).status).toBe(404);
    await connect('docker');
    expect((await root('GET', `${target}?group_id=${id()}`)).status).toBe(400);
    await tenants.db.sql`DELETE FROM container_registries`;
    await connect();
    isDown = true;
    expect((await root('POST', target, { group_id: id(), quota: 1 })).status).toBe(503);
    isDown = false;
    const wrong = { group_id: id(), quota: -5 };
    expect((await root('POST', target, wrong)).status).toBe(400);
    expect(storage).toBe(-1);
  });
});
