/** Which agents have which images: notes, agents that are gone, and what GraphQL tells of it. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { graphql } from 'graphql';
import { type TestManagerContext, testManagerContext } from '../../testing/manager.ts';
import { insertAgent, insertProject } from '../../testing/sessions.ts';
import type { ManagerContext } from '../context.ts';
import { mergeModules } from '../graphql/engine.ts';
import { findActiveKeypair } from '../keypair/service.ts';
import { upsertImages } from './catalog.ts';
import { imageGraphql } from './graphql.ts';
import { noteAgentImages } from './locations.ts';

const schema = mergeModules([imageGraphql]);
const image = (canonical: string, architecture = 'x86_64') => ({
  ...{ canonical, architecture, digest: 'sha256:0', sizeBytes: 1, labels: {}, aliases: [] },
});

let manager: TestManagerContext;
beforeAll(async () => {
  manager = await testManagerContext();
  const { sql, live } = manager.ctx;
  await insertProject(sql);
  for (const id of ['i-a', 'i-b', 'i-gone', 'i-silent']) await insertAgent(sql, id);
  await upsertImages(
    sql,
    ['local/both:1', 'local/one:1', 'local/lost:1'].map((n) => image(n)),
  );
  await noteAgentImages(live, 'i-a', [image('local/both:1')]);
  await noteAgentImages(live, 'i-b', [image('local/old:1')]);
  // An agent names its architecture as its system does; a later report replaces the one before.
  await noteAgentImages(live, 'i-b', [image('local/both:1', 'amd64'), image('local/one:1')]);
  await noteAgentImages(live, 'i-gone', [image('local/lost:1')]);
  await sql`update agents set status = 'LOST' where id = 'i-gone'`;
});
afterAll(() => manager.close());

async function list(
  args: string,
  options: { role?: 'user' | 'superadmin'; ctx?: ManagerContext } = {},
) {
  const { role = 'user', ctx = manager.ctx } = options;
  const keypair = await findActiveKeypair(ctx.sql, manager.accounts[role].accessKey);
  const contextValue = {
    ...{ ctx, caller: keypair?.caller, requestId: 'r', signal: new AbortController().signal },
  };
  const source = `{ images${args} { name installed installed_agents } }`;
  const { data, errors } = await graphql({ schema, source, contextValue });
  expect(errors).toBeUndefined();
  return JSON.parse(JSON.stringify(data)).images;
}

test('an image is installed where an agent that is alive has it', async () => {
  expect(await list('')).toEqual([
    { name: 'both', installed: true, installed_agents: ['i-a', 'i-b'] },
    { name: 'lost', installed: false, installed_agents: null },
    { name: 'one', installed: true, installed_agents: ['i-b'] },
  ]);
});

test('images that are installed, or not, can be asked for', async () => {
  const names = async (args: string) =>
    (await list(args)).map(({ name }: { name: string }) => name);
  expect(await names('(is_installed: true)')).toEqual(['both', 'one']);
  expect(await names('(is_installed: false)')).toEqual(['lost']);
  expect(await names('(is_installed: null)')).toEqual(['both', 'lost', 'one']);
});

test('which agents is for superadmins where agents are hidden', async () => {
  const { ctx } = manager;
  const hiding = { ...ctx, settings: { ...ctx.settings, hideAgents: true } };
  const [seen] = await list('(is_installed: true)', { ctx: hiding });
  expect(seen).toEqual({ name: 'both', installed: true, installed_agents: null });
  const [all] = await list('(is_installed: true)', { ctx: hiding, role: 'superadmin' });
  expect(all.installed_agents).toEqual(['i-a', 'i-b']);
});
