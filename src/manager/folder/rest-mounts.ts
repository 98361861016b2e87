/** Operations that tell superadmins what is mounted where, so that they find a host that lacks a volume. */
import * as v from 'valibot';
import { readFstab, readMounts, SYSTEM_FSTAB } from '../../common/mounts.ts';
import { agentFstab, agentMounts, mountReport } from '../agent/mounts.ts';
import { storableText } from '../auth/text.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import type { Route } from '../http/route.ts';
import { readVolumeSettings } from '../storage/settings.ts';
import { allVolumes } from './hosts.ts';
import { MAX_TEXT, reading } from './rest-shape.ts';

/** Below it lie the mount points of volumes, unless `volumes/_mount` says otherwise. */
const MOUNT_PREFIX = '/mnt';

const text = storableText(MAX_TEXT);
const fstabQuery = v.object({
  fstab_path: v.optional(text, SYSTEM_FSTAB),
  agent_id: v.optional(v.nullable(text), null),
});

async function everyMount(ctx: ManagerContext) {
  const below = (await ctx.config.get('volumes/_mount')) ?? MOUNT_PREFIX;
  const [manager, volumes, agents] = await Promise.all([
    mountReport(() => readMounts(below)),
    mountReport(async () => {
      const found = await allVolumes(ctx, await readVolumeSettings(ctx.config));
      return found.map(({ host, volume }) => [host, volume.path]);
    }),
    agentMounts(ctx, below),
  ]);
  return { manager, storage_proxy: volumes, agents: Object.fromEntries(agents) };
}

export const folderMountRoutes = (ctx: ManagerContext): Route[] => [
  route(
    {
      ...reading(
        'GET',
        '/_/mounts',
        'Tell what managers, storage proxies and agents have mounted.',
      ),
      ...{ auth: 'superadmin', takes: {} },
    },
    async () => ({ json: await everyMount(ctx) }),
  ),
  route(
    {
      ...reading('GET', '/_/fstab', 'Tell what a node mounts when it starts.'),
      auth: 'superadmin',
      takes: { query: fstabQuery },
    },
    async (_request, { query: { agent_id: agentId, fstab_path: path } }) => ({
      json:
        agentId === null
          ? { content: await readFstab(path), node: 'manager', node_id: 'manager' }
          : { content: await agentFstab(ctx, agentId, path), node: 'agent', node_id: agentId },
    }),
  ),
];
