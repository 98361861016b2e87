/** Operations with which superadmins read and change the configuration store and the status. */
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import { HOST_PERMISSIONS } from '../db/json.ts';
import { route } from '../http/declare.ts';
import { lenientBoolean } from '../http/parameters.ts';
import type { AuthenticatedRequest, Route } from '../http/route.ts';
import * as service from './manage.ts';

const keyBody = v.object({ key: v.string(), prefix: v.optional(lenientBoolean, false) });
const setBody = v.object({ key: v.string(), value: v.unknown() });
const statusBody = v.object({
  status: v.pipe(
    v.string(),
    v.examples(['running', 'frozen']),
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

/** What is the same for all operations of superadmins. */
const ofSuperadmins = { gate: 'any', auth: 'superadmin' } as const;

export function configManageRoutes(ctx: ManagerContext): Route[] {
  const byOf = ({ caller, requestId, clientAddress }: AuthenticatedRequest) => ({
    ...{ ctx, caller, requestId, clientAddress },
  });
  return [
    route(
      {
        ...ofSuperadmins,
        method: 'POST',
        path: '/config/get',
        summary: 'Read a key of the configuration, or everything below it.',
        takes: { body: keyBody },
      },
      async (_, { body: { key, prefix } }) => ({
        json: { result: await service.readConfig(ctx, key, prefix) },
      }),
    ),
    route(
      {
        ...ofSuperadmins,
        method: 'POST',
        path: '/config/set',
        summary: 'Set a key of the configuration, or several below it.',
        takes: { body: setBody },
      },
      async (request, { body: { key, value } }) => {
        await service.setConfig(byOf(request), ctx, key, value);
        return { json: { result: 'ok' } };
      },
    ),
    route(
      {
        ...ofSuperadmins,
        method: 'POST',
        path: '/config/delete',
        summary: 'Delete a key of the configuration, or everything below it.',
        takes: { body: keyBody },
      },
      async (request, { body: { key, prefix } }) => {
        await service.deleteConfig(byOf(request), ctx, key, prefix);
        return { json: { result: 'ok' } };
      },
    ),
    route(
      {
        ...ofSuperadmins,
        method: 'PUT',
        path: '/manager/status',
        summary: 'Freeze the cluster or let it run.',
        takes: { body: statusBody },
      },
      async (request, { body: { status, force_kill: endSessions } }) => {
        await service.setStatus(byOf(request), ctx, status, endSessions);
        return undefined;
      },
    ),
    route(
      {
        method: 'GET',
        path: '/config/resource-slots/details',
        gate: 'any',
        auth: 'user',
        summary: 'Describe the types of resource slots.',
        takes: { query: detailsQuery },
      },
      async ({ caller }, { query }) => ({
        json: await service.slotDetails(ctx.sql, caller, query.sgroup),
      }),
    ),
    route(
      {
        method: 'GET',
        path: '/acl',
        gate: 'all',
        auth: 'user',
        summary: 'List the permissions on folder hosts.',
        takes: {},
      },
      async () => ({ json: { vfolder_host_permission_list: HOST_PERMISSIONS } }),
    ),
  ];
}
