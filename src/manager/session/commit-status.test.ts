/** `commit_status` of sessions in GraphQL: what their agents say, asked once, for those who see them. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import { ScriptedAgent } from '../../testing/scripted-agent.ts';
import type { InsertedSession } from '../../testing/sessions.ts';
import { tenantSessions } from '../../testing/tenant-sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

let tenants: Tenants;
let agent: ScriptedAgent;
let timesAsked = 0;
let mine: InsertedSession;
let other: InsertedSession;

beforeAll(async () => {
  tenants = await testTenants();
  const sessions = await tenantSessions(tenants);
  mine = await sessions.insert('user', 'mine');
  other = await sessions.insert('user', 'other');
  await sessions.insert('user', 'waiting', { status: 'PENDING' });
  await sessions.insert('otherUser', 'abroad');
});
beforeEach(() => {
  agent = new ScriptedAgent();
  timesAsked = 0;
  const client: typeof agent.client = {
    ...agent.client,
    ongoingCommits: (params) => {
      timesAsked += 1;
      return agent.client.ongoingCommits(params);
    },
  };
  Object.assign(tenants.ctx, { agents: { client: () => client } });
  agent.commits.set(mine.kernelId, { state: 'ongoing', message: 'Committing', image: null });
  agent.commits.set(other.kernelId, { state: 'done', message: '', image: null });
});
afterAll(() => tenants.close());

async function ask(who: Parameters<Tenants['ask']>[0], query: string) {
  const answer = await tenants.ask(who, query);
  expect(answer.errors).toBeNull();
  return JSON.parse(JSON.stringify(answer.data ?? {}));
}

async function statuses(who: Parameters<Tenants['ask']>[0]) {
  const query = `{ compute_session_list(limit: 10, offset: 0) { items { name commit_status } } }`;
  const { compute_session_list: list } = await ask(who, query);
  type Item = { name: string; commit_status: string | null };
  return Object.fromEntries(list.items.map((item: Item) => [item.name, item.commit_status]));
}

test('it is ongoing while a commit is; an agent is asked once for a whole list', async () => {
  const own = { mine: 'ongoing', other: 'ready', waiting: 'ready' };
  expect(await statuses('user')).toEqual(own);
  expect(timesAsked).toBe(1);
  expect(await statuses('superadmin')).toEqual({ ...own, abroad: 'ready' });
  expect(await statuses('otherUser')).toEqual({ abroad: 'ready' });
  agent.commits.set(mine.kernelId, { state: 'failed', message: 'no space', image: null });
  expect(await statuses('user')).toEqual({ ...own, mine: 'ready' });
});

test('nodes say the same', async () => {
  const query = '{ compute_session_nodes { edges { node { name commit_status } } } }';
  const { compute_session_nodes: nodes } = await ask('user', query);
  expect(nodes.edges).toContainEqual({ node: { name: 'mine', commit_status: 'ongoing' } });
  expect(nodes.edges).toContainEqual({ node: { name: 'other', commit_status: 'ready' } });
  const { compute_session_nodes: others } = await ask('otherUser', query);
  expect(others.edges).toEqual([{ node: { name: 'abroad', commit_status: 'ready' } }]);
  expect(timesAsked).toBe(2);
});

test('while its agent is away nobody knows; what does not run is not being committed', async () => {
  agent.away = true;
  expect(await statuses('user')).toEqual({ mine: null, other: null, waiting: 'ready' });
});
