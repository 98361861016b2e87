/** Enqueueing: checks a request against every rule, stores the session, wakes the scheduler. */

import { BackendError, errorCode } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import { CUSTOMIZED_OWNER_LABEL } from '../../common/images/labels.ts';
import { randomString } from '../../common/random.ts';
import { addSlots, formatAmount, parseSlots, type Slots } from '../../common/slots.ts';
import type { ManagerContext } from '../context.ts';
import { checkBesideMounts } from '../dotfile/service.ts';
import { type FolderMount, resolveMounts } from '../folder/mount.ts';
import type { Caller } from '../http/route.ts';
import { type Image, resolveImage } from '../image/service.ts';
import { storedBootstrapScript } from '../keypair/service.ts';
import { type KeypairPolicy, loadKeypairPolicy } from '../policy/service.ts';
import { projectOfMember } from '../project/service.ts';
import { chooseResourceGroup, type ResourceGroup } from '../resource-group/service.ts';
import { MAX_BOOTSTRAP_CHARS } from './create-request.ts';
import {
  type ExistingSession,
  insertSession,
  type NewSession,
  type OwnerRow,
  selectCapacities,
  selectDependencies,
  selectLiveByName,
  selectOwner,
  selectPendingSlots,
  selectSlotDefinitions,
} from './enqueue-store.ts';
import { checkPreopenPorts, type KernelPlace, kernelEnvironment } from './environment.ts';
import { type AgentCapacity, checkServable, resolveResources } from './resources.ts';
import type { EnqueueRequest, EnqueueResult } from './types.ts';

const UNIQUE_VIOLATION = '23505';

const invalid = (message: string) => new BackendError('InvalidAPIParameters', message);

/** What concerns the request alone. */
function checkRequest(request: EnqueueRequest): void {
  const isBatch = request.sessionType === 'batch';
  if (isBatch && !request.startupCommand) {
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
  image: Image,
): EnqueueResult | null {
  if (!existing) return null;
  const same = existing.accessKey === owner.accessKey && existing.imageIds[0] === image.id;
  if (!request.reuse || !same) throw alreadyExists(request.sessionName, existing);
  const { id: sessionId, status } = existing;
  return { sessionId, sessionName: request.sessionName, created: false, status };
}

function checkImageOwner(image: Image, owner: Caller): void {
  const customizedFor = image.labels[CUSTOMIZED_OWNER_LABEL];
  if (customizedFor === undefined || customizedFor === `user:${owner.userId}`) return;
  throw new BackendError('ImageNotFound', `There is no image '${image.canonical}' you may use.`);
}

function checkPolicy(request: EnqueueRequest, policy: KeypairPolicy, counts: OwnerRow): void {
  const isSystem = request.sessionType === 'system';
  const limit = isSystem ? policy.maxConcurrentSftpSessions : policy.maxConcurrentSessions;
  const live = isSystem ? counts.live_sftp : counts.live;
  if (limit !== null && live >= limit) {
    throw new BackendError(
      'ConcurrencyLimitExceeded',
      `You cannot run more than ${limit} concurrent sessions and have ${live}. End one of them first.`,
    );
  }
  const { maxContainersPerSession, maxPendingSessionCount } = policy;
  if (maxContainersPerSession !== null && request.clusterSize > maxContainersPerSession) {
    throw new BackendError(
      'QuotaExceeded',
      `You cannot create session with more than ${maxContainersPerSession} containers; cluster_size is ${request.clusterSize}.`,
    );
  }
  if (request.clusterSize > 1) {
    throw invalid(
      `Clusters of several containers are not available on this server; cluster_size must be 1, not ${request.clusterSize}.`,
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
  const allowed = group.schedulerOptions.allowed_session_types;
  // System sessions serve the platform itself and are not listed.
  if (request.sessionType === 'system' || allowed.includes(request.sessionType)) return;
  throw new BackendError(
    'ScalingGroupSessionTypeNotAllowed',
    `Resource group '${group.name}' does not take ${request.sessionType} sessions, only ${allowed.join(', ')}.`,
  );
}

interface Findings {
  readonly owner: Caller;
  readonly request: EnqueueRequest;
  readonly project: { readonly id: string; readonly domainName: string };
  readonly image: Image;
  readonly group: ResourceGroup;
  readonly account: OwnerRow;
  readonly storedScript: string;
  readonly slots: Slots;
  readonly shmemBytes: bigint;
  readonly mounts: readonly FolderMount[];
}

function newSession(ctx: ManagerContext, found: Findings): NewSession {
  const { owner, request, image, group, account, slots } = found;
  const sessionId = ctx.random.uuid();
  const main: KernelPlace = {
    kernelId: ctx.random.uuid(),
    ...{ role: 'main', idx: 1, localRank: 0, hostname: 'main1' },
  };
  const environment = {
    ...{ owner, sessionId, image },
    sudoEnabled: account.sudo_session_enabled,
    sessionName: request.sessionName,
    requested: request.environ,
    preopenPorts: request.preopenPorts,
    cluster: [main],
  };
  const { kernelId, ...place } = main;
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
    image,
    tag: request.tag,
    clusterMode: request.clusterMode,
    slots,
    totalSlots: slots,
    resourceOpts: { ...request.resourceOpts, shmem: found.shmemBytes.toString() },
    environ: request.environ,
    bootstrapScript: request.bootstrapScript || found.storedScript || null,
    startupCommand: request.startupCommand,
    useHostNetwork: group.useHostNetwork,
    batchTimeoutSec:
      request.batchTimeoutMs === null ? null : Math.ceil(request.batchTimeoutMs / 1000),
    startsAt: request.startsAt,
    callbackUrl: request.callbackUrl,
    preopenPorts: request.preopenPorts,
    mounts: found.mounts,
    uid: account.container_uid,
    mainGid: account.container_main_gid,
    gids: account.container_gids,
    dependencies: [...new Set(request.dependencies.map((id) => id.toLowerCase()))],
    kernels: [{ id: kernelId, ...place, environ: kernelEnvironment(environment, main) }],
  };
}

async function store(ctx: ManagerContext, item: NewSession): Promise<void> {
  try {
    await insertSession(ctx.sql, item, ctx.clock.now());
  } catch (error) {
    // Somebody was faster with the same name.
    const taken = errorCode(error) === UNIQUE_VIOLATION;
    const existing = taken ? await selectLiveByName(ctx.sql, item.userId, item.name) : null;
    throw existing ? alreadyExists(item.name, existing) : error;
  }
}

/**
 * Validates and stores a session, then wakes the scheduler. Returns before it is scheduled.
 * @throws BackendError naming the rule that refuses the request; SessionAlreadyExists carries
 *   `data.existingSessionId`.
 */
export async function enqueueSession(
  ctx: ManagerContext,
  owner: Caller,
  request: EnqueueRequest,
): Promise<EnqueueResult> {
  const { sql } = ctx;
  checkRequest(request);
  const domain = request.domain || owner.domainName;
  const { userId, accessKey } = owner;
  const [project, image, existing, policy, account, storedScript, definitions] = await Promise.all([
    projectOfMember(sql, {
      ...{ userId, domain, nameOrId: request.group },
      anyMember: administers(owner, domain),
    }),
    resolveImage(sql, {
      reference: request.image,
      architecture: request.architecture,
      viewer: { domainName: domain, userId },
    }),
    selectLiveByName(sql, userId, request.sessionName),
    loadKeypairPolicy(sql, accessKey),
    selectOwner(sql, userId, accessKey),
    storedBootstrapScript(sql, accessKey),
    selectSlotDefinitions(sql),
  ]);
  checkImageOwner(image, owner);
  const reused = reuseExisting(existing, owner, request, image);
  if (reused) return reused;
  if (!account) throw new BackendError('UserNotFound');
  checkPolicy(request, policy, account);
  const scope = { domain, projectId: project.id, accessKey };
  const group = await chooseResourceGroup(sql, scope, request.scalingGroup);
  checkSessionType(request, group);
  const { slots, shmemBytes } = resolveResources(request, image, definitions);
  checkPreopenPorts(request.preopenPorts, image.labels);
  if ((request.bootstrapScript || storedScript).length > MAX_BOOTSTRAP_CHARS) {
    throw invalid(`The bootstrap script is longer than ${MAX_BOOTSTRAP_CHARS} characters.`);
  }
  const [agents] = await Promise.all([
    selectCapacities(sql, group.name),
    checkPendingSlots(ctx, owner, policy, slots),
    checkDependencies(ctx, request, owner, domain),
  ]);
  checkServable(slots, image.architecture, group.name, checkAgents(request, group, agents));
  // Last, as it asks the storage proxies.
  const mounts = await resolveMounts(ctx, { owner, projectId: project.id }, request.mounts);
  const session = { accessKey, projectId: project.id, domainName: project.domainName };
  const places = mounts.map((mount) => mount.kernel_path);
  await checkBesideMounts(sql, session, places);
  const item = newSession(ctx, {
    ...{ owner, request, project, image, group, account, storedScript, slots, shmemBytes, mounts },
  });
  await store(ctx, item);
  ctx.events.publish({
    ...{ type: 'session-status', sessionId: item.id, status: 'PENDING', reason: '' },
  });
  ctx.events.publish({ type: 'wake', loop: 'schedule' });
  if (item.callbackUrl !== null) ctx.events.publish({ type: 'wake', loop: 'callback' });
  return { sessionId: item.id, sessionName: item.name, created: true, status: 'PENDING' };
}
