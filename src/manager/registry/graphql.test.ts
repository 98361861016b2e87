/** Container registries through GraphQL: for superadmins, and never with a password. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

let tenants: Tenants;
const id = crypto.randomUUID();
beforeAll(async () => {
  tenants = await testTenants();
  await tenants.db.sql`INSERT INTO container_registries (id, url, registry_name, type, project,
      username, password, is_global)
    VALUES (${id}, 'https://cr.example', 'cr.example', 'harbor2', 'stable', 'robot', 'hush', false)`;
});
afterAll(() => tenants.close());

const fields = 'id hostname config { url type project username password ssl_verify is_global }';

test('only superadmins see them', async () => {
  for (const query of ['container_registries', 'container_registry(hostname: "cr.example")']) {
    expect(await tenants.outcomes(`{ ${query} { ${fields} } }`)).toEqual({
      superadmin: 'data',
      admin: 'error',
      user: 'error',
      monitor: 'error',
      otherAdmin: 'error',
      otherUser: 'error',
    });
  }
});

test('the password is replaced', async () => {
  const { data } = await tenants.ask('superadmin', `{ container_registries { ${fields} } }`);
  expect(data?.container_registries).toEqual([
    {
      id: btoa(`ContainerRegistry:${id}`),
      hostname: 'cr.example',
      config: {
        url: 'https://cr.example',
        type: 'harbor2',
        project: ['stable'],
        username: 'robot',
        password: '*****',
        ssl_verify: true,
        is_global: false,
      },
    },
  ]);
  const none = await tenants.ask('superadmin', '{ container_registry(hostname: "none") { id } }');
  expect(none.data).toEqual({ container_registry: null });
});
