/** Operations about the cluster: its status, announcement and resource slots. */
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import { publicRoute, route } from '../http/declare.ts';
import type { Route } from '../http/route.ts';
import { LATEST_API_VERSION, MANAGER_VERSION } from '../http/versions.ts';
import * as service from './service.ts';

const announcementBody = v.object({
  enabled: v.optional(v.boolean(), false),
  message: v.optional(v.nullable(v.string()), null),
});

/** What the status operation tells of the serving process. */
export interface ServerFacts {
  /** Address on which clients reach this manager, `host:port`. */
  serviceAddress(): string;
  /** The cluster's status as an administrator set it. */
  status(): string;
  readonly sslEnabled: boolean;
}

const apiVersion = (): [number, string] => {
  const [major = '', date = ''] = LATEST_API_VERSION.slice(1).split('.');
  return [Number(major), date];
};

export function configRoutes(ctx: ManagerContext, facts: ServerFacts): Route[] {
  return [
    publicRoute(
      {
        method: 'GET',
        path: '/manager/status',
        gate: 'any',
        summary: 'Tell the status of the cluster and of its managers.',
        takes: {},
      },
      async () => {
        const activeSessions = await service.countActiveSessions(ctx);
        const status = facts.status();
        const node = {
          id: ctx.id,
          num_proc: 1,
          service_addr: facts.serviceAddress(),
          heartbeat_timeout: ctx.settings.heartbeatTimeoutSec,
          ssl_enabled: facts.sslEnabled,
          active_sessions: activeSessions,
          status,
          version: MANAGER_VERSION,
          api_version: apiVersion(),
        };
        return { json: { nodes: [node], status, active_sessions: activeSessions } };
      },
    ),
    publicRoute(
      {
        method: 'GET',
        path: '/manager/announcement',
        gate: 'any',
        summary: 'Read the announcement to all users.',
        takes: {},
      },
      async () => ({ json: await service.getAnnouncement(ctx) }),
    ),
    route(
      {
        method: 'POST',
        path: '/manager/announcement',
        gate: 'any',
        auth: 'superadmin',
        summary: 'Change or remove the announcement.',
        takes: { body: announcementBody },
      },
      async (_, { body }) => {
        await service.setAnnouncement(ctx, body);
        return undefined;
      },
    ),
    route(
      {
        method: 'GET',
        path: '/config/resource-slots',
        gate: 'any',
        auth: 'user',
        summary: 'List the types of resource slots that agents have.',
        takes: {},
      },
      async () => ({ json: await service.getOfferedSlotTypes(ctx) }),
    ),
  ];
}
