/** Invitations, permissions of single users and leaving: what each role may, across two tenants. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { type TestFolders, testFolders } from '../../testing/folders.ts';

let t: TestFolders;
beforeAll(async () => {
  t = await testFolders();
});
afterAll(() => t.close());

type Who = Parameters<TestFolders['call']>[0];
const invitations = v.object({
  invitations: v.array(v.looseObject({ id: v.string(), vfolder_name: v.string() })),
});
async function pending(who: Who, list = 'list') {
  const [, body] = await t.call(who, 'GET', `/folders/invitations/${list}`);
  return v.parse(invitations, body).invitations;
}
async function inviteTo(name: string, perm = 'ro', who: Who = 'monitor') {
  const id = await t.make('user', name);
  const body = { perm, user_ids: [t.people[who].email] };
  expect(await t.call('user', 'POST', `/folders/${id}/invite`, body)).toEqual([
    201,
    { invited_ids: [t.people[who].email] },
  ]);
  const [invitation] = (await pending(who)).filter(({ vfolder_name }) => vfolder_name === name);
  return { id, invitation: invitation?.id ?? '' };
}
const answer = async (who: Who, action: string, inv_id: string) =>
  (await t.call(who, 'POST', `/folders/invitations/${action}`, { inv_id }))[0];

describe('an invitation', () => {
  test('that is accepted gives what it offers, no more', async () => {
    const { id, invitation } = await inviteTo('shared');
    expect(await pending('user', 'list-sent')).toMatchObject([
      { perm: 'ro', state: 'pending', inviter: t.people.user.email, vfolder_id: id },
    ]);
    expect((await t.call('monitor', 'GET', `/folders/${id}`))[0]).toBe(404);
    for (const who of ['otherUser', 'admin', 'superadmin'] as const) {
      expect([who, await answer(who, 'accept', invitation)]).toEqual([who, 404]);
      expect([who, await answer(who, 'delete', invitation)]).toEqual([who, 404]);
    }
    expect(await answer('monitor', 'accept', invitation)).toBe(200);
    expect(await answer('monitor', 'accept', invitation)).toBe(404);
    const [, info] = await t.call('monitor', 'GET', '/folders/shared');
    expect(info).toMatchObject({ permission: 'ro', is_owner: false });
    const as = async (method: string, path: string, body?: object) =>
      (await t.call('monitor', method, `/folders/${id}${path}`, body))[0];
    expect(await as('GET', '/files')).toBe(200);
    expect(await as('POST', '/request-download', { path: 'x' })).not.toBe(403);
    expect(await as('POST', '/mkdir', { path: 'x' })).toBe(403);
    expect(await as('POST', '/request-upload', { path: 'x', size: 1 })).toBe(403);
    expect(await as('POST', '/rename', { new_name: 'mine' })).toBe(403);
    expect(await as('DELETE', '')).toBe(403);
    expect(await as('POST', '/invite', { emails: [t.people.admin.email] })).toBe(403);
    const again = { emails: [t.people.monitor.email] };
    expect((await t.call('user', 'POST', `/folders/${id}/invite`, again))[0]).toBe(409);
  });

  test('is changed and withdrawn by who sent it, and rejected by who got it', async () => {
    const first = await inviteTo('offered');
    const update = (who: Who) =>
      t.call(who, 'POST', `/folders/invitations/update/${first.invitation}`, { perm: 'rw' });
    expect((await update('monitor'))[0]).toBe(403);
    expect((await update('otherUser'))[0]).toBe(404);
    expect((await update('user'))[0]).toBe(200);
    expect(await pending('monitor')).toMatchObject([{ perm: 'rw' }]);
    expect(await answer('user', 'delete', first.invitation)).toBe(200);
    const second = await inviteTo('refused');
    expect(await answer('monitor', 'delete', second.invitation)).toBe(200);
    const states = await t.ctx.sql`
      SELECT state FROM vfolder_invitations WHERE id IN (${first.invitation}, ${second.invitation})
       ORDER BY state`;
    expect(states.map(({ state }) => state)).toEqual(['canceled', 'rejected']);
    expect(await pending('monitor')).toEqual([]);
  });

  test('is not made for strangers, automounted folders or folders of projects', async () => {
    const dotted = await t.make('user', '.local');
    const plain = await t.make('user', 'plain');
    const invite = async (id: string, emails: string[]) =>
      (await t.call('user', 'POST', `/folders/${id}/invite`, { emails }))[0];
    const { monitor, otherUser, user } = t.people;
    expect(await invite(dotted, [monitor.email])).toBe(403);
    expect(await invite(plain, ['nobody@nowhere.example'])).toBe(404);
    expect(await invite(plain, [otherUser.email])).toBe(404);
    expect(await invite(plain, [user.email])).toBe(404);
    const team = await t.make('admin', 'team', { group: t.projects.default });
    const body = { emails: [monitor.email] };
    expect((await t.call('admin', 'POST', `/folders/${team}/invite`, body))[0]).toBe(403);
  });

  test('to a folder of a name one uses already has to wait', async () => {
    const { invitation } = await inviteTo('twin');
    await t.make('monitor', 'twin');
    expect(await answer('monitor', 'accept', invitation)).toBe(409);
    expect(await pending('monitor')).toHaveLength(1);
    await answer('monitor', 'delete', invitation);
  });
});

test('who shares sees with whom, changes and takes it away; who got it leaves', async () => {
  const { id, invitation } = await inviteTo('given', 'ro');
  await answer('monitor', 'accept', invitation);
  const userId = t.people.monitor.userId;
  const shared = (who: Who) => t.call(who, 'GET', `/folders/_/shared?vfolder_id=${id}`);
  expect((await shared('user'))[1]).toMatchObject({
    shared: [{ vfolder_name: 'given', shared_to: { uuid: userId }, perm: 'ro', type: 'user' }],
  });
  expect((await shared('otherUser'))[1]).toEqual({ shared: [] });
  expect((await shared('otherAdmin'))[1]).toEqual({ shared: [] });
  const set = async (who: Who, perm: string | null) =>
    (await t.call(who, 'POST', '/folders/_/shared', { vfolder: id, user: userId, perm }))[0];
  expect(await set('monitor', 'wd')).toBe(403);
  expect(await set('otherAdmin', 'wd')).toBe(404);
  expect(await set('user', 'rw')).toBe(200);
  expect((await t.call('monitor', 'POST', `/folders/${id}/mkdir`, { path: 'x' }))[0]).toBe(200);
  const several = { vfolder: id, user_perm: [{ user_id: userId, perm: 'ro' }] };
  expect((await t.call('user', 'POST', '/folders/_/sharing', several))[0]).toBe(201);
  expect((await t.call('monitor', 'POST', `/folders/${id}/mkdir`, { path: 'y' }))[0]).toBe(403);
  expect((await t.call('user', 'POST', `/folders/${id}/leave`, {}))[0]).toBe(404);
  expect((await t.call('monitor', 'POST', `/folders/${id}/leave`, {}))[0]).toBe(200);
  expect((await t.call('monitor', 'GET', `/folders/${id}`))[0]).toBe(404);
  expect(await set('user', null)).toBe(404);
});

test('administrators give members permissions of their own on a folder of the project', async () => {
  const id = await t.make('admin', 'board', { group: t.projects.default, permission: 'ro' });
  const body = { permission: 'rw', emails: [t.people.user.email] };
  const share = async (who: Who, wanted: object = body) =>
    (await t.call(who, 'POST', `/folders/${id}/share`, wanted))[0];
  const mkdir = async (path: string) =>
    (await t.call('user', 'POST', `/folders/${id}/mkdir`, { path }))[0];
  const { accessKey } = t.people.otherAdmin;
  await t.ctx.sql`UPDATE keypairs SET is_admin = true WHERE access_key = ${accessKey}`;
  t.ctx.events.publish({ type: 'entity-changed', entityType: 'keypair' });
  expect(await mkdir('a')).toBe(403);
  expect(await share('user')).toBe(403);
  expect(await share('otherAdmin')).toBe(404);
  expect(await share('admin', { emails: [t.people.otherUser.email] })).toBe(404);
  expect(await share('admin')).toBe(201);
  expect(await mkdir('a')).toBe(200);
  expect((await t.call('user', 'POST', `/folders/${id}/leave`, {}))[0]).toBe(400);
  expect(await t.call('admin', 'DELETE', `/folders/${id}/unshare`, body)).toEqual([
    200,
    { unshared_emails: [t.people.user.email] },
  ]);
  expect(await mkdir('b')).toBe(403);
});
