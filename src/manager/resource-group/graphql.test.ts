/** Resource groups through GraphQL: who may see and change them, and who may use them afterwards. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { allowedResourceGroups } from './service.ts';

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
});
afterAll(() => tenants.close());

async function admin(query: string, variables?: unknown) {
  const { data, errors } = await tenants.ask('superadmin', query, variables);
  expect(errors).toBeNull();
  return data ?? {};
}

const superadminOnly = (outcome: string, others: string) => ({
  superadmin: outcome,
  admin: others,
  user: others,
  monitor: others,
  otherAdmin: others,
  otherUser: others,
});

const create = (name: string, more = '') =>
  `mutation { create_scaling_group(name: "${name}", props: { driver: "static", scheduler: "fifo" ${more} }) {
    ok msg scaling_group { name is_active is_public driver_opts scheduler_opts use_host_network } } }`;

test('who reaches what', async () => {
  expect(await tenants.outcomes(create('first'))).toEqual(superadminOnly('data', 'refused'));
  const project = tenants.projects.default;
  for (const query of [
    'scaling_group(name: "first")',
    'scaling_groups',
    'scaling_groups_for_domain(domain: "default")',
    `scaling_groups_for_user_group(user_group: "${project}")`,
    'scaling_groups_for_keypair(access_key: "AKIATESTUSER")',
  ]) {
    expect(await tenants.outcomes(`{ ${query} { name wsproxy_api_token } }`)).toEqual(
      superadminOnly('data', 'error'),
    );
  }
  const owners = [
    ['domain', 'domain: "default"'],
    ['user_group', `user_group: "${project}"`],
    ['keypair', 'access_key: "AKIATESTUSER"'],
  ] as const;
  for (const [owner, named] of owners) {
    for (const [prefix, outcome] of [
      ['', 'data'],
      ['dis', 'data'],
    ] as const) {
      const one = `${prefix}associate_scaling_group_with_${owner}(scaling_group: "first", ${named})`;
      const more = `${prefix}associate_scaling_groups_with_${owner}(scaling_groups: ["first"], ${named})`;
      expect(await tenants.outcomes(`mutation { ${one} { ok msg } }`)).toEqual(
        superadminOnly(outcome, 'refused'),
      );
      if (prefix === '') {
        expect(await tenants.outcomes(`mutation { ${more} { ok msg } }`)).toEqual(
          superadminOnly(outcome, 'refused'),
        );
      }
    }
  }
  for (const mutation of [
    'modify_scaling_group(name: "first", props: { description: "x" })',
    'disassociate_scaling_groups_with_domain(scaling_groups: [], domain: "default")',
    `disassociate_scaling_groups_with_user_group(scaling_groups: [], user_group: "${project}")`,
    'disassociate_scaling_groups_with_keypair(scaling_groups: [], access_key: "x")',
    'disassociate_all_scaling_groups_with_domain(domain: "default")',
    `disassociate_all_scaling_groups_with_group(user_group: "${project}")`,
  ]) {
    expect(await tenants.outcomes(`mutation { ${mutation} { ok msg } }`)).toEqual(
      superadminOnly('data', 'refused'),
    );
  }
  expect(await tenants.outcomes('mutation { delete_scaling_group(name: "none") { ok } }')).toEqual(
    superadminOnly('error', 'refused'),
  );
});

test('options get their defaults, and wrong ones are refused', async () => {
  const made = await admin(
    create('options', ', scheduler_opts: "{\\"pending_timeout\\": 30}", is_public: false'),
  );
  expect(made).toMatchObject({
    create_scaling_group: { ok: true, msg: 'success', scaling_group: { is_public: false } },
  });
  const read = async () => {
    const { group } = await admin(
      '{ group: scaling_group(name: "options") { scheduler_opts scheduler wsproxy_addr } }',
    );
    return group;
  };
  expect(JSON.stringify(await read())).toContain('\\"pending_timeout\\":30');
  expect(JSON.stringify(await read())).toContain('allowed_session_types');
  for (const props of [
    'scheduler: "guess"',
    'scheduler_opts: "{\\"pending_timeout\\": \\"soon\\"}"',
    'driver_opts: "[]"',
  ]) {
    const { errors } = await tenants.ask(
      'superadmin',
      `mutation { modify_scaling_group(name: "options", props: { ${props} }) { ok } }`,
    );
    expect(errors?.[0]?.extensions).toEqual({ code: 'api_parsing_invalid-parameters' });
  }
  await admin(`mutation { modify_scaling_group(name: "options", props: {
    scheduler: "drf", wsproxy_addr: "http://proxy.example", wsproxy_api_token: "hush" }) { ok } }`);
  expect(await read()).toMatchObject({ scheduler: 'drf', wsproxy_addr: 'http://proxy.example' });
  const [record] = await tenants.db.sql`
    SELECT after FROM audit_logs WHERE entity_id = 'options' AND operation = 'update'`;
  expect(record?.after).toMatchObject({ scheduler: 'drf', wsproxy_api_token: '(hidden)' });
  const again = await tenants.ask('superadmin', create('options'));
  expect(again.errors?.[0]?.message).toContain('Duplicate Scaling Group');
});

test('associations decide who may use a group', async () => {
  const { sql } = tenants.db;
  for (const name of ['gold', 'silver', 'idle']) await admin(create(name));
  await admin(
    'mutation { modify_scaling_group(name: "idle", props: { is_active: false }) { ok } }',
  );
  const usable = async () => {
    const scope = {
      domain: 'default',
      projectId: tenants.projects.default,
      accessKey: 'AKIATESTUSER',
    };
    return (await allowedResourceGroups(sql, scope)).map(({ name }) => name);
  };
  expect(await usable()).toEqual([]);
  await admin(`mutation {
    a: associate_scaling_groups_with_domain(scaling_groups: ["gold", "idle"], domain: "default") { ok }
    b: associate_scaling_group_with_keypair(scaling_group: "silver", access_key: "AKIATESTUSER") { ok }
  }`);
  expect(await usable()).toEqual(['gold', 'silver']);
  expect(
    await admin(`{
      domain { scaling_groups }
      active: scaling_groups_for_domain(domain: "default", is_active: true) { name }
      all: scaling_groups_for_domain(domain: "default") { name }
      key: scaling_groups_for_keypair(access_key: "AKIATESTUSER") { name }
    }`),
  ).toEqual({
    domain: { scaling_groups: ['gold', 'idle'] },
    active: [{ name: 'gold' }],
    all: [{ name: 'gold' }, { name: 'idle' }],
    key: [{ name: 'silver' }],
  });
  await admin('mutation { disassociate_all_scaling_groups_with_domain(domain: "default") { ok } }');
  expect(await usable()).toEqual(['silver']);
  const unknown = await tenants.ask(
    'superadmin',
    'mutation { associate_scaling_group_with_domain(scaling_group: "none", domain: "default") { ok } }',
  );
  expect(unknown.errors?.[0]?.message).toContain('Integrity constraint');
  const records = await sql`SELECT operation FROM audit_logs
    WHERE entity_id = 'gold' AND operation LIKE '%associate' ORDER BY created_at`;
  expect(records.map((row) => row.operation)).toEqual(['associate', 'disassociate']);
});

test('what agents have is added up; a group with agents stays', async () => {
  const { sql } = tenants.db;
  await admin(create('agents'));
  await sql`INSERT INTO resource_slot_types (slot_name, slot_type)
    VALUES ('cpu', 'count'), ('mem', 'bytes') ON CONFLICT DO NOTHING`;
  for (const [id, status, cpu] of [
    ['i-1', 'ALIVE', 4],
    ['i-2', 'ALIVE', 8],
    ['i-3', 'LOST', 16],
  ] as const) {
    await sql`INSERT INTO agents (id, status, region, scaling_group, available_slots,
        occupied_slots, addr, version, architecture, compute_plugins)
      VALUES (${id}, ${status}, 'local', 'agents', '{}', '{}', '127.0.0.1:1', '1', 'x86_64', '{}')`;
    await sql`INSERT INTO agent_resources (agent_id, slot_name, capacity, reserved, used)
      VALUES (${id}, 'cpu', ${cpu}, 1, 0.5)`;
  }
  await tenants.ctx.config.put('config/plugins/accelerator/cuda/quantum_size', '0.1');
  expect(
    await admin(`{ scaling_group(name: "agents") {
      alive: agent_count_by_status
      lost: agent_count_by_status(status: "lost")
      agent_total_resource_slots_by_status
      resource_allocation_limit_for_sessions
      own_session_occupied_resource_slots
      accelerator_quantum_size } }`),
  ).toEqual({
    scaling_group: {
      alive: 2,
      lost: 1,
      agent_total_resource_slots_by_status:
        '{"occupied_slots":{"cpu":"3"},"available_slots":{"cpu":"12"}}',
      resource_allocation_limit_for_sessions: '{"cpu":"8"}',
      own_session_occupied_resource_slots: '{}',
      accelerator_quantum_size: 0.1,
    },
  });
  const remove = 'mutation { delete_scaling_group(name: "agents") { ok msg } }';
  const used = await tenants.ask('superadmin', remove);
  expect(used.errors?.[0]?.message).toContain('still referenced');
  await sql`DELETE FROM agents`;
  expect(await admin(remove)).toEqual({ delete_scaling_group: { ok: true, msg: 'success' } });
});

test('whoever may use a group sees its name and its limits, and no more', async () => {
  const { sql } = tenants.db;
  await sql`DELETE FROM sgroups_for_keypairs`;
  for (const name of ['open', 'hidden'])
    await admin(create(name, `, is_public: ${name === 'open'}`));
  const project = tenants.projects.default;
  await admin(`mutation { associate_scaling_groups_with_user_group(
    scaling_groups: ["open", "hidden"], user_group: "${project}") { ok } }`);
  const query = `{ groups: accessible_scaling_groups(project_id: "${project}") {
    name is_active wsproxy_api_token scheduler agent_count_by_status
    agent_total_resource_slots_by_status own_session_occupied_resource_slots
    resource_allocation_limit_for_sessions } }`;
  const usable = (name: string) => ({
    name,
    is_active: true,
    wsproxy_api_token: null,
    scheduler: null,
    agent_count_by_status: null,
    agent_total_resource_slots_by_status: null,
    own_session_occupied_resource_slots: '{}',
    resource_allocation_limit_for_sessions: '{}',
  });
  expect((await tenants.ask('user', query)).data).toEqual({ groups: [usable('open')] });
  expect((await tenants.ask('admin', query)).data).toEqual({
    groups: [usable('hidden'), usable('open')],
  });
  expect(await tenants.outcomes(query)).toEqual({
    superadmin: 'data',
    admin: 'data',
    user: 'data',
    monitor: 'error',
    otherAdmin: 'error',
    otherUser: 'error',
  });
});
