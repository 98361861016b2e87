/** On which storage hosts a caller may do what, and how full they are. */
import { BackendError, errorMessage } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import type { Db } from '../db/connect.ts';
import type { HOST_PERMISSIONS } from '../db/json.ts';
import type { Caller } from '../http/route.ts';
import { listVolumes, type VolumeInfo, volumeUsage } from '../storage/client.ts';
import { readVolumeSettings, type VolumeSettings } from '../storage/settings.ts';
import {
  type HostScope,
  isProjectInReach,
  selectHostPermissions,
} from './host-permission-store.ts';

export type HostPermission = (typeof HOST_PERMISSIONS)[number];

/** How long a proxy may take to say what it has; pages wait for it. Milliseconds. */
const OVERVIEW_TIMEOUT_MS = 10_000;
/** The volume of unmanaged folders, open to everybody. */
const NO_VOLUME = 'noop';

/** Host → what the caller may do there: all that domain, projects or keypair policy allow. */
export async function allowedHosts(
  sql: Db,
  caller: Caller,
  scope: HostScope = {},
): Promise<Map<string, Set<string>>> {
  const merged = new Map<string, Set<string>>();
  for (const hosts of await selectHostPermissions(sql, caller, scope)) {
    for (const [host, permissions] of Object.entries(hosts)) {
      const all = merged.get(host) ?? new Set();
      for (const permission of permissions) all.add(permission);
      merged.set(host, all);
    }
  }
  return merged;
}

/** @throws BackendError InsufficientStoragePermission naming what is missing. */
export async function requireHostPermission(
  sql: Db,
  caller: Caller,
  host: string,
  permission: HostPermission,
  projectId: string | null = null,
): Promise<void> {
  if (host.endsWith(`:${NO_VOLUME}`)) return;
  const allowed = await allowedHosts(sql, caller, { projectId });
  if (allowed.get(host)?.has(permission)) return;
  throw new BackendError(
    'InsufficientStoragePermission',
    `'${permission}' is not allowed on storage host '${host}'. An administrator can allow it in your domain, project or keypair resource policy.`,
  );
}

export interface HostVolume {
  /** `proxy:volume`. */
  readonly host: string;
  readonly proxy: string;
  readonly volume: VolumeInfo;
}

/** The volumes of all proxies that answer, by host; one that does not is logged and left out. */
export async function allVolumes(
  ctx: ManagerContext,
  settings: VolumeSettings,
): Promise<HostVolume[]> {
  const perProxy = await Promise.all(
    [...settings.proxies.values()].map(async (proxy) => {
      const totalTimeoutMs = Math.min(proxy.totalTimeoutMs, OVERVIEW_TIMEOUT_MS);
      try {
        const volumes = await listVolumes(ctx, { ...proxy, totalTimeoutMs });
        return volumes.map((volume) => ({
          host: `${proxy.name}:${volume.name}`,
          proxy: proxy.name,
          volume,
        }));
      } catch (error) {
        ctx.log.warn('a storage proxy does not tell its volumes', {
          proxy: proxy.name,
          error: errorMessage(error),
        });
        return [];
      }
    }),
  );
  return perProxy
    .flat()
    .filter(({ volume }) => volume.name !== NO_VOLUME)
    .sort((a, b) => a.host.localeCompare(b.host));
}

async function exposedUsage(
  ctx: ManagerContext,
  { exposed }: VolumeSettings,
  host: string,
): Promise<Record<string, number>> {
  if (exposed.size === 0) return {};
  try {
    const { capacity_bytes: total, used_bytes: used } = await volumeUsage(ctx, host);
    return {
      ...(exposed.has('used_bytes') && { used }),
      ...(exposed.has('capacity_bytes') && { total }),
      ...(exposed.has('percentage') && { percentage: total > 0 ? (used / total) * 100 : 0 }),
    };
  } catch (error) {
    ctx.log.warn('the usage of a volume cannot be told', { host, error: errorMessage(error) });
    return {};
  }
}

/**
 * The hosts that a caller may use, in a project if one is given, with what is shown of each.
 * @throws BackendError ProjectNotFound for a project that is not the caller's to name.
 */
export async function usableHosts(ctx: ManagerContext, caller: Caller, projectId: string | null) {
  if (projectId !== null && !(await isProjectInReach(ctx.sql, caller, projectId))) {
    throw new BackendError('ProjectNotFound', `There is no project ${projectId} of yours.`);
  }
  const settings = await readVolumeSettings(ctx.config);
  const scope = { projectId, onlyProject: projectId !== null };
  const allowed = await allowedHosts(ctx.sql, caller, scope);
  const volumes = (await allVolumes(ctx, settings)).filter(({ host }) => allowed.has(host));
  const info = await Promise.all(
    volumes.map(async ({ host, proxy, volume }) => [
      host,
      {
        backend: volume.backend,
        capabilities: volume.capabilities,
        usage: await exposedUsage(ctx, settings, host),
        sftp_scaling_groups: settings.proxies.get(proxy)?.sftpScalingGroups ?? [],
      },
    ]),
  );
  const hosts = volumes.map(({ host }) => host);
  const { defaultHost } = settings;
  return {
    default: defaultHost !== null && hosts.includes(defaultHost) ? defaultHost : null,
    allowed: hosts,
    volume_info: Object.fromEntries(info),
  };
}

/** All hosts there are. */
export async function everyHost(ctx: ManagerContext) {
  const settings = await readVolumeSettings(ctx.config);
  const hosts = (await allVolumes(ctx, settings)).map(({ host }) => host);
  return { default: settings.defaultHost, allowed: hosts };
}
