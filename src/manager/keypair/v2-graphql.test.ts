/** Keypairs through the newer schema: one's own, and everybody's for superadmins. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as v from 'valibot';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { generateSshKeypair } from '../auth/ssh-keypair.ts';
import { globalId } from '../graphql/global-id.ts';

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
  // The accounts of the tests have no main key yet, as older databases.
  await tenants.db.sql`UPDATE users u SET main_access_key = k.access_key FROM keypairs k
    WHERE k."user" = u.uuid`;
});
afterAll(() => tenants.close());

type Who = Parameters<Tenants['ask']>[0];

async function data(who: Who, query: string, variables?: unknown) {
  const answer = await tenants.ask(who, query, variables);
  expect(answer.errors).toBeNull();
  return answer.data ?? {};
}

async function refusal(who: Who, query: string, variables?: unknown): Promise<string> {
  const { errors } = await tenants.ask(who, query, variables);
  return errors?.[0]?.message ?? 'nobody was refused';
}

const issued = v.object({
  keypair: v.object({ accessKey: v.string(), isActive: v.boolean(), isAdmin: v.boolean() }),
  secretKey: v.string(),
});

async function issue(who: Who) {
  const query = 'mutation { issueMyKeypair { keypair { accessKey isActive isAdmin } secretKey } }';
  return v.parse(issued, (await data(who, query)).issueMyKeypair);
}

async function ownKeys(who: Who, rest = ''): Promise<string[]> {
  const query = `{ myKeypairs(orderBy: [{ field: CREATED_AT, direction: ASC }] ${rest}) {
    count edges { node { accessKey } } } }`;
  const { edges } = v.parse(
    v.object({ edges: v.array(v.object({ node: v.object({ accessKey: v.string() }) })) }),
    (await data(who, query)).myKeypairs,
  );
  return edges.map(({ node }) => node.accessKey);
}

const revoke = (accessKey: string) =>
  `mutation { revokeMyKeypair(input: { accessKey: "${accessKey}" }) { success } }`;
const choose = (accessKey: string) =>
  `mutation { switchMyMainAccessKey(input: { accessKey: "${accessKey}" }) { success } }`;
const turn = (accessKey: string, isActive: boolean) =>
  `mutation { updateMyKeypair(input: { accessKey: "${accessKey}", isActive: ${isActive} }) {
    keypair { isActive } } }`;

test('people issue, use, switch and revoke their own', async () => {
  const { user } = tenants.people;
  expect(await ownKeys('user')).toEqual([user.accessKey]);
  const { keypair, secretKey } = await issue('user');
  expect(keypair).toMatchObject({ isActive: true, isAdmin: false });
  const fresh = { ...user, accessKey: keypair.accessKey, secretKey };
  expect(await data(fresh, '{ myUserV2 { basicInfo { email } } }')).toEqual({
    myUserV2: { basicInfo: { email: user.email } },
  });
  expect(await ownKeys('user')).toEqual([user.accessKey, keypair.accessKey]);
  const filter = `, filter: { accessKey: { equals: "${keypair.accessKey}" } }`;
  expect(await ownKeys('user', filter)).toEqual([keypair.accessKey]);

  // The main key can neither be revoked nor switched off.
  expect(await refusal('user', revoke(user.accessKey))).toContain('main access key');
  expect(await refusal('user', turn(user.accessKey, false))).toContain('main access key');
  expect(await data('user', turn(keypair.accessKey, false))).toEqual({
    updateMyKeypair: { keypair: { isActive: false } },
  });
  await expect(tenants.ask(fresh, '{ myUserV2 { id } }')).rejects.toThrow();
  expect(await refusal('user', choose(keypair.accessKey))).toContain('switched off');
  await data('user', turn(keypair.accessKey, true));
  expect(await data('user', choose(keypair.accessKey))).toEqual({
    switchMyMainAccessKey: { success: true },
  });
  expect(await refusal('user', revoke(keypair.accessKey))).toContain('main access key');
  await data('user', choose(user.accessKey));
  expect(await data('user', revoke(keypair.accessKey))).toEqual({
    revokeMyKeypair: { success: true },
  });
  await expect(tenants.ask(fresh, '{ myUserV2 { id } }')).rejects.toThrow();
  const records = await tenants.db.sql`
    SELECT operation FROM audit_logs WHERE entity_type = 'keypair' AND entity_id = ${keypair.accessKey}
     ORDER BY created_at`;
  expect(records.map(({ operation }) => operation)).toEqual([
    'create',
    'update',
    'update',
    'delete',
  ]);
});

test("nobody touches another's, and is told as if there were none", async () => {
  const before = await tenants.db.sql`SELECT * FROM keypairs ORDER BY access_key`;
  const { otherUser, superadmin } = tenants.people;
  for (const who of ['user', 'admin', 'monitor', 'otherAdmin', 'superadmin'] as const) {
    for (const key of [otherUser.accessKey, 'AKIANOBODY']) {
      for (const query of [revoke(key), choose(key), turn(key, false)]) {
        expect(await refusal(who, query)).toContain('You have no keypair');
      }
    }
  }
  expect(await tenants.db.sql`SELECT * FROM keypairs ORDER BY access_key`).toEqual(before);
  expect(await ownKeys('superadmin')).toEqual([superadmin.accessKey]);
});

test('an issued keypair has the rights of the main one, and there is a bound', async () => {
  const { monitor } = tenants.people;
  const { sql } = tenants.db;
  await sql`UPDATE keypairs SET is_admin = true, rate_limit = 77 WHERE access_key = ${monitor.accessKey}`;
  const { keypair } = await issue('monitor');
  const [row] = await sql`SELECT * FROM keypairs WHERE access_key = ${keypair.accessKey}`;
  expect(row).toMatchObject({ is_admin: true, rate_limit: 77, user: monitor.userId });
  await sql`INSERT INTO keypairs (user_id, access_key, secret_key, is_active, is_admin, rate_limit,
      "user", resource_policy, dotfiles, bootstrap_script)
    SELECT ${monitor.email}, 'AKIAMANY' || n, 'x', true, false, 1, ${monitor.userId}, 'default',
      '\\x90', '' FROM generate_series(1, 98) n`;
  expect(await refusal('monitor', 'mutation { issueMyKeypair { secretKey } }')).toContain(
    '100 keypairs',
  );
});

test('superadmins list, make, change and remove any', async () => {
  const { otherUser } = tenants.people;
  const fields = `id accessKey isActive isAdmin createdAt modifiedAt lastUsed rateLimit numQueries
    resourcePolicy sshPublicKey userId user { basicInfo { email } }`;
  const made = await data(
    'superadmin',
    `mutation { adminCreateKeypairV2(input: { userId: "${otherUser.userId}", resourcePolicy: "default" }) {
      keypair { ${fields} } secretKey } }`,
  );
  const { accessKey } = v.parse(
    v.object({ keypair: v.object({ accessKey: v.string() }), secretKey: v.string() }),
    made.adminCreateKeypairV2,
  ).keypair;
  expect(made).toMatchObject({
    adminCreateKeypairV2: {
      keypair: {
        id: globalId('KeyPairV2', accessKey),
        rateLimit: 30000,
        numQueries: 0,
        userId: otherUser.userId,
        user: { basicInfo: { email: otherUser.email } },
      },
    },
  });
  expect(
    await data(
      'superadmin',
      `mutation { adminUpdateKeypairV2(input: { accessKey: "${accessKey}", rateLimit: 5, isActive: false }) {
        keypair { rateLimit isActive isAdmin } } }`,
    ),
  ).toEqual({
    adminUpdateKeypairV2: { keypair: { rateLimit: 5, isActive: false, isAdmin: false } },
  });
  const ofUser = `filter: { userId: { equals: "${otherUser.userId}" } }`;
  for (const field of ['CREATED_AT', 'LAST_USED', 'ACCESS_KEY', 'IS_ACTIVE', 'RESOURCE_POLICY']) {
    const query = `{ adminKeypairsV2(${ofUser}, orderBy: [{ field: ${field} }]) { count } }`;
    expect(await data('superadmin', query)).toEqual({ adminKeypairsV2: { count: 2 } });
  }
  expect(await refusal('admin', '{ adminKeypairsV2 { count } }')).toContain(
    'Admin exclusive access',
  );
  expect(await refusal('user', `{ adminKeypairV2(accessKey: "${accessKey}") { id } }`)).toContain(
    'Admin exclusive access',
  );
  const node = `{ node(id: "${globalId('KeyPairV2', accessKey)}") { ... on KeyPairV2 { isActive } } }`;
  expect(await data('otherUser', node)).toEqual({ node: { isActive: false } });
  expect(await data('user', node)).toEqual({ node: null });

  const { publicKey, privateKey } = await generateSshKeypair();
  const register =
    'mutation ($input: AdminRegisterSSHKeypairInput!) { adminRegisterSshKeypairV2(input: $input) { accessKey } }';
  const pair = { accessKey, sshPublicKey: publicKey, sshPrivateKey: privateKey };
  expect(await data('superadmin', register, { input: pair })).toMatchObject({
    adminRegisterSshKeypairV2: { accessKey },
  });
  const mixed = { ...pair, sshPublicKey: (await generateSshKeypair()).publicKey };
  expect(await refusal('superadmin', register, { input: mixed })).not.toContain('nobody');
  const ssh = `{ adminSshKeypairV2(accessKey: "${accessKey}") { keypair { sshPublicKey } } }`;
  expect(await data('superadmin', ssh)).toEqual({
    adminSshKeypairV2: { keypair: { sshPublicKey: publicKey } },
  });
  await data(
    'superadmin',
    `mutation { adminDeleteSshKeypairV2(accessKey: "${accessKey}") { accessKey } }`,
  );
  expect(await data('superadmin', ssh)).toEqual({
    adminSshKeypairV2: { keypair: { sshPublicKey: null } },
  });
  const remove = `mutation { adminDeleteKeypairV2(accessKey: "${accessKey}") { accessKey } }`;
  expect(await data('superadmin', remove)).toEqual({ adminDeleteKeypairV2: { accessKey } });
  expect(await data('superadmin', `{ adminKeypairV2(accessKey: "${accessKey}") { id } }`)).toEqual({
    adminKeypairV2: null,
  });
});
