/** Small facts about the cluster, and which agents the scheduler may use. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { setSchedulable } from '../agent/manage.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import type { Route } from '../http/route.ts';
import { registryUrls } from '../registry/service.ts';
import { readVolumeSettings } from '../storage/settings.ts';

const MAX_AGENTS = 1000;
const schedulerBody = v.object({
  op: v.picklist(['include-agents', 'exclude-agents']),
  args: v.pipe(v.array(v.pipe(v.string(), v.maxLength(64))), v.maxLength(MAX_AGENTS)),
});

const ofSuperadmins = { gate: 'any', auth: 'superadmin' } as const;

export function factRoutes(ctx: ManagerContext): Route[] {
  return [
    route(
      {
        ...ofSuperadmins,
        method: 'POST',
        path: '/manager/scheduler/operation',
        summary: 'Let agents take sessions, or no more.',
        takes: { body: schedulerBody },
      },
      async (request, { body: { op, args: agentIds } }) => {
        const schedulable = op === 'include-agents';
        await setSchedulable({ ...request, ctx }, agentIds, schedulable);
        return undefined;
      },
    ),
    ...(
      [
        ['POST', '/manager/scheduler/trigger'],
        ['GET', '/manager/scheduler/status'],
      ] as const
    ).map(([method, path]) =>
      route({ ...ofSuperadmins, method, path, summary: 'Was removed.', takes: {} }, async () => {
        throw new BackendError('InvalidAPIParameters', 'This operation is no longer supported.');
      }),
    ),
    route(
      {
        method: 'GET',
        path: '/config/vfolder-types',
        gate: 'any',
        auth: 'user',
        summary: 'List the kinds of owners that folders may have.',
        takes: {},
      },
      async () => ({ json: (await readVolumeSettings(ctx.config)).types }),
    ),
    ...['/config/docker-registries', '/resource/container-registries'].map((path) =>
      route(
        {
          ...ofSuperadmins,
          method: 'GET',
          path,
          summary: 'List the addresses of container registries.',
          takes: {},
        },
        async () => ({ json: await registryUrls(ctx.sql) }),
      ),
    ),
  ];
}
