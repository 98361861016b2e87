/** Folders in sessions, from the creation's config to what the agent is told. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as v from 'valibot';
import { HOST, type TestFolders, testFolders } from '../../testing/folders.ts';
import { signingClient } from '../../testing/manager.ts';
import { insertProject, joinProject } from '../../testing/sessions.ts';
import { SimulatedAgent } from '../../testing/simulated-agent.ts';
import { type ControlPlane, startControlPlane } from '../control-plane.ts';
import { packDotfiles } from '../dotfile/format.ts';
import { type ManagerServer, startServer } from '../server.ts';
import { sessionRoutes } from '../session/rest.ts';

let t: TestFolders;
let server: ManagerServer;
let controlPlane: ControlPlane;
let project: string;
const agent = new SimulatedAgent({
  slots: { cpu: '100', mem: '107374182400' },
  images: [
    {
      canonical: 'local/bash:5',
      architecture: 'x86_64',
      digest: `sha256:${'1'.repeat(64)}`,
      sizeBytes: 0,
      labels: { 'ai.backend.kernelspec': '1' },
      aliases: ['bash'],
    },
  ],
});

beforeAll(async () => {
  t = await testFolders();
  const ctx = { ...t.ctx, agents: { client: () => agent.client } };
  project = await insertProject(ctx.sql);
  await ctx.sql`UPDATE domains SET allowed_docker_registries = '{local}'`;
  for (const who of ['user', 'admin', 'monitor'] as const) {
    await joinProject(ctx.sql, t.people[who], project);
  }
  controlPlane = await startControlPlane(ctx);
  agent.connect(controlPlane.gateway);
  await agent.heartbeat();
  server = await startServer(ctx, {
    listen: { hostname: '127.0.0.1', port: 0 },
    routes: sessionRoutes(ctx),
    sockets: [],
  });
});
afterAll(async () => {
  await server.stop(0);
  await controlPlane.stop();
  await t.close();
});

type Who = keyof TestFolders['people'];
let serial = 0;
const dashed = (id: string) => id.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');

async function create(who: Who, config: object) {
  const body = { image: 'bash', name: `mounting-${++serial}`, group: project };
  const resources = { cpu: 1, mem: '256m' };
  const client = signingClient(server.url, t.people[who]);
  const sent = { ...body, enqueueOnly: false, config: { resources, ...config } };
  const response = await client('POST', '/session', sent);
  return { status: response.status, body: await response.json() };
}

const mountRows = v.array(
  v.object({
    vfolder_mounts: v.array(
      v.object({
        name: v.string(),
        vfid: v.string(),
        vfsubpath: v.string(),
        host_path: v.string(),
        kernel_path: v.string(),
        mount_perm: v.string(),
        usage_mode: v.string(),
      }),
    ),
  }),
);

/** What a session that could be made mounts. */
async function mounted(who: Who, config: object) {
  const { status, body } = await create(who, config);
  expect([status, body.status]).toEqual([201, 'RUNNING']);
  const rows = await t.ctx.sql`
    SELECT vfolder_mounts FROM kernels WHERE session_id = ${body.sessionId}`;
  const [row] = v.parse(mountRows, [...rows]);
  const client = signingClient(server.url, t.people[who]);
  return {
    mounts: row?.vfolder_mounts ?? [],
    end: async () => {
      await client('DELETE', `/session/${body.sessionId}?forced=true`);
    },
  };
}

test('by name, by id, with place, permission and directory', async () => {
  const id = await t.make('user', 'data', { usage_mode: 'data' });
  await t.call('user', 'POST', `/folders/${id}/mkdir`, { path: 'sub/dir' });
  const common = { name: 'data', vfid: `user:${t.people.user.userId}/${id}`, usage_mode: 'data' };
  const root = `${t.storage.volumePath}/${t.people.user.userId.replaceAll('-', '')}/${id.slice(0, 2)}/${id.slice(2, 4)}/${id.slice(4)}`;
  const cases: [object, object][] = [
    [{ mounts: ['data'] }, { kernel_path: '/home/work/data', mount_perm: 'rw', vfsubpath: '.' }],
    [{ mounts: [dashed(id)] }, { kernel_path: '/home/work/data' }],
    [{ mounts: ['data/sub/dir'] }, { vfsubpath: 'sub/dir', kernel_path: '/home/work/data' }],
    [{ mounts: ['data'], mount_map: { data: 'here' } }, { kernel_path: '/home/work/here' }],
    [
      {
        mount_ids: [dashed(id)],
        mount_id_map: { [dashed(id)]: '/data' },
        mount_options: { [dashed(id)]: { permission: 'ro', subpath: 'sub' } },
      },
      { kernel_path: '/data', mount_perm: 'ro', vfsubpath: 'sub' },
    ],
  ];
  for (const [config, expected] of cases) {
    const { mounts, end } = await mounted('user', config);
    expect(mounts).toEqual([expect.objectContaining({ ...common, ...expected, host_path: root })]);
    const [mount] = mounts;
    expect([...agent.kernels.values()].at(-1)?.spec.mounts).toEqual([
      {
        name: 'data',
        root,
        subpath: mount?.vfsubpath ?? '',
        target: mount?.kernel_path ?? '',
        readOnly: mount?.mount_perm === 'ro',
      },
    ]);
    await end();
  }
});

test('dotfiles and folders: no file lies where a folder goes, and none is hidden by one', async () => {
  const file = (path: string) => ({ path, perm: '644', data: 'x' });
  await t.make('user', 'beside');
  const keep = (paths: string[]) =>
    t.ctx.sql`UPDATE keypairs SET dotfiles = ${packDotfiles(paths.map(file))}
      WHERE access_key = ${t.people.user.accessKey}`;
  await keep(['.rc', 'beside/hidden']);
  const { end } = await mounted('user', { mounts: ['beside'] });
  const spec = [...agent.kernels.values()].at(-1)?.spec;
  expect(spec?.dotfiles.map(({ path }) => path)).toEqual(['.rc']);
  await end();
  await keep(['beside']);
  const { status, body } = await create('user', { mounts: ['beside'] });
  expect([status, body.type.split('/').at(-1)]).toEqual([400, 'dotfile-vfolder-path-conflict']);
  const elsewhere = { mounts: ['beside'], mount_map: { beside: 'there' } };
  await (await mounted('user', elsewhere)).end();
  await keep([]);
});

test('a folder in use is mounted, cannot be deleted, and is free again afterwards', async () => {
  const id = await t.make('user', 'busy');
  const { end } = await mounted('user', { mounts: ['busy'] });
  const info = async () => (await t.call('user', 'GET', `/folders/${id}`))[1];
  expect(await info()).toMatchObject({ status: 'mounted', last_used: expect.any(String) });
  const [status, refused] = await t.call('user', 'DELETE', '/folders', { id });
  expect(status).toBe(400);
  expect(JSON.stringify(refused)).toContain('vfolder-deletion-not-allowed');
  expect((await t.call('user', 'DELETE', `/folders/${id}/force`))[0]).toBe(400);
  await end();
  expect(await info()).toMatchObject({ status: 'ready' });
  expect((await t.call('user', 'DELETE', '/folders', { id }))[0]).toBe(204);
  const gone = await create('user', { mounts: ['busy'] });
  expect(gone.status).toBe(404);
});

test('what is not given is refused with the reason', async () => {
  const own = await t.make('user', 'mine');
  const foreign = await t.make('otherUser', 'theirs');
  await t.make('user', 'locked', { permission: 'ro' });
  const elsewhere = await t.make('admin', 'elsewhere', { group: t.projects.default });
  const refused = async (who: Who, config: object) => {
    const { status, body } = await create(who, config);
    return [status, JSON.stringify(body)];
  };
  const contains = expect.stringContaining;
  expect(await refused('user', { mounts: ['nothing'] })).toEqual([404, contains('nothing')]);
  expect(await refused('user', { mounts: [dashed(foreign)] })).toEqual([404, contains('folder')]);
  expect(await refused('admin', { mounts: [dashed(own)] })).toEqual([404, contains('folder')]);
  expect(
    await refused('user', { mounts: ['locked'], mount_options: { locked: { permission: 'rw' } } }),
  ).toEqual([400, contains('vfolder-permission-error')]);
  expect(await refused('user', { mounts: ['mine/../..'] })).toEqual([400, contains('inside')]);
  expect(await refused('user', { mounts: ['mine/none'] })).toEqual([400, contains('subpath')]);
  expect(await refused('user', { mounts: ['mine'], mount_map: { mine: '/etc' } })).toEqual([
    400,
    contains('/etc'),
  ]);
  const both = { mounts: ['mine', 'locked'], mount_map: { mine: 'x', locked: 'x' } };
  expect(await refused('user', both)).toEqual([400, contains('overlap')]);
  expect(await refused('user', { mounts: [dashed(elsewhere)] })).toEqual([
    400,
    contains('belongs to project'),
  ]);
  const { sql } = t.ctx;
  await sql`UPDATE domains SET allowed_vfolder_hosts = '{"local:volume1": ["create-vfolder"]}'`;
  expect(await refused('user', { mounts: ['mine'] })).toEqual([400, contains('mount-in-session')]);
  const all = ['create-vfolder', 'mount-in-session', 'delete-vfolder', 'invite-others'];
  const hosts = JSON.stringify({ [HOST]: all });
  await sql`UPDATE domains SET allowed_vfolder_hosts = ${hosts}::text::jsonb`;
});

test('folders whose names begin with a dot are in every session; a shared one as it was shared', async () => {
  await t.make('monitor', '.tools');
  const team = await t.make('admin', '.local', { group: project });
  const id = await t.make('user', 'lent');
  await t.call('user', 'POST', `/folders/${id}/invite`, {
    perm: 'ro',
    emails: [t.people.monitor.email],
  });
  const [, list] = await t.call('monitor', 'GET', '/folders/invitations/list');
  const { invitations } = v.parse(
    v.object({ invitations: v.array(v.object({ id: v.string() })) }),
    list,
  );
  await t.call('monitor', 'POST', '/folders/invitations/accept', { inv_id: invitations[0]?.id });
  const { mounts, end } = await mounted('monitor', { mounts: ['lent'] });
  const seen = mounts.map(({ kernel_path, vfsubpath, mount_perm }) => [
    kernel_path,
    vfsubpath,
    mount_perm,
  ]);
  const member = t.people.monitor.userId.replaceAll('-', '');
  expect(seen.sort()).toEqual([
    ['/home/work/.local', member, 'rw'],
    ['/home/work/.tools', '.', 'rw'],
    ['/home/work/lent', '.', 'ro'],
  ]);
  const [, files] = await t.call('admin', 'GET', `/folders/${team}/files`);
  expect(files).toMatchObject({ items: [{ name: member, type: 'DIRECTORY' }] });
  await end();
});
