/** Operations on dotfiles and the bootstrap script: what an account's sessions start with. */
import * as v from 'valibot';
import type { ChangeContext } from '../audit/service.ts';
import { resolveOwner } from '../auth/delegation.ts';
import { storableText } from '../auth/text.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import { aliased } from '../http/parameters.ts';
import type { AuthenticatedRequest, Route } from '../http/route.ts';
import type { Dotfile } from './format.ts';
import * as rules from './rules.ts';
import * as service from './service.ts';

/** Longest content of a file. Characters. */
const MAX_LENGTH = 64 * 1024;
/** Longest script: a longer one could be stored, but no session could start with it. Characters. */
const MAX_SCRIPT_LENGTH = 16 * 1024;
/** Longest path; the list is bounded anyway. Characters. */
const MAX_PATH_LENGTH = 1024;

const path = v.pipe(storableText(MAX_PATH_LENGTH), v.minLength(1));
const fileBody = v.object({
  path,
  data: storableText(MAX_LENGTH),
  permission: v.pipe(v.string(), v.regex(/^[0-7]{3}$/, 'three octal digits are expected')),
});
const optionalText = v.nullish(storableText(MAX_PATH_LENGTH), null);
const scriptBody = v.object({ script: storableText(MAX_SCRIPT_LENGTH) });

/** Whose dotfiles a group of operations is about. */
interface Subject<T> {
  readonly url: string;
  /** Who may change them; everybody may read what they can reach. */
  readonly writers: 'user' | 'admin';
  /** The fields that name the holder, in bodies and queries. */
  readonly schema: v.GenericSchema<unknown, T>;
  holder(request: AuthenticatedRequest, named: T): Promise<service.Holder>;
}

const keypairs = (ctx: ManagerContext): Subject<{ owner_access_key: string | null }> => ({
  url: '/user-config/dotfiles',
  writers: 'user',
  schema: v.object({ owner_access_key: optionalText }),
  holder: async ({ caller }, named) => {
    const { accessKey } = await resolveOwner(ctx.sql, caller, named.owner_access_key);
    return { kind: 'keypair', accessKey };
  },
});

const uuid = v.pipe(v.string(), v.uuid());

const projects: Subject<{ group: string; domain: string | null }> = {
  url: '/group-config/dotfiles',
  writers: 'admin',
  schema: aliased(
    { group: ['groupId', 'group_id'] },
    v.object({ group: storableText(MAX_PATH_LENGTH), domain: optionalText }),
  ),
  // A name means nothing without a domain; the caller's own is meant then.
  holder: async ({ caller }, { group, domain }) => ({
    kind: 'project',
    nameOrId: group,
    domainName: domain ?? (v.is(uuid, group) ? null : caller.domainName),
  }),
};

const domains: Subject<{ domain: string }> = {
  url: '/domain-config/dotfiles',
  writers: 'admin',
  schema: v.object({ domain: storableText(MAX_PATH_LENGTH) }),
  holder: async (_, { domain }) => ({ kind: 'domain', name: domain }),
};

const byOf = (ctx: ManagerContext, request: AuthenticatedRequest): ChangeContext => {
  const { caller, requestId, clientAddress } = request;
  return { ctx, caller, requestId, clientAddress };
};

const pathQuery = v.object({ path });
const optionalPathQuery = v.object({ path: v.optional(path) });

function readRoute<T>(ctx: ManagerContext, subject: Subject<T>): Route {
  const query = v.intersect([optionalPathQuery, subject.schema]);
  return route(
    {
      method: 'GET',
      path: subject.url,
      gate: 'read',
      auth: 'user',
      summary: 'List dotfiles, or read the one at a path.',
      takes: { query },
    },
    async (request, { query: given }) => {
      const holder = await subject.holder(request, given);
      const files = await service.listDotfiles(ctx.sql, request.caller, holder);
      if (given.path !== undefined) return { json: rules.find(files, given.path) };
      // Upstream names the permission differently in the list.
      return {
        json: files.map((file) => ({ path: file.path, permission: file.perm, data: file.data })),
      };
    },
  );
}

function writeRoute<T>(
  ctx: ManagerContext,
  subject: Subject<T>,
  how: Pick<Route, 'method' | 'summary'>,
  changeOf: (file: Dotfile) => rules.DotfileChange,
): Route {
  const body = v.intersect([fileBody, subject.schema]);
  return route(
    { ...how, path: subject.url, gate: 'read', auth: subject.writers, takes: { body } },
    async (request, { body: given }) => {
      const file = { path: given.path, perm: given.permission, data: given.data };
      const holder = await subject.holder(request, given);
      await service.changeDotfiles(byOf(ctx, request), holder, changeOf(file));
      return { json: {} };
    },
  );
}

function removeRoute<T>(ctx: ManagerContext, subject: Subject<T>): Route {
  const query = v.intersect([pathQuery, subject.schema]);
  return route(
    {
      method: 'DELETE',
      path: subject.url,
      gate: 'read',
      auth: subject.writers,
      summary: 'Remove a dotfile.',
      takes: { query },
    },
    async (request, { query: given }) => {
      const holder = await subject.holder(request, given);
      await service.changeDotfiles(byOf(ctx, request), holder, rules.remove(given.path));
      return { json: { success: true } };
    },
  );
}

const routesOf = <T>(ctx: ManagerContext, subject: Subject<T>): Route[] => [
  readRoute(ctx, subject),
  writeRoute(ctx, subject, { method: 'POST', summary: 'Add a dotfile.' }, rules.add),
  writeRoute(ctx, subject, { method: 'PATCH', summary: 'Replace a dotfile.' }, rules.replace),
  removeRoute(ctx, subject),
];

export function dotfileRoutes(ctx: ManagerContext): Route[] {
  const script = { path: '/user-config/bootstrap-script', gate: 'read', auth: 'user' } as const;
  return [
    ...routesOf(ctx, keypairs(ctx)),
    ...routesOf(ctx, projects),
    ...routesOf(ctx, domains),
    route(
      { ...script, method: 'GET', summary: 'Read the bootstrap script.', takes: {} },
      async ({ caller }) => ({ json: await service.bootstrapScript(ctx.sql, caller) }),
    ),
    route(
      {
        ...script,
        method: 'POST',
        summary: 'Replace the bootstrap script.',
        takes: { body: scriptBody },
      },
      async (request, { body }) => {
        await service.setBootstrapScript(byOf(ctx, request), body.script);
        return { json: {} };
      },
    ),
  ];
}
