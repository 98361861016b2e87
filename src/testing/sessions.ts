/** Sessions, kernels and agents written straight into a test's database, in any state. */
import { randomUUID } from 'node:crypto';
import type { Sql } from 'postgres';
import type { TestAccount } from './manager.ts';

/** A resource group that takes interactive and batch sessions, and the slots cpu and mem. */
export async function insertResourceGroup(sql: Sql, name: string): Promise<void> {
  await sql`insert into scaling_groups (name, is_active, driver, driver_opts, scheduler, scheduler_opts,
      use_host_network, default_deployment_options, default_session_options)
    values (${name}, true, 'static', '{}', 'fifo', '{}', false, '{}', '{}') on conflict do nothing`;
  await sql`insert into resource_slot_types (slot_name, slot_type) values ('cpu', 'count'), ('mem', 'bytes')
    on conflict do nothing`;
}

/**
 * A project and a resource group `default` that sessions can belong to, and the slots cpu and mem.
 * @returns the project's id.
 */
export async function insertProject(sql: Sql, domainName = 'default'): Promise<string> {
  const id = randomUUID();
  await insertResourceGroup(sql, 'default');
  await sql`insert into project_resource_policies (name, max_vfolder_count, max_quota_scope_size,
      max_network_count)
    values ('default', 0, -1, 3) on conflict do nothing`;
  await sql`insert into groups (id, name, is_active, domain_name, total_resource_slots,
      allowed_vfolder_hosts, dotfiles, resource_policy, type)
    values (${id}, 'default', true, ${domainName}, '{}', '{}', ${new Uint8Array([0x90])}, 'default',
      'general')`;
  return id;
}

/** An agent of the resource group `default`, which is made when there is none. */
export async function insertAgent(sql: Sql, id: string): Promise<void> {
  await insertResourceGroup(sql, 'default');
  const capacity = { cpu: '4', mem: '8589934592' };
  await sql`insert into agents (id, status, region, scaling_group, available_slots, occupied_slots,
      addr, public_host, identity_key, version, architecture, compute_plugins)
    values (${id}, 'ALIVE', 'local', 'default', ${sql.json(capacity)}, '{}', 'local:', '127.0.0.1',
      'key', '26.4.4', 'x86_64', '{}')`;
  await sql`insert into agent_resources (agent_id, slot_name, capacity, reserved, used)
    values (${id}, 'cpu', 4, 1, 0.5), (${id}, 'mem', 8589934592, 0, 1073741824)`;
}

export interface InsertedSession {
  readonly sessionId: string;
  readonly kernelId: string;
}

/** A session of one kernel. By default it is RUNNING on `agentId`. */
export async function insertSession(
  sql: Sql,
  options: {
    name: string;
    owner: TestAccount;
    projectId: string;
    agentId: string;
    domainName?: string;
    status?: string;
    type?: string;
    priority?: number;
    log?: string;
  },
): Promise<InsertedSession> {
  const [sessionId, kernelId] = [randomUUID(), randomUUID()];
  const { name, owner, projectId, agentId } = options;
  const status = options.status ?? 'RUNNING';
  const type = options.type ?? 'INTERACTIVE';
  const domainName = options.domainName ?? 'default';
  const image = 'local/python:3.11';
  const history = { PENDING: '2026-01-01T00:00:00.000Z', [status]: '2026-01-01T00:00:05.000Z' };
  const slots = { cpu: '1', mem: '268435456' };
  const ports = [
    {
      name: 'sshd',
      protocol: 'tcp',
      container_ports: [2200],
      host_ports: [30001],
      is_inference: false,
    },
  ];
  await sql`insert into sessions (id, name, session_type, priority, cluster_mode, cluster_size, options,
      agent_ids, scaling_group_name, domain_name, group_id, user_uuid, access_key, images,
      occupying_slots, requested_slots, environ, use_host_network, status, status_info,
      status_history, num_queries)
    values (${sessionId}, ${name}, ${type}, ${options.priority ?? 10}, 'single-node', 1, '{}',
      ${[agentId]}, 'default', ${domainName}, ${projectId}, ${owner.userId}, ${owner.accessKey},
      ${[image]}, ${sql.json(slots)}, ${sql.json(slots)}, '{"A":"b"}', false, ${status}, null,
      ${sql.json(history)}, 0)`;
  await sql`insert into kernels (id, session_id, session_name, session_type, cluster_mode, cluster_size,
      cluster_role, cluster_idx, local_rank, cluster_hostname, scaling_group, agent, agent_addr,
      domain_name, group_id, user_uuid, access_key, image, architecture, registry, container_id,
      occupied_slots, requested_slots, occupied_shares, environ, resource_opts, repl_in_port,
      repl_out_port, stdin_port, stdout_port, service_ports, use_host_network, status,
      status_history, container_log)
    values (${kernelId}, ${sessionId}, ${name}, ${type}, 'single-node', 1, 'main', 1, 0, 'main1',
      'default', ${agentId}, 'local:', ${domainName}, ${projectId}, ${owner.userId},
      ${owner.accessKey}, ${image}, 'x86_64', 'local', 'c0ffee', ${sql.json(slots)},
      ${sql.json(slots)}, '{}', '{A=b}', '{"shmem":"67108864"}', 0, 0, 0, 0, ${sql.json(ports)},
      false, ${status}, ${sql.json(history)}, ${options.log ? Buffer.from(options.log) : null})`;
  return { sessionId, kernelId };
}

/** One more active account; its domain is made when it is new. Needs the accounts' policies. */
export async function insertAccount(
  sql: Sql,
  options: { name: string; role: 'superadmin' | 'admin' | 'user'; domainName: string },
): Promise<TestAccount> {
  const { name, role, domainName } = options;
  const email = `${name}@test.example`;
  const userId = randomUUID();
  const accessKey = `AKIA${name.toUpperCase().padEnd(16, 'X')}`.slice(0, 20);
  const secretKey = randomUUID().replaceAll('-', '');
  const nothing = new Uint8Array([0x90]);
  await sql`insert into domains (name, is_active, total_resource_slots, allowed_vfolder_hosts,
      allowed_docker_registries, dotfiles)
    values (${domainName}, true, '{}', '{}', '{local}', ${nothing}) on conflict do nothing`;
  await sql`insert into users (uuid, username, email, status, domain_name, role, resource_policy,
      sudo_session_enabled)
    values (${userId}, ${name}, ${email}, 'active', ${domainName}, ${role}, 'default', false)`;
  await sql`insert into keypairs (user_id, access_key, secret_key, is_active, is_admin, rate_limit, "user",
      resource_policy, dotfiles, bootstrap_script)
    values (${email}, ${accessKey}, ${secretKey}, true, ${role !== 'user'}, 10000, ${userId},
      'default', ${nothing}, '')`;
  return { accessKey, secretKey, email, userId };
}

/** Lets an account's user create sessions in a project, on the resource group `default`. */
export async function joinProject(
  sql: Sql,
  account: TestAccount,
  projectId: string,
  domainName = 'default',
): Promise<void> {
  await sql`insert into association_groups_users (user_id, group_id)
    values (${account.userId}, ${projectId})`;
  await sql`insert into sgroups_for_domains (scaling_group, domain) values ('default', ${domainName})
    on conflict do nothing`;
}
