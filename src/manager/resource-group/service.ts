/** Resource groups (upstream: scaling groups): sets of agents, and who may run sessions on them. */
import type { Sql } from 'postgres';
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { sessionTypes } from '../../common/protocol/kernel.ts';
import type { Db } from '../db/connect.ts';
import type { ScalingGroupRow } from '../db/rows.generated.ts';
import { type Listed, mapListed, type PageWish } from '../graphql/page.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import type { Caller } from '../http/route.ts';
import type { AppProxyAddress } from './app-proxy.ts';
import {
  type DefaultSessionOptions,
  type DeploymentOptions,
  defaultSessionOptions,
  deploymentOptions,
  type FairShareSpec,
  fairShareSpec,
  type SchedulerOptions,
  schedulerOptions,
} from './options.ts';
import * as store from './store.ts';
import { selectGroupsV2 } from './v2-store.ts';

/** Largest number of resource groups in one answer. */
const MAX_LISTED = 1000;

export interface ResourceGroup {
  readonly name: string;
  readonly description: string | null;
  readonly isActive: boolean;
  /** Groups that are not public are shown to administrators only. */
  readonly isPublic: boolean;
  readonly createdAt: Date;
  readonly wsproxyAddr: string | null;
  /** How managers reach the app proxy of its sessions; null when there is none. */
  readonly appProxy: AppProxyAddress | null;
  readonly driver: string;
  /** fifo, lifo, drf or fair-share. */
  readonly scheduler: string;
  readonly schedulerOptions: SchedulerOptions;
  readonly sessionOptions: DefaultSessionOptions;
  readonly useHostNetwork: boolean;
  readonly deploymentOptions: DeploymentOptions;
  readonly fairShare: FairShareSpec;
  /** The agent that round-robin selection used last. */
  readonly roundRobinAgent: string | null;
}

function toResourceGroup(row: ScalingGroupRow): ResourceGroup {
  return {
    name: row.name,
    description: row.description,
    isActive: row.is_active ?? false,
    isPublic: row.is_public,
    createdAt: row.created_at,
    wsproxyAddr: row.wsproxy_addr,
    appProxy: row.wsproxy_addr ? { url: row.wsproxy_addr, token: row.wsproxy_api_token } : null,
    driver: row.driver,
    scheduler: row.scheduler,
    schedulerOptions: v.parse(schedulerOptions, row.scheduler_opts),
    sessionOptions: v.parse(defaultSessionOptions, row.default_session_options),
    deploymentOptions: v.parse(deploymentOptions, row.default_deployment_options),
    useHostNetwork: row.use_host_network,
    fairShare: v.parse(fairShareSpec, row.fair_share_spec ?? {}),
    roundRobinAgent: row.round_robin_agent,
  };
}

/**
 * The active resource groups that the domain, the project or the keypair may use, by name.
 * A request that names no group runs in the first one.
 */
export async function allowedResourceGroups(
  sql: Db,
  scope: store.UsageScope,
): Promise<ResourceGroup[]> {
  return (await store.selectAllowed(sql, scope, MAX_LISTED)).map(toResourceGroup);
}

/** Names of the active resource groups that `caller` may use, in whichever project. */
export const usableGroupNames = (
  sql: Db,
  { domainName, userId, accessKey }: Pick<Caller, 'domainName' | 'userId' | 'accessKey'>,
): Promise<string[]> => store.selectUsableNames(sql, { domain: domainName, userId, accessKey });

/** The active resource groups that `caller` may use, in whichever project. */
export async function usableGroups(
  sql: Db,
  caller: Pick<Caller, 'domainName' | 'userId' | 'accessKey'>,
): Promise<ResourceGroup[]> {
  const names = await usableGroupNames(sql, caller);
  return (await store.selectByNames(sql, names)).map(toResourceGroup);
}

/**
 * One page of the groups that `caller` may see: superadmins all, others what they may use, without
 * those that are not public unless they administer their domain.
 */
export async function listGroupsV2(
  sql: Sql,
  caller: Caller,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<ResourceGroup>> {
  const scope = caller.isSuperadmin
    ? null
    : { names: await usableGroupNames(sql, caller), hidden: caller.role === 'admin' };
  return mapListed(await selectGroupsV2(sql, scope, query, wish), toResourceGroup);
}

type SessionType = (typeof sessionTypes)[number];

/** Whether sessions of a type may run in a group. Those that serve the platform are not listed. */
export const takesSessions = ({ schedulerOptions }: ResourceGroup, type: SessionType): boolean =>
  type === 'system' || schedulerOptions.allowed_session_types.includes(type);

/**
 * The resource group for a session: `wish.name`, or when that is null, the first allowed one that takes
 * sessions of its type; the first one where none does.
 * @throws BackendError ScalingGroupNotFound naming the groups that may be used, or
 *   NoAvailableScalingGroup when there is none.
 */
export async function chooseResourceGroup(
  sql: Db,
  scope: store.UsageScope,
  wish: { readonly name: string | null; readonly type: SessionType },
): Promise<ResourceGroup> {
  const { name, type } = wish;
  const allowed = await allowedResourceGroups(sql, scope);
  const [first] = allowed;
  if (!first) {
    throw new BackendError(
      'NoAvailableScalingGroup',
      `No active resource group is open to domain '${scope.domain}', the project or the keypair. An administrator can associate one.`,
    );
  }
  const found =
    name === null
      ? (allowed.find((group) => takesSessions(group, type)) ?? first)
      : allowed.find((group) => group.name === name);
  if (found) return found;
  const names = allowed.map((group) => group.name).join(', ');
  throw new BackendError(
    'ScalingGroupNotFound',
    `Resource group '${name}' is not one you may use here. Yours: ${names}.`,
  );
}

/** A resource group by name, whoever asks: for decisions, not for showing. Null when absent. */
export async function loadResourceGroup(sql: Db, name: string): Promise<ResourceGroup | null> {
  const row = await store.selectByName(sql, name);
  return row && toResourceGroup(row);
}

/** All resource groups, by name, for the scheduler and superadmins; at most 1000. */
export async function listAllResourceGroups(sql: Db): Promise<ResourceGroup[]> {
  return (await store.selectAll(sql, MAX_LISTED)).map(toResourceGroup);
}

/** Remembers, by resource group, where round-robin selection has come to. */
export async function rememberRoundRobin(
  sql: Db,
  lastAgents: ReadonlyMap<string, string>,
): Promise<void> {
  if (lastAgents.size > 0) await store.updateRoundRobin(sql, lastAgents);
}
