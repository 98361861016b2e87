/** Operations with which superadmins read and change the configuration store and the status. */
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import { HOST_PERMISSIONS } from '../db/json.ts';
import { readQuery } from '../http/body.ts';
import { lenientBoolean } from '../http/parameters.ts';
import type { AuthenticatedRequest, Route, RouteResult } from '../http/route.ts';
import * as service from './manage.ts';

const keyBody = v.object({ key: v.string(), prefix: v.optional(lenientBoolean, false) });
const setBody = v.object({ key: v.string(), value: v.unknown() });
const statusBody = v.object({
  status: v.pipe(
    v.string(),
    v.transform((word) => word.toLowerCase()),
    v.picklist(['running', 'frozen'], 'expected running or frozen'),
  ),
  force_kill: v.optional(lenientBoolean, false),
});
const detailsQuery = v.object({
  sgroup: v.nullish(
    v.pipe(
      v.string(),
      v.maxLength(64),
      v.check((text) => !text.includes('\0'), 'text cannot hold a NUL character'),
    ),
    null,
  ),
});

/** An operation of superadmins. */
const ofSuperadmins = (
  method: 'POST' | 'PUT',
  path: string,
  handler: (request: AuthenticatedRequest) => Promise<RouteResult>,
): Route => ({ method, path, gate: 'any', auth: 'superadmin', handler });

export function configManageRoutes(ctx: ManagerContext): Route[] {
  const byOf = ({ caller, requestId, clientAddress }: AuthenticatedRequest) => ({
    ...{ ctx, caller, requestId, clientAddress },
  });
  return [
    ofSuperadmins('POST', '/config/get', async ({ body }) => {
      const { key, prefix } = await body(keyBody);
      return { json: { result: await service.readConfig(ctx, key, prefix) } };
    }),
    ofSuperadmins('POST', '/config/set', async (request) => {
      const { key, value } = await request.body(setBody);
      await service.setConfig(byOf(request), ctx, key, value);
      return { json: { result: 'ok' } };
    }),
    ofSuperadmins('POST', '/config/delete', async (request) => {
      const { key, prefix } = await request.body(keyBody);
      await service.deleteConfig(byOf(request), ctx, key, prefix);
      return { json: { result: 'ok' } };
    }),
    ofSuperadmins('PUT', '/manager/status', async (request) => {
      const { status, force_kill: endSessions } = await request.body(statusBody);
      await service.setStatus(byOf(request), ctx, status, endSessions);
      return undefined;
    }),
    {
      method: 'GET',
      path: '/config/resource-slots/details',
      gate: 'any',
      auth: 'user',
      handler: async ({ query, caller }) => {
        const { sgroup } = readQuery(query, detailsQuery);
        return { json: await service.slotDetails(ctx.sql, caller, sgroup) };
      },
    },
    {
      method: 'GET',
      path: '/acl',
      gate: 'all',
      auth: 'user',
      handler: async () => ({
        json: { vfolder_host_permission_list: HOST_PERMISSIONS },
      }),
    },
  ];
}
