/** `POST /session/_/create-cluster`: a session whose kernels a cluster template describes by role. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { parseOutside } from '../../common/parse.ts';
import { resolveOwner } from '../auth/delegation.ts';
import type { ManagerContext } from '../context.ts';
import type { MountWish } from '../folder/mount.ts';
import { describeIssues } from '../http/body.ts';
import { type Input, route } from '../http/declare.ts';
import { aliased, resolveAliases } from '../http/parameters.ts';
import type { AuthenticatedRequest, Caller, Route, RouteResult } from '../http/route.ts';
import { creationBody } from '../session-template/creation.ts';
import { type ClusterTemplate, clusterTemplate } from '../session-template/schema.ts';
import { getTemplate } from '../session-template/service.ts';
import { type CreateSessionBody, creationAliases, sessionName } from './create-request.ts';
import { type CreationConfig, parseCreationConfig } from './creation-config.ts';
import { sessionOperation } from './request.ts';
import { enqueueAndWait, toEnqueueRequest } from './rest-create.ts';
import { parseBody, parseTemplate } from './rest-template.ts';
import type { RoleRequest } from './service.ts';
import { serviceApps } from './shape.ts';

/** Parsed with the templates' fields put in. */
const later = v.optional(v.unknown());

const clusterBody = aliased(
  { ...creationAliases, template_id: ['templateId'], scaling_group: ['scalingGroup'] },
  v.object({
    session_name: sessionName,
    template_id: v.string(),
    owner_access_key: v.nullish(v.string()),
    scaling_group: v.nullish(v.string()),
    ...{ session_type: later, group: later, domain: later, tag: later },
    ...{ enqueue_only: later, max_wait_seconds: later },
  }),
);
const takes = { body: clusterBody };

function parseClusterTemplate(template: unknown): ClusterTemplate {
  const parsed = parseOutside(clusterTemplate, template);
  if (parsed.success) return parsed.output;
  throw new BackendError(
    'InvalidAPIParameters',
    `The template itself is not usable: ${describeIssues(parsed.issues)}. Store a corrected one.`,
  );
}

/** One node of a cluster, as a session of its own would be created from its template. */
interface Node {
  readonly role: string;
  readonly replicas: number;
  readonly body: CreateSessionBody;
  readonly config: CreationConfig;
}

/** Folders of all kernels, each once: mounts belong to the session. */
function mountsOf(nodes: readonly Node[]): MountWish[] {
  const all = nodes.flatMap(({ config }) => config.mounts);
  return [...new Map(all.map((wish) => [JSON.stringify(wish), wish])).values()];
}

function roleOf({ role, replicas, body, config }: Node): RoleRequest {
  return {
    ...{ role, replicas, image: body.image, architecture: body.architecture },
    ...{ resources: config.resources, resourceOpts: config.resourceOpts },
    ...{ environ: config.environ, preopenPorts: config.preopenPorts },
    ...{ bootstrapScript: body.bootstrap_script, startupCommand: body.startup_command },
  };
}

async function readNodes(
  ctx: ManagerContext,
  reader: Caller,
  cluster: ClusterTemplate,
  sent: Readonly<Record<string, unknown>>,
  major: number,
): Promise<Node[]> {
  const { environ, mounts, nodes } = cluster.spec;
  const rows = await Promise.all(
    nodes.map(({ session_template }) => getTemplate(ctx, reader, 'TASK', session_template)),
  );
  return rows.map((row, index) => {
    const { role, replicas } = nodes[index] ?? { role: 'main', replicas: 1 };
    const template = parseTemplate(row.template);
    const { kernel } = template.spec;
    const merged = {
      ...template,
      spec: {
        ...template.spec,
        mounts: { ...mounts, ...template.spec.mounts },
        kernel: { ...kernel, environ: { ...environ, ...kernel.environ } },
      },
    };
    const place = { group: row.group_id, domain: row.domain_name };
    const body = parseBody(creationBody(merged, place, sent));
    return { role, replicas, body, config: parseCreationConfig(body.config, major) };
  });
}

async function createCluster(
  ctx: ManagerContext,
  request: AuthenticatedRequest,
  { body }: Input<typeof takes>,
): Promise<RouteResult> {
  const { template_id, scaling_group, owner_access_key, ...fields } = body;
  const owner = await resolveOwner(ctx.sql, request.caller, owner_access_key);
  const row = await getTemplate(ctx, owner, 'CLUSTER', template_id);
  const cluster = parseClusterTemplate(row.template);
  const sent = { ...resolveAliases(fields, creationAliases), config: { scaling_group } };
  const nodes = await readNodes(ctx, owner, cluster, sent, request.apiVersion[0]);
  const main = nodes.find(({ role }) => role === 'main');
  if (!main) throw new BackendError('InvalidAPIParameters', 'The template has no main node.');
  const asked = {
    ...toEnqueueRequest(main.body, main.config, ctx.clock.now()),
    clusterMode: cluster.mode,
    roles: nodes.map(roleOf),
    mounts: mountsOf(nodes),
    // Upstream refuses a name that is taken, whatever it is taken by.
    reuse: false,
  };
  const { result, status, session } = await enqueueAndWait(ctx, owner, asked, request, {
    enqueueOnly: main.body.enqueue_only,
    maxWaitSeconds: main.body.max_wait_seconds,
  });
  const servicePorts = serviceApps(session?.mainKernel.servicePorts ?? []);
  return {
    status: 201,
    json: { kernelId: result.sessionId, status, servicePorts, created: result.created },
  };
}

export const clusterCreationRoutes = (ctx: ManagerContext): Route[] => [
  route(
    {
      ...sessionOperation(
        'POST',
        '/session/_/create-cluster',
        'Create a session of several kernels as a cluster template describes them.',
      ),
      gate: 'all',
      takes,
    },
    (request, input) => createCluster(ctx, request, input),
  ),
];
