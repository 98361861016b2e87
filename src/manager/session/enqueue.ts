/** Enqueueing: checks a request against every rule, stores the session, wakes the scheduler. */

import { BackendError, errorCode } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import { CUSTOMIZED_OWNER_LABEL } from '../../common/images/labels.ts';
import { randomString } from '../../common/random.ts';
import { addSlots, formatAmount, parseSlots, type Slots } from '../../common/slots.ts';
import { traceHeaders } from '../../common/tracing.ts';
import { auditRecord, type Deed } from '../audit/service.ts';
import { generateSshKeypair, type SshKeypair } from '../auth/ssh-keypair.ts';
import type { ManagerContext } from '../context.ts';
import { checkBesideMounts } from '../dotfile/service.ts';
import { type FolderMount, resolveMounts } from '../folder/mount.ts';
import type { Caller } from '../http/route.ts';
import { type Image, resolveImage } from '../image/service.ts';
import { storedBootstrapScript } from '../keypair/service.ts';
import { type KeypairPolicy, loadKeypairPolicy } from '../policy/service.ts';
import { projectOfMember } from '../project/service.ts';
import {
  chooseResourceGroup,
  type ResourceGroup,
  takesSessions,
} from '../resource-group/service.ts';
import {
  checkClusterServable,
  clusterSizeOf,
  MAX_CLUSTER_SIZE,
  placesOf,
  rolesOf,
  totalDemand,
} from './cluster.ts';
import { MAX_BOOTSTRAP_CHARS } from './create-request.ts';
import {
  type AccountRow,
  type ExistingSession,
  type SessionCounts,
  selectAccount,
  selectCapacities,
  selectCounts,
  selectDependencies,
  selectPendingSlots,
  selectSlotDefinitions,
} from './enqueue-store.ts';
import { checkPreopenPorts, kernelEnvironment } from './environment.ts';
import type { NewKernel, NewSession } from './new-session-store.ts';
import type { GroupFacts, OwnerFacts } from './new-sessions.ts';
import { type AgentCapacity, leastOf, resolveResources, type SlotDefinition } from './resources.ts';
import type { EnqueueRequest, EnqueueResult, RoleRequest } from './types.ts';

const UNIQUE_VIOLATION = '23505';

const invalid = (message: string) => new BackendError('InvalidAPIParameters', message);

/** What concerns the request alone. */
function checkRequest(request: EnqueueRequest, roles: readonly RoleRequest[]): void {
  const isBatch = request.sessionType === 'batch';
  if (isBatch && !roles[0]?.startupCommand) {
    throw invalid('A batch session needs startup_command: the command it runs.');
  }
  if (!isBatch && request.startsAt) throw invalid('starts_at is for batch sessions only.');
  if (!isBatch && request.batchTimeoutMs !== null) {
    throw invalid('batch_timeout is for batch sessions only.');
  }
  if (request.priority < 0 || request.priority > 100) throw invalid('priority: from 0 to 100.');
}

function alreadyExists(name: string, existing: ExistingSession): BackendError {
  return new BackendError(
    'SessionAlreadyExists',
    `A live session called '${name}' exists (${existing.status}). Choose another name, end it first, or ask for the same image with reuse.`,
    { data: { existingSessionId: existing.id } },
  );
}

/** The reply when the name is taken; null when it is free. */
function reuseExisting(
  existing: ExistingSession | null,
  owner: Caller,
  request: EnqueueRequest,
  images: readonly Image[],
): EnqueueResult | null {
  if (!existing) return null;
  const same = existing.accessKey === owner.accessKey && existing.imageIds[0] === images[0]?.id;
  if (!request.reuse || !same) throw alreadyExists(request.sessionName, existing);
  const { id: sessionId, status } = existing;
  return { sessionId, sessionName: request.sessionName, created: false, status };
}

function checkImageOwner(image: Image, owner: Caller): void {
  const customizedFor = image.labels[CUSTOMIZED_OWNER_LABEL];
  if (customizedFor === undefined || customizedFor === `user:${owner.userId}`) return;
  throw new BackendError('ImageNotFound', `There is no image '${image.canonical}' you may use.`);
}

const NO_SESSIONS: SessionCounts = { live: 0, live_sftp: 0, pending: 0 };

/** How many sessions the owner has, as far as the policy limits them. */
async function countSessions(
  { sql }: ManagerContext,
  { accessKey }: Caller,
  { sessionType }: EnqueueRequest,
  policy: KeypairPolicy,
): Promise<SessionCounts> {
  const { maxConcurrentSessions, maxPendingSessionCount } = policy;
  const isLimited = sessionType === 'system' || maxConcurrentSessions !== null;
  if (!isLimited && maxPendingSessionCount === null) return NO_SESSIONS;
  return await selectCounts(sql, accessKey);
}

function checkPolicy(
  request: EnqueueRequest,
  clusterSize: number,
  policy: KeypairPolicy,
  counts: SessionCounts,
): void {
  const isSystem = request.sessionType === 'system';
  const limit = isSystem ? policy.maxConcurrentSftpSessions : policy.maxConcurrentSessions;
  const live = isSystem ? counts.live_sftp : counts.live;
  if (limit !== null && live >= limit) {
    throw new BackendError(
      'ConcurrencyLimitExceeded',
      `You cannot run more than ${limit} concurrent sessions and have ${live}. End one of them first.`,
    );
  }
  const { maxPendingSessionCount } = policy;
  const mostContainers = Math.min(
    policy.maxContainersPerSession ?? MAX_CLUSTER_SIZE,
    MAX_CLUSTER_SIZE,
  );
  if (clusterSize > mostContainers) {
    throw new BackendError(
      'QuotaExceeded',
      `You cannot create session with more than ${mostContainers} containers; cluster_size is ${clusterSize}.`,
    );
  }
  if (maxPendingSessionCount !== null && counts.pending >= maxPendingSessionCount) {
    throw new BackendError(
      'PendingSessionCountLimitExceeded',
      `You cannot have more than ${maxPendingSessionCount} pending sessions and have ${counts.pending}. Wait until one starts.`,
    );
  }
}

async function checkPendingSlots(
  ctx: ManagerContext,
  owner: Caller,
  policy: KeypairPolicy,
  request: Slots,
): Promise<void> {
  if (policy.maxPendingSessionResourceSlots === null) return;
  const total = addSlots(await selectPendingSlots(ctx.sql, owner.accessKey), request);
  for (const [slot, limit] of parseSlots(policy.maxPendingSessionResourceSlots)) {
    const asked = total.get(slot) ?? 0n;
    if (asked <= limit) continue;
    throw new BackendError(
      'PendingSessionResourceLimitExceeded',
      `Your pending sessions may ask for ${slot}=${formatAmount(limit)} together; with this one it is ${formatAmount(asked)}. Wait until one starts.`,
    );
  }
}

function checkAgents(
  request: EnqueueRequest,
  group: ResourceGroup,
  agents: readonly AgentCapacity[],
): AgentCapacity[] {
  if (request.agentList.length === 0) return [...agents];
  const chosen = agents.filter((agent) => request.agentList.includes(agent.id));
  const unknown = request.agentList.filter((id) => !agents.some((agent) => agent.id === id));
  if (unknown.length === 0) return chosen;
  throw invalid(
    `agent_list: resource group '${group.name}' has no schedulable agent ${unknown.join(', ')}.`,
  );
}

/** Whether the owner administers the domain, and so may use what belongs to others in it. */
const administers = (owner: Caller, domain: string): boolean =>
  owner.isSuperadmin || (owner.role === 'admin' && owner.domainName === domain);

async function checkDependencies(
  ctx: ManagerContext,
  request: EnqueueRequest,
  owner: Caller,
  domain: string,
): Promise<void> {
  if (request.dependencies.length === 0) return;
  const malformed = request.dependencies.filter((id) => !isUuid(id));
  if (malformed.length > 0)
    throw invalid(`dependencies: not session ids: ${malformed.join(', ')}.`);
  const userId = administers(owner, domain) ? null : owner.userId;
  const known = await selectDependencies(ctx.sql, request.dependencies, { domain, userId });
  const unknown = request.dependencies.filter((id) => !known.has(id.toLowerCase()));
  if (unknown.length > 0) throw invalid(`dependencies: no such sessions: ${unknown.join(', ')}.`);
  const failed = [...known].flatMap(([id, hasFailed]) => (hasFailed ? [id] : []));
  if (failed.length === 0) return;
  throw invalid(
    `dependencies: this session could never start, as these ended without success: ${failed.join(', ')}.`,
  );
}

function checkSessionType(request: EnqueueRequest, group: ResourceGroup): void {
  if (takesSessions(group, request.sessionType)) return;
  const allowed = group.schedulerOptions.allowed_session_types;
  throw new BackendError(
    'ScalingGroupSessionTypeNotAllowed',
    `Resource group '${group.name}' does not take ${request.sessionType} sessions, only ${allowed.join(', ') || 'those of the platform itself'}.`,
  );
}

/** The kernels of one role, with all that the request left open filled in. */
interface ResolvedRole {
  readonly role: string;
  readonly replicas: number;
  readonly image: Image;
  readonly architecture: string;
  readonly slots: Slots;
  readonly shmemBytes: bigint;
  readonly bootstrapScript: string | null;
  readonly request: RoleRequest;
}

function resolveRole(
  request: RoleRequest,
  image: Image,
  definitions: ReadonlyMap<string, SlotDefinition>,
  storedScript: string,
): ResolvedRole {
  const { role, replicas } = request;
  const { slots, shmemBytes } = resolveResources(request, image, definitions);
  checkPreopenPorts(request.preopenPorts, image.labels);
  const bootstrapScript = request.bootstrapScript || storedScript || null;
  if ((bootstrapScript ?? '').length > MAX_BOOTSTRAP_CHARS) {
    throw invalid(`The bootstrap script is longer than ${MAX_BOOTSTRAP_CHARS} characters.`);
  }
  const { architecture } = image;
  return { role, replicas, image, architecture, slots, shmemBytes, bootstrapScript, request };
}

interface Findings {
  readonly owner: Caller;
  readonly request: EnqueueRequest;
  readonly project: { readonly id: string; readonly domainName: string };
  readonly roles: readonly ResolvedRole[];
  readonly group: ResourceGroup;
  readonly account: AccountRow;
  readonly mounts: readonly FolderMount[];
  /** By which the kernels of a cluster reach each other; null for a single kernel. */
  readonly sshKeypair: SshKeypair | null;
}

function newKernels(ctx: ManagerContext, found: Findings, sessionId: string): NewKernel[] {
  const { owner, request, roles, account } = found;
  const cluster = placesOf(roles, () => ctx.random.uuid());
  const byRole = new Map(roles.map((item) => [item.role, item]));
  return cluster.flatMap((place) => {
    const resolved = byRole.get(place.role);
    if (!resolved) return [];
    const { image, slots, shmemBytes, bootstrapScript, request: asked } = resolved;
    const environment = {
      ...{ owner, sessionId, image, cluster },
      sudoEnabled: account.sudo_session_enabled,
      sessionName: request.sessionName,
      requested: asked.environ,
      preopenPorts: asked.preopenPorts,
    };
    const { kernelId: id, ...rest } = place;
    return {
      ...{ id, ...rest, image, slots, bootstrapScript },
      least: leastOf(image, shmemBytes),
      resourceOpts: { ...asked.resourceOpts, shmem: shmemBytes.toString() },
      environ: kernelEnvironment(environment, place),
      startupCommand: asked.startupCommand,
      preopenPorts: asked.preopenPorts,
    };
  });
}

function newSession(ctx: ManagerContext, found: Findings): NewSession {
  const { owner, request, roles, group, account } = found;
  const sessionId = ctx.random.uuid();
  const [main] = roles;
  return {
    id: sessionId,
    creationId: randomString(ctx.random, 22),
    name: request.sessionName,
    type: request.sessionType,
    priority: request.priority,
    isPreemptible: request.isPreemptible,
    options: { handler_options: group.sessionOptions.handler_options },
    designatedAgents: request.agentList,
    scalingGroup: group.name,
    domainName: found.project.domainName,
    groupId: found.project.id,
    userId: owner.userId,
    accessKey: owner.accessKey,
    tag: request.tag,
    clusterMode: request.clusterMode,
    totalSlots: totalDemand(roles),
    environ: main?.request.environ ?? {},
    bootstrapScript: main?.bootstrapScript ?? null,
    startupCommand: main?.request.startupCommand ?? null,
    useHostNetwork: group.useHostNetwork,
    batchTimeoutSec:
      request.batchTimeoutMs === null ? null : Math.ceil(request.batchTimeoutMs / 1000),
    startsAt: request.startsAt,
    callbackUrl: request.callbackUrl,
    mounts: found.mounts,
    uid: account.container_uid,
    mainGid: account.container_main_gid,
    gids: account.container_gids,
    dependencies: [...new Set(request.dependencies.map((id) => id.toLowerCase()))],
    kernels: newKernels(ctx, found, sessionId),
    sshKeypair: found.sshKeypair,
  };
}

async function store(ctx: ManagerContext, item: NewSession, by: Deed): Promise<void> {
  const action = { actionId: ctx.random.uuid(), durationSec: 0 };
  const record = auditRecord(by, action, {
    ...{ entityType: 'session', entityId: item.id, operation: 'create' },
    after: {
      ...{ name: item.name, session_type: item.type, user_uuid: item.userId },
      ...{ group_id: item.groupId, scaling_group_name: item.scalingGroup },
    },
  });
  try {
    const { traceparent = null } = traceHeaders();
    await ctx.newSessions.store({ ...item, record, traceparent });
  } catch (error) {
    // Somebody was faster with the same name.
    const taken = errorCode(error) === UNIQUE_VIOLATION;
    const existing = taken ? await ctx.newSessions.liveByName(item) : null;
    throw existing ? alreadyExists(item.name, existing) : error;
  }
}

/** The image of each role, in their order. */
async function imagesOf(
  { sql, newSessions }: ManagerContext,
  roles: readonly RoleRequest[],
  viewer: { readonly domainName: string; readonly userId: string },
): Promise<Image[]> {
  return await Promise.all(
    roles.map(({ image: reference, architecture }) => {
      const wanted = { reference, architecture, viewer };
      return newSessions.images.share(JSON.stringify(wanted), () => resolveImage(sql, wanted));
    }),
  );
}

/** What does not depend on the request but for its project. */
async function ownerFacts(
  { sql, newSessions }: ManagerContext,
  owner: Caller,
  domain: string,
  nameOrId: string,
): Promise<OwnerFacts> {
  const { userId, accessKey } = owner;
  const project = { userId, domain, nameOrId, anyMember: administers(owner, domain) };
  return await newSessions.owners.share(JSON.stringify({ ...project, accessKey }), async () => {
    const [member, policy, account, storedScript, definitions] = await Promise.all([
      projectOfMember(sql, project),
      loadKeypairPolicy(sql, accessKey),
      selectAccount(sql, userId),
      storedBootstrapScript(sql, accessKey),
      selectSlotDefinitions(sql),
    ]);
    return { project: member, policy, account, storedScript, definitions };
  });
}

/** The resource group that the session goes to, and its agents. */
async function groupFacts(
  { sql, newSessions }: ManagerContext,
  scope: Parameters<typeof chooseResourceGroup>[1],
  wish: Parameters<typeof chooseResourceGroup>[2],
): Promise<GroupFacts> {
  return await newSessions.groups.share(JSON.stringify({ ...scope, ...wish }), async () => {
    const group = await chooseResourceGroup(sql, scope, wish);
    return { group, agents: await selectCapacities(sql, group.name) };
  });
}

/** What the session mounts; the storage proxies are asked. */
async function mountsFor(
  ctx: ManagerContext,
  session: { readonly owner: Caller; readonly projectId: string },
  request: EnqueueRequest,
): Promise<readonly FolderMount[]> {
  const resolve = () => resolveMounts(ctx, session, request.mounts);
  if (request.mounts.length > 0) return await resolve();
  return await ctx.newSessions.mounts.share(JSON.stringify(session), resolve);
}

interface Prepared {
  /** The image of each role. */
  readonly images: readonly Image[];
  /** The rest of the checks, which only a new session needs. */
  readonly complete: () => Promise<NewSession>;
}

/**
 * Validates a request, the cheap part at once.
 * @param isDry whether the session will not be made: then it needs no secrets.
 */
async function prepare(
  ctx: ManagerContext,
  owner: Caller,
  request: EnqueueRequest,
  isDry: boolean,
): Promise<Prepared> {
  const { sql } = ctx;
  const asked = rolesOf(request);
  checkRequest(request, asked);
  const clusterSize = clusterSizeOf(asked);
  const domain = request.domain || owner.domainName;
  const { userId, accessKey } = owner;
  const [facts, images] = await Promise.all([
    ownerFacts(ctx, owner, domain, request.group),
    imagesOf(ctx, asked, { domainName: domain, userId }),
  ]);
  const { project, policy, account, storedScript, definitions } = facts;
  for (const image of images) checkImageOwner(image, owner);

  const complete = async (): Promise<NewSession> => {
    if (!account) throw new BackendError('UserNotFound');
    const scope = { domain, projectId: project.id, accessKey };
    const [counts, { group, agents }] = await Promise.all([
      countSessions(ctx, owner, request, policy),
      groupFacts(ctx, scope, { name: request.scalingGroup, type: request.sessionType }),
    ]);
    checkPolicy(request, clusterSize, policy, counts);
    checkSessionType(request, group);
    const roles = asked.flatMap((role, index) => {
      const image = images[index];
      return image ? resolveRole(role, image, definitions, storedScript) : [];
    });
    await Promise.all([
      checkPendingSlots(ctx, owner, policy, totalDemand(roles)),
      checkDependencies(ctx, request, owner, domain),
    ]);
    const able = checkAgents(request, group, agents);
    checkClusterServable(roles, request.clusterMode, group.name, able);
    // Last, as it asks the storage proxies.
    const mounts = await mountsFor(ctx, { owner, projectId: project.id }, request);
    const session = { accessKey, projectId: project.id, domainName: project.domainName };
    const places = mounts.map((mount) => mount.kernel_path);
    await checkBesideMounts(sql, session, places);
    const sshKeypair = clusterSize > 1 && !isDry ? await generateSshKeypair() : null;
    return newSession(ctx, {
      ...{ owner, request, project, roles, group, account, mounts, sshKeypair },
    });
  };
  return { images, complete };
}

/**
 * Validates a session as `enqueueSession` does, and makes none.
 * @throws BackendError naming the rule that refuses the request.
 */
export async function trySession(
  ctx: ManagerContext,
  owner: Caller,
  request: EnqueueRequest,
): Promise<NewSession> {
  return (await prepare(ctx, owner, request, true)).complete();
}

/**
 * Validates and stores a session, then wakes the scheduler. Returns before it is scheduled.
 * @param by whose deed is recorded: the owner's own unless somebody else asks.
 * @throws BackendError naming the rule that refuses the request; SessionAlreadyExists carries
 *   `data.existingSessionId`.
 */
export async function enqueueSession(
  ctx: ManagerContext,
  owner: Caller,
  request: EnqueueRequest,
  by: Deed = { caller: owner, requestId: null, clientAddress: null },
): Promise<EnqueueResult> {
  const [{ images, complete }, existing] = await Promise.all([
    prepare(ctx, owner, request, false),
    ctx.newSessions.liveByName({ userId: owner.userId, name: request.sessionName }),
  ]);
  const reused = reuseExisting(existing, owner, request, images);
  if (reused) return reused;
  const item = await complete();
  await store(ctx, item, by);
  ctx.events.publish({
    ...{ type: 'session-status', sessionId: item.id, status: 'PENDING', reason: '' },
  });
  ctx.events.publish({ type: 'wake', loop: 'schedule' });
  if (item.callbackUrl !== null) ctx.events.publish({ type: 'wake', loop: 'callback' });
  return { sessionId: item.id, sessionName: item.name, created: true, status: 'PENDING' };
}
