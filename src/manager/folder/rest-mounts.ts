/** Operations with which superadmins see and change what is mounted where: a host may lack a volume. */
import * as v from 'valibot';
import { readFstab, SYSTEM_FSTAB } from '../../common/mounts.ts';
import { agentFstab } from '../agent/mounts.ts';
import { storableText } from '../auth/text.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import type { Route } from '../http/route.ts';
import { everyMount, mountOnNodes, type NodeMount, unmountOnNodes } from './node-mounts.ts';
import { byOf, changing, MAX_TEXT, reading } from './rest-shape.ts';

const text = storableText(MAX_TEXT);
const fstabQuery = v.object({
  fstab_path: v.optional(text, SYSTEM_FSTAB),
  agent_id: v.optional(v.nullable(text), null),
});
/** Agents check what they are given; a name that none takes is refused before it is recorded. */
const mountName = v.pipe(text, v.regex(/^\w[\w.-]{0,63}$/));
const unmountBody = v.object({
  name: mountName,
  scaling_group: v.nullish(text, null),
  fstab_path: v.nullish(text, null),
  edit_fstab: v.optional(v.boolean(), false),
});
const mountBody = v.object({
  ...unmountBody.entries,
  fs_location: text,
  fs_type: v.optional(text, 'nfs'),
  options: v.nullish(text, null),
});

const mountOf = (body: v.InferOutput<typeof unmountBody>): NodeMount => ({
  name: body.name,
  group: body.scaling_group,
  fstab: body.edit_fstab ? (body.fstab_path ?? SYSTEM_FSTAB) : null,
});

function unmountRoute(ctx: ManagerContext, method: 'POST' | 'DELETE', path: string): Route {
  return route(
    {
      ...changing(method, path, 'Have agents unmount what is mounted for a volume.'),
      ...{ auth: 'superadmin', takes: { body: unmountBody } },
    },
    async (request, { body }) => ({
      json: await unmountOnNodes(byOf(ctx, request), mountOf(body)),
    }),
  );
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
      ...changing('POST', '/_/mounts', 'Have agents mount a network file system for a volume.'),
      ...{ auth: 'superadmin', takes: { body: mountBody } },
    },
    async (request, { body }) => {
      const { fs_location: location, fs_type: type, options } = body;
      const source = { location, type, options: options ?? '' };
      return { json: await mountOnNodes(byOf(ctx, request), mountOf(body), source) };
    },
  ),
  unmountRoute(ctx, 'DELETE', '/_/mounts'),
  unmountRoute(ctx, 'POST', '/_/umounts'),
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
