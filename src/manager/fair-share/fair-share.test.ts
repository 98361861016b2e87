/** Fair shares and usage per day on real rows: added up, calculated, listed, changed, and for whom. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { isoTime } from '../../common/time.ts';
import { insertAgent, insertResourceGroup, insertSession } from '../../testing/sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { fairSharePass } from './upkeep.ts';

let tenants: Tenants;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** In the middle of a UTC day, so that a day's borders are far; changes count by the real time. */
const NOW = new Date(Math.floor(Date.now() / DAY_MS) * DAY_MS - DAY_MS / 2);
const dayOf = (time: Date) => time.toISOString().slice(0, 10);
const hoursAgo = (hours: number) => new Date(NOW.getTime() - hours * HOUR_MS);
const never = new AbortController().signal;

const pass = () =>
  fairSharePass({ sql: tenants.ctx.sql, clock: { ...tenants.ctx.clock, now: () => NOW } }, never);

/** A kernel that has held cores from one time to another; null: it still does. */
async function used(owner: 'user' | 'otherUser', cpu: number, from: Date, to: Date | null) {
  const { sql } = tenants.db;
  const home = owner === 'user' ? 'default' : 'elsewhere';
  const { kernelId } = await insertSession(sql, {
    ...{ agentId: 'i-fair', name: `s-${crypto.randomUUID().slice(0, 8)}`, domainName: home },
    ...{ projectId: tenants.projects[home], owner: tenants.people[owner] },
  });
  await sql`DELETE FROM resource_allocations WHERE kernel_id = ${kernelId}`;
  await sql`INSERT INTO resource_allocations (kernel_id, slot_name, requested, used, used_at, free_at)
    VALUES (${kernelId}, 'cpu', ${cpu}, ${cpu}, ${from}, ${to})`;
}

beforeAll(async () => {
  tenants = await testTenants();
  const { sql } = tenants.db;
  await insertResourceGroup(sql, 'default');
  await insertAgent(sql, 'i-fair');
  await sql`UPDATE agent_resources SET capacity = 4 WHERE agent_id = 'i-fair' AND slot_name = 'cpu'`;
  await sql`INSERT INTO sgroups_for_domains (scaling_group, domain)
    VALUES ('default', 'default'), ('default', 'elsewhere') ON CONFLICT DO NOTHING`;
  // Two cores from 18:00 of the day before until 06:00 of this one.
  await used('user', 2, hoursAgo(18), hoursAgo(6));
  // One core since an hour ago.
  await used('otherUser', 1, hoursAgo(1), null);
  await pass();
});
afterAll(() => tenants.close());

const connection = v.object({
  count: v.number(),
  edges: v.array(v.object({ node: v.looseObject({}) })),
});
async function nodes(field: string, selection: string): Promise<Record<string, unknown>[]> {
  const document = `{ ${field} { count edges { node { ${selection} } } } }`;
  const { data, errors } = await tenants.ask('superadmin', document);
  expect(errors).toBeNull();
  const listed = v.parse(connection, Object.values(data ?? {})[0]);
  expect(listed.count).toBe(listed.edges.length);
  return listed.edges.map(({ node }) => node);
}

describe('usage per day', () => {
  const bucketsOf = async (owner: string) => {
    const buckets = 'usageBuckets(scope: {resourceGroupName: "default"})';
    const document = `{ domainV2(domainName: "${owner}") { ${buckets} { count edges { node {
      metadata { periodStart } resourceUsage { entries { resourceType quantity } }
      averageDailyUsage { entries { quantity } } } } } } }`;
    const { data } = await tenants.ask('superadmin', document);
    return v.parse(v.object({ usageBuckets: connection }), data?.domainV2).usageBuckets.edges;
  };

  test('what was held over midnight counts for both days, what is held until now', async () => {
    const half = { entries: [{ resourceType: 'cpu', quantity: String(2 * 6 * 3600) }] };
    expect(await bucketsOf('default')).toMatchObject([
      { node: { metadata: { periodStart: dayOf(NOW) }, resourceUsage: half } },
      {
        node: {
          metadata: { periodStart: dayOf(hoursAgo(24)) },
          resourceUsage: half,
          averageDailyUsage: { entries: [{ quantity: '0.5' }] },
        },
      },
    ]);
    expect(await bucketsOf('elsewhere')).toMatchObject([
      { node: { resourceUsage: { entries: [{ quantity: '3600' }] } } },
    ]);
  });

  test('adding up again changes nothing; more usage changes the open day', async () => {
    const before = await bucketsOf('default');
    await pass();
    expect(await bucketsOf('default')).toEqual(before);
    await used('user', 1, hoursAgo(2), hoursAgo(1));
    await pass();
    expect(await bucketsOf('default')).toMatchObject([
      { node: { resourceUsage: { entries: [{ quantity: String(2 * 6 * 3600 + 3600) }] } } },
      {},
    ]);
  });

  test('a user and a project see it in their own node; only superadmins may ask', async () => {
    const { userId } = tenants.people.user;
    const scope = `{resourceGroupName: "default", projectId: "${tenants.projects.default}"}`;
    const document = `{ adminUsersV2(filter: {uuid: {equals: "${userId}"}}) { edges { node {
      usageBuckets(scope: ${scope}) { count } } } } }`;
    const { data } = await tenants.ask('superadmin', document);
    expect(data?.adminUsersV2).toEqual({ edges: [{ node: { usageBuckets: { count: 2 } } }] });
    const own = `{ domainV2(domainName: "default") {
      usageBuckets(scope: {resourceGroupName: "default"}) { count } } }`;
    const refused = await tenants.ask('user', own);
    expect(refused.errors?.[0]?.message).toContain('Admin exclusive access');
  });
});

describe('shares', () => {
  const selection = `domainName spec { weight usesDefault } calculationSnapshot { fairShareFactor
    normalizedUsage lookbackEnd totalDecayedUsage { entries { resourceType quantity } } }`;
  const domains = () =>
    nodes('rgDomainFairShares(scope: {resourceGroupName: "default"})', selection);

  test('who has used less comes first; who has used nothing is there', async () => {
    const listed = await domains();
    expect(listed.map(({ domainName }) => domainName)).toEqual(['elsewhere', 'default']);
    expect(listed[0]).toMatchObject({
      spec: { weight: '1', usesDefault: true },
      calculationSnapshot: { lookbackEnd: dayOf(NOW) },
    });
    const { default: project } = tenants.projects;
    const users = await nodes(
      `rgUserFairShares(scope: {resourceGroupName: "default", domainName: "default",
        projectId: "${project}"})`,
      'userUuid user { basicInfo { email } } project { id } domain { id } resourceGroup { name }',
    );
    expect(users).toEqual([
      {
        userUuid: tenants.people.user.userId,
        user: { basicInfo: { email: tenants.people.user.email } },
        project: { id: btoa(`ProjectV2:${project}`) },
        domain: { id: btoa('DomainV2:default') },
        resourceGroup: { name: 'default' },
      },
    ]);
  });

  test('filters and orders', async () => {
    const scope = 'scope: {resourceGroupName: "default"}';
    const filter = 'filter: {domainName: {contains: "else"}, domain: {isActive: true}}';
    expect(await nodes(`rgDomainFairShares(${scope}, ${filter})`, 'domainName')).toHaveLength(1);
    const order = 'orderBy: [{field: DOMAIN_NAME, direction: ASC}], limit: 5';
    const sorted = await nodes(`rgDomainFairShares(${scope}, ${order})`, 'domainName');
    expect(sorted.map(({ domainName }) => domainName)).toEqual(['default', 'elsewhere']);
  });

  test('a weight counts at once, is recorded, and can be given up', async () => {
    const factorOf = async (domain: string) => {
      const found = (await domains()).find(({ domainName }) => domainName === domain);
      const shown = v.object({ calculationSnapshot: v.object({ fairShareFactor: v.string() }) });
      return Number(v.parse(shown, found).calculationSnapshot.fairShareFactor);
    };
    const set = (weight: string) =>
      tenants.ask(
        'superadmin',
        `mutation { adminUpsertDomainFairShareWeight(input: {resourceGroupName: "default",
          domainName: "default", weight: ${weight}}) { domainFairShare { spec { weight usesDefault } } } }`,
      );
    await set('null');
    const before = await factorOf('default');
    const { data, errors } = await set('"4.5"');
    expect(errors).toBeNull();
    expect(data?.adminUpsertDomainFairShareWeight).toEqual({
      domainFairShare: { spec: { weight: '4.5', usesDefault: false } },
    });
    expect(await factorOf('default')).toBeGreaterThan(before);
    const [log] = await tenants.db.sql`SELECT before, after FROM audit_logs
      WHERE entity_type = 'domain:fair_share' ORDER BY created_at DESC LIMIT 1`;
    expect(log).toEqual({ before: { weight: null }, after: { weight: '4.5' } });
    await set('null');
    expect(await factorOf('default')).toBe(before);
    for (const wrong of ['"-1"', '"1e9"', '"Infinity"']) {
      expect((await set(wrong)).errors).toHaveLength(1);
    }
  });

  test('a weight is kept for the day on which its owner may use the group', async () => {
    const { sql } = tenants.db;
    await sql`DELETE FROM sgroups_for_domains
               WHERE domain = 'elsewhere' AND scaling_group = 'default'`;
    try {
      const { data, errors } = await tenants.ask(
        'superadmin',
        `mutation { adminUpsertDomainFairShareWeight(input: {resourceGroupName: "default",
          domainName: "elsewhere", weight: 2}) { domainFairShare { domainName createdAt
            spec { weight usesDefault } calculationSnapshot { fairShareFactor } } } }`,
      );
      expect(errors).toBeNull();
      const [stored] = await sql`SELECT created_at, weight FROM domain_fair_shares
                                  WHERE domain_name = 'elsewhere' AND resource_group = 'default'`;
      expect(Number(stored?.weight)).toBe(2);
      expect(data?.adminUpsertDomainFairShareWeight).toMatchObject({
        domainFairShare: {
          domainName: 'elsewhere',
          spec: { usesDefault: false },
          createdAt: isoTime(v.parse(v.date(), stored?.created_at)),
        },
      });
      expect((await domains()).map(({ domainName }) => domainName)).toEqual(['default']);
    } finally {
      await sql`INSERT INTO sgroups_for_domains (domain, scaling_group)
                VALUES ('elsewhere', 'default')`;
    }
  });

  test('many at once, all or none', async () => {
    const { default: project, elsewhere } = tenants.projects;
    const set = (second: string) =>
      tenants.ask(
        'superadmin',
        `mutation { adminBulkUpsertProjectFairShareWeight(input: {resourceGroupName: "default",
          inputs: [{projectId: "${project}", domainName: "default", weight: "2"},
                   {projectId: "${elsewhere}", domainName: "${second}", weight: "3"}]}) { upsertedCount } }`,
      );
    expect((await set('default')).errors?.[0]?.message).toContain('There is no project');
    const shares = () =>
      nodes(
        'rgProjectFairShares(scope: {resourceGroupName: "default", domainName: "default"})',
        'spec { weight }',
      );
    expect(await shares()).toContainEqual({ spec: { weight: '1' } });
    expect((await set('elsewhere')).data).toEqual({
      adminBulkUpsertProjectFairShareWeight: { upsertedCount: 2 },
    });
    expect(await shares()).toContainEqual({ spec: { weight: '2' } });
  });

  test("a group's rules", async () => {
    const set = (input: string) =>
      tenants.ask(
        'superadmin',
        `mutation { adminUpdateResourceGroupFairShareSpec(input: {resourceGroupName: "default",
          ${input}}) { resourceGroup { fairShareSpec { halfLifeDays lookbackDays defaultWeight
          resourceWeights { resourceType weight usesDefault } } } } }`,
      );
    const { data } = await set(
      'halfLifeDays: 3, resourceWeights: [{resourceType: "cpu", weight: "2"}]',
    );
    expect(data?.adminUpdateResourceGroupFairShareSpec).toMatchObject({
      resourceGroup: {
        fairShareSpec: {
          halfLifeDays: 3,
          lookbackDays: 28,
          defaultWeight: '1',
          resourceWeights: expect.arrayContaining([
            { resourceType: 'cpu', weight: '2', usesDefault: false },
          ]),
        },
      },
    });
    expect((await set('halfLifeDays: 0')).errors?.[0]?.message).toContain('from 1 to 365');
    const elsewhere = await tenants.ask(
      'superadmin',
      `mutation { adminUpdateResourceGroupFairShareSpec(input: {resourceGroupName: "none"}) {
        resourceGroup { name } } }`,
    );
    expect(elsewhere.errors?.[0]?.message).toContain("no resource group 'none'");
  });

  test('are for superadmins', async () => {
    for (const field of [
      'rgDomainFairShares(scope: {resourceGroupName: "default"}) { count }',
      'rgProjectFairShares(scope: {resourceGroupName: "default", domainName: "default"}) { count }',
    ]) {
      expect(await tenants.outcomes(`{ ${field} }`)).toEqual({
        ...{ superadmin: 'data', admin: 'error', user: 'error', monitor: 'error' },
        ...{ otherAdmin: 'error', otherUser: 'error' },
      });
    }
  });
});
