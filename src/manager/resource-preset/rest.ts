/** Operations on resource presets that users choose from. */
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import type { Route } from '../http/route.ts';
import { checkPresets, usablePresets } from './check.ts';

/** Longest name or id that is looked for. Characters. */
const name = v.pipe(
  v.string(),
  v.minLength(1),
  v.maxLength(256),
  v.check((text) => !text.includes('\0'), 'text cannot hold a NUL character'),
);
const presetsQuery = v.object({ scaling_group: v.nullish(name, null) });
const checkBody = v.object({ group: name, scaling_group: v.nullish(name, null) });

export function resourcePresetRoutes(ctx: ManagerContext): Route[] {
  return [
    route(
      {
        method: 'GET',
        path: '/resource/presets',
        gate: 'any',
        auth: 'user',
        summary: 'List the resource presets.',
        takes: { query: presetsQuery },
      },
      async (_, { query }) => ({
        json: { presets: await usablePresets(ctx, query.scaling_group) },
      }),
    ),
    route(
      {
        method: 'POST',
        path: '/resource/check-presets',
        gate: 'any',
        auth: 'user',
        summary: 'Tell which presets can be allocated, and how much is left for the caller.',
        takes: { body: checkBody },
      },
      async ({ caller }, { body: { group: project, scaling_group: groupName } }) => ({
        json: await checkPresets(ctx, caller, { project, groupName }),
      }),
    ),
  ];
}
