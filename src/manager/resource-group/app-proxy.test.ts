/** The version of a resource group's app proxy: asked of real servers, good and bad. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as v from 'valibot';
import { signingClient } from '../../testing/manager.ts';
import { insertProject } from '../../testing/sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

let tenants: Tenants;
let proxy: ReturnType<typeof Bun.serve>;
let answer: () => Response = () => new Response();
beforeAll(async () => {
  tenants = await testTenants();
  await insertProject(tenants.db.sql);
  proxy = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: (request) =>
      new URL(request.url).pathname === '/status' ? answer() : new Response(null, { status: 404 }),
  });
  await tenants.db.sql`
    INSERT INTO sgroups_for_domains (scaling_group, domain) VALUES ('default', 'default')`;
});
afterAll(async () => {
  await proxy.stop(true);
  await tenants.close();
});

const setAddress = (address: string | null) =>
  tenants.db.sql`UPDATE scaling_groups SET wsproxy_addr = ${address} WHERE name = 'default'`;
async function versionFor(who: keyof Tenants['people'], query = ''): Promise<string> {
  const send = signingClient(tenants.url, tenants.people[who]);
  const response = await send('GET', `/scaling-groups/default/wsproxy-version${query}`);
  const found = v.parse(
    v.object({ wsproxy_version: v.optional(v.string()), type: v.optional(v.string()) }),
    await response.json(),
  );
  return found.wsproxy_version ?? `${response.status} ${found.type?.split('/probs/')[1]}`;
}

test('a group without an app proxy has v1, one with it what the proxy says', async () => {
  expect(await versionFor('user')).toBe('v1');
  await setAddress(proxy.url.origin);
  answer = () => Response.json({ api_version: 'v2', advertise_address: 'https://apps.example' });
  expect(await versionFor('user')).toBe('v2');
  expect(await versionFor('user', `?group=${tenants.projects.default}`)).toBe('v2');
  expect(await versionFor('user', '?group=work')).toBe('v2');
  expect(await versionFor('admin', '?group_name=work')).toBe('v2');
});

test('groups and projects of others are unknown', async () => {
  expect(await versionFor('otherUser')).toBe('404 object-not-found');
  expect(await versionFor('otherUser', `?group=${tenants.projects.default}`)).toStartWith('404 ');
  expect(await versionFor('monitor', '?group=work')).toStartWith('404 ');
});

test('a proxy that is away, fails or is none', async () => {
  await setAddress('http://127.0.0.1:1');
  expect(await versionFor('user')).toBe('500 appproxy-connection-error');
  await setAddress(proxy.url.origin);
  answer = () => new Response('no', { status: 502 });
  expect(await versionFor('user')).toBe('500 appproxy-response-error');
  answer = () => new Response('<html>');
  expect(await versionFor('user')).toBe('500 appproxy-response-error');
  answer = () => Response.redirect('http://127.0.0.1:1/');
  expect(await versionFor('user')).toBe('500 appproxy-connection-error');
});
