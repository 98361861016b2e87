/** `POST /session/_/create-from-template`: a session as a template describes it. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { parseOutside } from '../../common/parse.ts';
import { resolveOwner } from '../auth/delegation.ts';
import type { ManagerContext } from '../context.ts';
import { describeIssues } from '../http/body.ts';
import { type Input, route } from '../http/declare.ts';
import { aliased, camelCase, resolveAliases } from '../http/parameters.ts';
import type { AuthenticatedRequest, Route, RouteResult } from '../http/route.ts';
import { creationBody } from '../session-template/creation.ts';
import { taskTemplate } from '../session-template/schema.ts';
import { getTemplate } from '../session-template/service.ts';
import { createSessionBody, creationAliases } from './create-request.ts';
import { sessionOperation } from './request.ts';
import { createSession } from './rest-create.ts';

/** What a template may hold of a config, and what may be sent instead. */
const CONFIG_KEYS = [
  ...['mounts', 'mount_map', 'environ', 'cluster_size', 'scaling_group', 'resources'],
  ...['resource_opts', 'mount_ids', 'mount_id_map'],
] as const;

const configAliases = Object.fromEntries(CONFIG_KEYS.map((key) => [key, [camelCase(key)]]));

/** Parsed with the template's values put in, as `POST /session` parses them. */
const later = v.optional(v.unknown());

const fromTemplate = aliased(
  { template_id: ['templateId'], ...creationAliases },
  v.object({
    template_id: v.nullable(v.string()),
    session_name: v.nullish(v.string()),
    image: v.nullish(v.string()),
    group: v.nullish(v.string()),
    domain: v.nullish(v.string()),
    dependencies: v.nullish(v.array(v.string())),
    owner_access_key: v.nullish(v.string()),
    config: v.nullish(v.record(v.string(), v.unknown()), {}),
    ...{ architecture: later, session_type: later, cluster_size: later, cluster_mode: later },
    ...{ tag: later, priority: later, is_preemptible: later, enqueue_only: later },
    ...{ max_wait_seconds: later, starts_at: later, batch_timeout: later, reuse: later },
    ...{ startup_command: later, bootstrap_script: later, callback_url: later },
  }),
);
const takes = { body: fromTemplate };

export function parseBody(body: unknown) {
  const parsed = parseOutside(createSessionBody, body);
  if (parsed.success) return parsed.output;
  throw new BackendError(
    'InvalidAPIParameters',
    `Error while validating template: ${describeIssues(parsed.issues)}`,
  );
}

/** @throws BackendError for a stored template that an older version accepted and this one does not. */
export function parseTemplate(template: unknown) {
  const parsed = parseOutside(taskTemplate, template);
  if (parsed.success) return parsed.output;
  throw new BackendError(
    'InvalidAPIParameters',
    `The template itself is not usable: ${describeIssues(parsed.issues)}. Store a corrected one.`,
  );
}

async function createFromTemplate(
  ctx: ManagerContext,
  request: AuthenticatedRequest,
  { body }: Input<typeof takes>,
): Promise<RouteResult> {
  const { template_id: id, config, ...fields } = body;
  if (id === null && !fields.image) {
    throw new BackendError('InvalidAPIParameters', 'Name a template_id, or else an image.');
  }
  const known = resolveAliases(config ?? {}, configAliases);
  const sent = {
    ...fields,
    config: Object.fromEntries(CONFIG_KEYS.map((key) => [key, known[key]])),
  };
  if (id === null) return createSession(ctx, request, parseBody(sent));
  const reader = await resolveOwner(ctx.sql, request.caller, fields.owner_access_key);
  const row = await getTemplate(ctx, reader, 'TASK', id);
  const template = parseTemplate(row.template);
  const place = { group: row.group_id, domain: row.domain_name };
  const parsed = parseBody(creationBody(template, place, sent));
  return createSession(ctx, request, parsed, { agents: template.spec.agent_list });
}

export const templateCreationRoutes = (ctx: ManagerContext): Route[] => [
  route(
    {
      ...sessionOperation(
        'POST',
        '/session/_/create-from-template',
        'Create a session as a template describes it.',
      ),
      gate: 'all',
      takes,
    },
    (request, input) => createFromTemplate(ctx, request, input),
  ),
];
