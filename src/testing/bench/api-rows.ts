/** Databases of any size for benchmarks of the API: users, each with a keypair and a session. */
import type { Sql } from 'postgres';
import { insertAgent, insertResourceGroup } from '../sessions.ts';

export interface BenchAccount {
  readonly accessKey: string;
  readonly secretKey: string;
}

/** The first user, and a superadmin; neither has a rate limit. */
export interface BenchAccounts {
  readonly user: BenchAccount;
  readonly superadmin: BenchAccount;
}

const SECRET = 'b'.repeat(40);
const keyOf = (index: number) => `AKIABENCH${String(index).padStart(11, '0')}`;

/** What the rows refer to, and the superadmin. */
export async function prepareRows(sql: Sql): Promise<BenchAccounts> {
  await sql`INSERT INTO domains (name, is_active, total_resource_slots, allowed_vfolder_hosts,
      allowed_docker_registries, dotfiles)
    VALUES ('default', true, '{}', '{}', '{local}', '\\x90')`;
  await sql`INSERT INTO keypair_resource_policies (name, default_for_unspecified,
      total_resource_slots, max_concurrent_sessions, max_containers_per_session, idle_timeout,
      allowed_vfolder_hosts)
    VALUES ('default', 'UNLIMITED', '{}', 30, 1, 3600, '{}')`;
  await sql`INSERT INTO user_resource_policies (name, max_vfolder_count, max_quota_scope_size,
      max_session_count_per_model_session, max_customized_image_count)
    VALUES ('default', 0, -1, 10, 3)`;
  await sql`INSERT INTO project_resource_policies (name, max_vfolder_count, max_quota_scope_size,
      max_network_count) VALUES ('default', 0, -1, -1)`;
  await insertResourceGroup(sql, 'default');
  await insertAgent(sql, 'i-bench');
  await sql`INSERT INTO groups (name, is_active, domain_name, total_resource_slots,
      allowed_vfolder_hosts, dotfiles, resource_policy, type)
    SELECT 'project-' || i, true, 'default', '{}', '{}', '\\x90', 'default', 'general'
      FROM generate_series(1, 50) AS i`;
  await insertUsers(sql, 0, 0, 'superadmin');
  return {
    superadmin: { accessKey: keyOf(0), secretKey: SECRET },
    user: { accessKey: keyOf(1), secretKey: SECRET },
  };
}

async function insertUsers(sql: Sql, from: number, to: number, role: string): Promise<void> {
  await sql`INSERT INTO users (username, email, status, domain_name, role, resource_policy,
      sudo_session_enabled)
    SELECT 'user-' || i, 'user-' || i || '@bench.example', 'active', 'default', ${role}, 'default',
           false
      FROM generate_series(${from}::int, ${to}::int) AS i`;
  await sql`INSERT INTO keypairs (user_id, access_key, secret_key, is_active, is_admin, rate_limit,
      "user", resource_policy, dotfiles, bootstrap_script)
    SELECT u.email, 'AKIABENCH' || lpad(i::text, 11, '0'), ${SECRET}, true, ${role !== 'user'}, null,
           u.uuid, 'default', '\\x90', ''
      FROM generate_series(${from}::int, ${to}::int) AS i
      JOIN users u ON u.email = 'user-' || i || '@bench.example'`;
}

/** Adds users numbered `from` to `to`; two of three have a running session, the others had one. */
export async function addRows(sql: Sql, from: number, to: number): Promise<void> {
  await insertUsers(sql, from, to, 'user');
  await sql`INSERT INTO association_groups_users (user_id, group_id)
    SELECT u.uuid, g.id
      FROM generate_series(${from}::int, ${to}::int) AS i
      JOIN users u ON u.email = 'user-' || i || '@bench.example'
      JOIN groups g ON g.name = 'project-' || (1 + i % 50)`;
  await sql`INSERT INTO sessions (name, session_type, priority, cluster_mode, cluster_size, options,
      agent_ids, scaling_group_name, domain_name, group_id, user_uuid, access_key, images,
      occupying_slots, requested_slots, environ, use_host_network, status, status_history,
      num_queries, created_at)
    SELECT 'job-' || i, 'INTERACTIVE', i % 100, 'single-node', 1, '{}', '{i-bench}', 'default',
           'default', g.id, u.uuid, k.access_key, '{local/python:3.11}', '{"cpu": "1"}',
           '{"cpu": "1"}', '{}', false,
           CASE i % 3 WHEN 0 THEN 'TERMINATED' ELSE 'RUNNING' END, '{}', 0,
           now() - i * interval '1 second'
      FROM generate_series(${from}::int, ${to}::int) AS i
      JOIN users u ON u.email = 'user-' || i || '@bench.example'
      JOIN keypairs k ON k."user" = u.uuid
      JOIN groups g ON g.name = 'project-' || (1 + i % 50)`;
  await sql`INSERT INTO kernels (session_id, session_name, session_type, cluster_mode, cluster_size,
      cluster_role, cluster_idx, local_rank, cluster_hostname, scaling_group, agent, agent_addr,
      domain_name, group_id, user_uuid, access_key, image, architecture, registry, container_id,
      occupied_slots, requested_slots, occupied_shares, environ, resource_opts, repl_in_port,
      repl_out_port, stdin_port, stdout_port, service_ports, use_host_network, status,
      status_history)
    SELECT s.id, s.name, 'INTERACTIVE', 'single-node', 1, 'main', 1, 0, 'main1', 'default', 'i-bench',
           'local:', 'default', s.group_id, s.user_uuid, s.access_key, 'local/python:3.11', 'x86_64',
           'local', 'c0ffee', '{"cpu": "1"}', '{"cpu": "1"}', '{}', '{}', '{}', 0, 0, 0, 0, '[]',
           false, s.status, '{}'
      FROM sessions s
     WHERE NOT EXISTS (SELECT FROM kernels k WHERE k.session_id = s.id)`;
  // As the server does by itself after a while: counts then read nothing but an index.
  await sql`VACUUM ANALYZE`;
}
