/** The reports on a period: kernels by project, and the tree of projects, sessions and kernels. Pure. */
import { isoTime, isoTimeOrNull } from '../../common/time.ts';
import {
  addFigures,
  deviceTypesOf,
  type Figures,
  figuresOf,
  NO_USAGE,
  type UsageFigures,
} from './kernel-usage.ts';
import type { UsedRow } from './store.ts';

export interface KernelWithUsage {
  readonly row: UsedRow;
  readonly figures: UsageFigures;
  readonly deviceTypes: readonly string[];
  readonly paths: readonly string[];
}

const DAY_MS = 86_400_000;

/** `1 day, 2:03:04`, as upstream writes lengths of time. */
export function lengthText(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const [days, rest] = [Math.floor(seconds / 86_400), seconds % 86_400];
  const two = (value: number) => String(value).padStart(2, '0');
  const clock = `${Math.floor(rest / 3600)}:${two(Math.floor(rest / 60) % 60)}:${two(rest % 60)}`;
  const fraction = ms % 1000 === 0 ? '' : `.${String(ms % 1000).padStart(3, '0')}000`;
  return `${days === 0 ? '' : `${days} day${days === 1 ? '' : 's'}, `}${clock}${fraction}`;
}

/** How long it ran, and on how many calendar days (UTC); null while it runs. */
function lifeOf({ created_at: from, terminated_at: to }: UsedRow) {
  if (to === null) return { used_time: null, used_days: null };
  const dayOf = (time: Date) => Math.floor(time.getTime() / DAY_MS);
  return {
    used_time: lengthText(Math.max(0, to.getTime() - from.getTime())),
    used_days: dayOf(to) - dayOf(from) + 1,
  };
}

/** @param measured what the kernel uses now, while it runs. */
export function withUsage(row: UsedRow, measured: Figures | null): KernelWithUsage {
  const paths = (row.vfolder_mounts ?? []).flatMap(({ host_path: path }) => path ?? []);
  const kernel = {
    occupiedSlots: row.occupied_slots,
    lastStat: row.last_stat ?? measured,
    shmem: row.resource_opts?.shmem,
    attachedDevices: row.attached_devices,
    mountedPaths: [...new Set(paths)],
  };
  return {
    row: { ...row, last_stat: row.last_stat ?? (measured && { ...measured }) },
    figures: figuresOf(kernel),
    deviceTypes: deviceTypesOf(kernel),
    paths: kernel.mountedPaths,
  };
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const out = new Map<string, T[]>();
  for (const item of items) {
    const list = out.get(keyOf(item));
    if (list) list.push(item);
    else out.set(keyOf(item), [item]);
  }
  return out;
}

const totalOf = (kernels: readonly KernelWithUsage[]): UsageFigures =>
  kernels.reduce((sum, { figures }) => addFigures(sum, figures), NO_USAGE);
const distinct = <T>(values: readonly (T | null)[]): T[] => [
  ...new Set(values.filter((value): value is T & {} => value !== null)),
];

const containerInfo = ({ row, figures, deviceTypes, paths }: KernelWithUsage) => ({
  id: row.id,
  session_id: row.session_id,
  container_id: row.container_id,
  domain_name: row.domain_name,
  group_id: row.group_id,
  group_name: row.group_name,
  name: row.session_name,
  access_key: row.access_key,
  email: row.email,
  full_name: row.full_name,
  agent: row.agent,
  ...figures,
  ...lifeOf(row),
  device_type: deviceTypes,
  nfs: row.vfolder_mounts === null ? null : paths,
  image_id: row.image,
  image_name: row.image,
  created_at: isoTime(row.created_at),
  terminated_at: isoTimeOrNull(row.terminated_at),
  status: row.status,
  status_info: row.status_info,
  status_changed: isoTimeOrNull(row.status_changed),
  status_history: row.status_history ?? {},
  cluster_mode: row.cluster_mode,
});

/** One record per project, with its sums and kernels. */
export function projectUsage(kernels: readonly KernelWithUsage[]) {
  return [...groupBy(kernels, ({ row }) => row.group_id)].map(([projectId, own]) => {
    const sums = Object.fromEntries(
      Object.entries(totalOf(own)).map(([name, value]) => [`g_${name}`, value]),
    );
    return {
      domain_name: own[0]?.row.domain_name ?? '',
      g_id: projectId,
      g_name: own[0]?.row.group_name ?? '',
      ...sums,
      g_device_type: distinct(own.flatMap(({ deviceTypes }) => deviceTypes)),
      c_infos: own.map(containerInfo),
    };
  });
}

const totalUsage = (kernels: readonly KernelWithUsage[]) => ({
  ...totalOf(kernels),
  nfs: distinct(kernels.flatMap(({ paths }) => paths)),
  device_type: distinct(kernels.flatMap(({ deviceTypes }) => deviceTypes)),
});

/** What a kernel, a session or a project says of itself; the last two say it of their first kernel. */
function describe({ row }: KernelWithUsage, kernels: readonly KernelWithUsage[]) {
  return {
    created_at: isoTime(row.created_at),
    ...lifeOf(row),
    user_id: row.user_uuid,
    user_email: row.email,
    access_key: row.access_key,
    project_id: row.group_id,
    project_name: row.group_name,
    kernel_id: row.id,
    container_ids: distinct(kernels.map((kernel) => kernel.row.container_id)),
    session_id: row.session_id,
    session_name: row.session_name,
    domain_name: row.domain_name,
    last_stat: row.last_stat,
    extra_info: {},
    full_name: row.full_name,
    images: distinct(kernels.map((kernel) => kernel.row.image)),
    agents: distinct(kernels.map((kernel) => kernel.row.agent)),
    status: row.status,
    status_info: row.status_info,
    status_history: row.status_history === null ? null : JSON.stringify(row.status_history),
    cluster_mode: row.cluster_mode,
    scheduled_at: row.status_history?.SCHEDULED ?? null,
    terminated_at: isoTimeOrNull(row.terminated_at),
    total_usage: totalUsage(kernels),
  };
}

function sessionTree(kernels: readonly KernelWithUsage[]) {
  const [first] = kernels;
  return {
    ...(first && describe(first, kernels)),
    group_unit: 'session',
    kernels: Object.fromEntries(
      kernels.map((kernel) => [
        kernel.row.id,
        { ...describe(kernel, [kernel]), agent: kernel.row.agent, group_unit: 'kernel' },
      ]),
    ),
  };
}

/** One tree per project: its sessions by id, and their kernels by id. */
export function usageTree(kernels: readonly KernelWithUsage[]) {
  return [...groupBy(kernels, ({ row }) => row.group_id).values()].map((own) => {
    const [first] = own;
    return {
      ...(first && describe(first, own)),
      ...{ full_name: null, status: null, status_info: null, status_history: null },
      ...{ cluster_mode: null, scheduled_at: null, terminated_at: null },
      group_unit: 'project',
      sessions: Object.fromEntries(
        [...groupBy(own, ({ row }) => row.session_id)].map(([id, list]) => [id, sessionTree(list)]),
      ),
    };
  });
}
