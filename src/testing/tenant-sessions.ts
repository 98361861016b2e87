/** Sessions of both tenants of `testTenants`, on one agent. */
import { type InsertedSession, insertAgent, insertSession } from './sessions.ts';
import type { Tenants } from './tenants.ts';

type Owner = 'user' | 'superadmin' | 'monitor' | 'otherUser';

export interface TenantSessions {
  /** Inserts one more session; sessions of `otherUser` are in the domain `elsewhere`. */
  insert(
    owner: Owner,
    name: string,
    more?: Partial<Parameters<typeof insertSession>[1]>,
  ): Promise<InsertedSession>;
}

/** Makes the resource group `default`, the slots cpu and mem, and the agent `i-one`. */
export async function tenantSessions(tenants: Tenants): Promise<TenantSessions> {
  const { sql } = tenants.ctx;
  await sql`insert into scaling_groups (name, is_active, driver, driver_opts, scheduler,
      scheduler_opts, use_host_network, default_deployment_options, default_session_options)
    values ('default', true, 'static', '{}', 'fifo', '{}', false, '{}', '{}')
    on conflict do nothing`;
  await sql`insert into resource_slot_types (slot_name, slot_type)
    values ('cpu', 'count'), ('mem', 'bytes') on conflict do nothing`;
  await insertAgent(sql, 'i-one');
  return {
    insert: (owner, name, more = {}) => {
      const domainName = owner === 'otherUser' ? 'elsewhere' : 'default';
      return insertSession(sql, {
        projectId: tenants.projects[domainName],
        owner: tenants.people[owner],
        agentId: 'i-one',
        domainName,
        name,
        ...more,
      });
    },
  };
}
