/** What all nodes have mounted for volumes, and mounting a file system on all of them. */
import { BackendError } from '../../common/errors.ts';
import { readMounts } from '../../common/mounts.ts';
import { agentMounts, type MountReport, mountReport, onAgents } from '../agent/mounts.ts';
import { change } from '../audit/service.ts';
import type { ManagerContext } from '../context.ts';
import { readVolumeSettings } from '../storage/settings.ts';
import { allVolumes } from './hosts.ts';
import type { FolderChange } from './manage.ts';
import { selectSessionsBelow } from './manage-store.ts';

/** Below it lie the mount points of volumes, unless `volumes/_mount` says otherwise. */
const MOUNT_PREFIX = '/mnt';
const ENTITY = 'storage_mount';
/** Sessions that are named in a refusal. */
const MAX_NAMED = 10;
/** Managers reach volumes by way of storage proxies. */
const OF_MANAGER: MountReport = {
  success: true,
  mounts: [],
  message: 'Managers mount nothing; see to the storage proxies by hand.',
};

export interface NodeMount {
  readonly name: string;
  /** Null: the agents of all resource groups. */
  readonly group: string | null;
  /** Null: none is changed. */
  readonly fstab: string | null;
}

const prefixOf = async ({ config }: ManagerContext): Promise<string> =>
  ((await config.get('volumes/_mount')) ?? MOUNT_PREFIX).replace(/\/+$/, '');

export async function everyMount(ctx: ManagerContext) {
  const below = await prefixOf(ctx);
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

interface MountResults {
  readonly manager: MountReport;
  readonly agents: Readonly<Record<string, MountReport>>;
}

/** Has agents mount a network file system; each tells how it went. */
export async function mountOnNodes(
  by: FolderChange,
  { group, ...mount }: NodeMount,
  source: { readonly location: string; readonly type: string; readonly options: string },
): Promise<MountResults> {
  const { ctx } = by;
  const below = await prefixOf(ctx);
  // What cannot be recorded is not done. It may take longer than a transaction should.
  await change(by, async (_, note) => {
    const after = { below, group, ...source };
    note({ entityType: ENTITY, entityId: mount.name, operation: 'create', after });
  });
  const agents = await onAgents(ctx, group, (agent) =>
    agent.mountVolume({ ...mount, ...source, below }),
  );
  return { manager: OF_MANAGER, agents: Object.fromEntries(agents) };
}

/** @throws BackendError InvalidAPIParameters while sessions use what is mounted there. */
export async function unmountOnNodes(
  by: FolderChange,
  { group, ...mount }: NodeMount,
): Promise<MountResults> {
  const { ctx } = by;
  const below = await prefixOf(ctx);
  const sessions = await selectSessionsBelow(ctx.sql, `${below}/${mount.name}`, group, MAX_NAMED);
  if (sessions.length > 0) {
    throw new BackendError(
      'InvalidAPIParameters',
      `'${mount.name}' is used by the sessions ${sessions.join(', ')}. End these sessions first.`,
    );
  }
  await change(by, async (_, note) => {
    const before = { below, group };
    note({ entityType: ENTITY, entityId: mount.name, operation: 'delete', before });
  });
  const agents = await onAgents(ctx, group, (agent) => agent.unmountVolume({ ...mount, below }));
  return { manager: OF_MANAGER, agents: Object.fromEntries(agents) };
}
