/** `enqueueSession` of the newer GraphQL schema: a session asked for by ids, made as `POST /session` makes it. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { rawIdOf } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { v2Mutation } from '../graphql/mutation.ts';
import type { EnqueueSessionInput } from '../graphql/resolvers.generated.ts';
import { describeIssues } from '../http/body.ts';
import { findImage } from '../image/service.ts';
import { createSessionBody } from './create-request.ts';
import { parseCreationConfig } from './creation-config.ts';
import { refuseAgentChoice, refuseUnavailable, toEnqueueRequest } from './rest-create.ts';
import { type EnqueueRequest, enqueueSession } from './service.ts';
import { sessionOf } from './v2-graphql.ts';

/** The version of `POST /session` whose keys say what this mutation can. */
const CONFIG_VERSION = 9;

const typeDefs = /* GraphQL */ `
  type Mutation {
    enqueueSession(input: EnqueueSessionInput!): EnqueueSessionPayload
  }

  type EnqueueSessionPayload {
    session: SessionV2!
  }

  input EnqueueSessionInput {
    sessionName: String!
    sessionType: CreateSessionType!
    imageId: ID!
    resourceEntries: [SessionResourceSlotEntryInput!]!
    resourceGroup: String = null
    resourceOpts: SessionResourceOptsInput = null
    clusterMode: SessionClusterMode! = SINGLE_NODE
    clusterSize: Int! = 1
    mounts: [SessionMountItemInput!] = null
    environ: JSON = null
    preopenPorts: [Int!] = null
    bootstrapScript: String = null
    priority: Int! = 10
    isPreemptible: Boolean! = true
    dependencies: [ID!] = null
    agentList: [String!] = null
    attachNetwork: ID = null
    tag: String = null
    callbackUrl: String = null
    batch: SessionBatchConfigInput = null
    projectId: ID = null
  }

  enum CreateSessionType {
    INTERACTIVE
    BATCH
  }

  enum SessionClusterMode {
    SINGLE_NODE
    MULTI_NODE
  }

  input SessionResourceSlotEntryInput {
    resourceType: String!
    quantity: String!
  }

  input SessionResourceOptsInput {
    shmem: BinarySizeInput = null
  }

  input SessionMountItemInput {
    vfolderId: ID!
    mountPath: String = null
    permission: String = null
    subpath: String = null
  }

  input SessionBatchConfigInput {
    startupCommand: String!
    startsAt: String = null
    """Seconds."""
    batchTimeout: Int = null
  }
`;

type Input = EnqueueSessionInput;

/** The config of the older operation. */
function configOf(input: Input) {
  const mounts = (input.mounts ?? []).map((mount) => ({ ...mount, id: rawIdOf(mount.vfolderId) }));
  const resources = input.resourceEntries.map(({ resourceType, quantity }) => [
    resourceType,
    quantity,
  ]);
  return {
    resources: Object.fromEntries(resources),
    resource_opts: input.resourceOpts?.shmem ? { shmem: input.resourceOpts.shmem.expr } : {},
    scaling_group: input.resourceGroup,
    environ: input.environ,
    preopen_ports: input.preopenPorts,
    agent_list: input.agentList,
    attach_network: input.attachNetwork ? rawIdOf(input.attachNetwork) : null,
    mount_ids: mounts.map(({ id }) => id),
    mount_options: Object.fromEntries(
      mounts.map(({ id, mountPath, permission, subpath }) => [
        id,
        { mount_destination: mountPath, permission, subpath },
      ]),
    ),
  };
}

/**
 * What `POST /session` would be asked for.
 * @throws BackendError ImageNotFound, InvalidAPIParameters, InsufficientPrivilege.
 */
async function requestOf({ ctx, caller }: GraphqlContext, input: Input): Promise<EnqueueRequest> {
  const image = await findImage(ctx.sql, caller, rawIdOf(input.imageId));
  if (image === null) {
    throw new BackendError('ImageNotFound', `There is no image with the id ${input.imageId}.`);
  }
  const parsed = v.safeParse(createSessionBody, {
    session_name: input.sessionName,
    session_type: input.sessionType,
    image: image.canonical,
    architecture: image.architecture,
    group: input.projectId ? rawIdOf(input.projectId) : null,
    cluster_mode: input.clusterMode,
    cluster_size: input.clusterSize,
    priority: input.priority,
    is_preemptible: input.isPreemptible,
    tag: input.tag,
    callback_url: input.callbackUrl,
    dependencies: input.dependencies?.map(rawIdOf),
    bootstrap_script: input.bootstrapScript
      ? Buffer.from(input.bootstrapScript).toString('base64')
      : null,
    startup_command: input.batch?.startupCommand,
    starts_at: input.batch?.startsAt,
    batch_timeout: input.batch?.batchTimeout,
    // Here names are not looked up: one that is taken is refused.
    reuse: false,
  });
  if (!parsed.success) {
    throw new BackendError('InvalidAPIParameters', describeIssues(parsed.issues));
  }
  const config = parseCreationConfig(configOf(input), CONFIG_VERSION);
  refuseUnavailable(config);
  refuseAgentChoice(ctx, caller, config);
  return toEnqueueRequest(parsed.output, config, ctx.clock.now());
}

export const enqueueV2Graphql: GraphqlModule = {
  typeDefs,
  resolvers: {
    Mutation: {
      enqueueSession: (_root, { input }, context) =>
        v2Mutation(context, 'anybody', async () => {
          const { ctx, caller } = context;
          const request = await requestOf(context, input);
          const { sessionId } = await enqueueSession(ctx, caller, request, context);
          const session = await sessionOf(context, sessionId);
          if (session === null) throw new Error('the session vanished while it was enqueued');
          return { session };
        }),
    },
  },
};
