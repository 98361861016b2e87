/**
 * A manager with the whole GraphQL schema and two tenants: the domain `default` with the three usual
 * accounts and a monitor, and the domain `elsewhere` with an administrator and a user of its own.
 */
import * as v from 'valibot';
import { systemRandom } from '../common/random.ts';
import { provideSystemRoles } from '../manager/authz/system-roles.ts';
import { createGraphqlEngine, type GraphqlEngine } from '../manager/graphql/engine.ts';
import { featureRoutes, graphqlModules } from '../manager/main.ts';
import { signingClient, type TestAccount, type TestServer, testManagerServer } from './manager.ts';
import type { TestDatabase } from './postgres.ts';

const tenantRoles = ['superadmin', 'admin', 'user', 'monitor', 'otherAdmin', 'otherUser'] as const;
type TenantRole = (typeof tenantRoles)[number];

async function insertAccount(
  { sql }: TestDatabase,
  domain: string,
  name: string,
  role: string,
): Promise<TestAccount> {
  const email = `${name}@test.example`;
  const userId = systemRandom.uuid();
  const accessKey = `AKIATEST${name.toUpperCase()}`;
  const secretKey = systemRandom.uuid().replaceAll('-', '');
  await sql`INSERT INTO users (uuid, username, email, status, domain_name, role, resource_policy,
      sudo_session_enabled)
    VALUES (${userId}, ${name}, ${email}, 'active', ${domain}, ${role}, 'default', false)`;
  await sql`INSERT INTO keypairs (user_id, access_key, secret_key, is_active, is_admin, rate_limit,
      "user", resource_policy, dotfiles, bootstrap_script)
    VALUES (${email}, ${accessKey}, ${secretKey}, true, ${role === 'admin'}, 10000, ${userId},
      'default', '\\x90', '')`;
  return { accessKey, secretKey, email, userId };
}

const answer = v.object({
  data: v.nullable(v.record(v.string(), v.unknown())),
  errors: v.nullable(v.array(v.looseObject({ message: v.string() }))),
});

export interface Tenants extends TestServer {
  readonly people: Readonly<Record<TenantRole, TestAccount>>;
  /** A project of each domain; the user of that domain is a member of it. */
  readonly projects: { readonly default: string; readonly elsewhere: string };
  /** Sends a document as one of the people. */
  ask(
    who: TenantRole | TestAccount,
    query: string,
    variables?: unknown,
  ): Promise<v.InferOutput<typeof answer>>;
  /**
   * For each role in one word what became of a document's first field: `data`, `null`, `refused`
   * (`ok` is false) or `error`.
   */
  outcomes(query: string, variables?: unknown): Promise<Record<string, string>>;
}

const payload = v.object({ ok: v.boolean() });

function outcomeOf({ data, errors }: v.InferOutput<typeof answer>): string {
  if (errors !== null) return 'error';
  const [first] = Object.values(data ?? {});
  if (first === null || first === undefined) return 'null';
  const parsed = v.safeParse(payload, first);
  return parsed.success && !parsed.output.ok ? 'refused' : 'data';
}

/** Starts it, with all operations of the product. */
export async function testTenants(
  options: Pick<
    NonNullable<Parameters<typeof testManagerServer>[0]>,
    'clock' | 'log' | 'settings'
  > = {},
): Promise<Tenants> {
  let engine: GraphqlEngine | undefined;
  const server = await testManagerServer({
    ...options,
    routes: async (ctx) => {
      engine = await createGraphqlEngine(ctx, graphqlModules);
      return featureRoutes(ctx, engine);
    },
  });
  const { sql } = server.db;
  await sql`INSERT INTO domains (name, is_active, total_resource_slots, allowed_vfolder_hosts,
      allowed_docker_registries, dotfiles)
    VALUES ('elsewhere', true, '{}', '{}', '{}', '\\x90')`;
  await sql`INSERT INTO project_resource_policies (name, max_vfolder_count, max_quota_scope_size,
      max_network_count) VALUES ('default', 0, -1, -1)`;
  const people = {
    ...server.accounts,
    monitor: await insertAccount(server.db, 'default', 'monitor', 'monitor'),
    otherAdmin: await insertAccount(server.db, 'elsewhere', 'otherAdmin', 'admin'),
    otherUser: await insertAccount(server.db, 'elsewhere', 'otherUser', 'user'),
  };
  const project = async (domain: string, member: string): Promise<string> => {
    const id = systemRandom.uuid();
    await sql`INSERT INTO groups (id, name, is_active, domain_name, total_resource_slots,
        allowed_vfolder_hosts, dotfiles, resource_policy, type)
      VALUES (${id}, 'work', true, ${domain}, '{}', '{}', '\\x90', 'default', 'general')`;
    await sql`INSERT INTO association_groups_users (user_id, group_id) VALUES (${member}, ${id})`;
    return id;
  };
  const projects = {
    default: await project('default', people.user.userId),
    elsewhere: await project('elsewhere', people.otherUser.userId),
  };
  await provideSystemRoles(sql);
  const ask: Tenants['ask'] = async (who, query, variables) => {
    const account = typeof who === 'string' ? people[who] : who;
    const client = signingClient(server.url, account);
    return v.parse(answer, await (await client('POST', '/admin/gql', { query, variables })).json());
  };
  return {
    ...server,
    people,
    projects,
    ask,
    async outcomes(query, variables) {
      const out: Record<string, string> = {};
      for (const role of tenantRoles) out[role] = outcomeOf(await ask(role, query, variables));
      return out;
    },
    close: async () => {
      await engine?.close();
      await server.close();
    },
  };
}
