/**
 * What storage proxies do for the manager, as functions: one per operation of their manager-facing
 * API, with checked answers. A folder is named by its host and its place there.
 */

import type { GenericSchema, InferOutput } from 'valibot';
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { describeIssues } from '../http/body.ts';
import { callProxy, type Method } from './call.ts';
import { parseHost, proxyOf, readVolumeSettings, type StorageProxy } from './settings.ts';

type StorageContext = Pick<ManagerContext, 'config' | 'clock'>;

/** Where a folder is. */
export interface FolderPlace {
  /** `proxy:volume`. */
  readonly host: string;
  /** `<quota scope>/<id without dashes>`. */
  readonly vfid: string;
}

interface Target {
  readonly proxy: StorageProxy;
  readonly volume: string;
}

async function targetOf({ config }: StorageContext, host: string): Promise<Target> {
  const { proxy, volume } = parseHost(host);
  return { proxy: proxyOf(await readVolumeSettings(config), proxy), volume };
}

/** @throws BackendError UnexpectedStorageProxyResponse. */
function read<S extends GenericSchema<unknown, unknown>>(
  proxy: StorageProxy,
  path: string,
  schema: S,
  json: unknown,
): InferOutput<S> {
  const parsed = v.safeParse(schema, json);
  if (parsed.success) return parsed.output;
  throw new BackendError(
    'UnexpectedStorageProxyResponse',
    `Storage proxy '${proxy.name}' answered ${path} in an unknown form: ${describeIssues(parsed.issues)}`,
  );
}

async function ask<S extends GenericSchema<unknown, unknown>>(
  ctx: StorageContext,
  host: string,
  [method, path]: readonly [Method, string],
  body: object,
  schema: S,
): Promise<InferOutput<S>> {
  const { proxy, volume } = await targetOf(ctx, host);
  const { json } = await callProxy(ctx.clock, proxy, method, path, { volume, ...body });
  return read(proxy, path, schema, json);
}

const anything = v.unknown();

const count = v.pipe(
  v.union([v.number(), v.string()]),
  v.transform((value) => Math.round(Number(value))),
  v.number(),
);

const volumeList = v.object({
  volumes: v.array(
    v.object({
      name: v.string(),
      backend: v.string(),
      path: v.string(),
      fsprefix: v.optional(v.nullable(v.string()), null),
      capabilities: v.array(v.string()),
    }),
  ),
});
export type VolumeInfo = InferOutput<typeof volumeList>['volumes'][number];

/** The volumes of one proxy. */
export async function listVolumes(
  { clock }: Pick<ManagerContext, 'clock'>,
  proxy: StorageProxy,
): Promise<VolumeInfo[]> {
  const { json } = await callProxy(clock, proxy, 'GET', '/volumes', {});
  return read(proxy, '/volumes', volumeList, json).volumes;
}

const fsUsage = v.object({ capacity_bytes: count, used_bytes: count });

/** How full a volume's file system is. Bytes. */
export const volumeUsage = (ctx: StorageContext, host: string) =>
  ask(ctx, host, ['GET', '/folder/fs-usage'], {}, fsUsage);

const performance = v.object({ metric: v.record(v.string(), v.unknown()) });

/** Operations and bytes per second and latencies of a volume, as its backend measures them. */
export const performanceMetric = async (ctx: StorageContext, host: string) =>
  (await ask(ctx, host, ['GET', '/volume/performance-metric'], {}, performance)).metric;

const hardware = v.object({
  status: v.string(),
  status_info: v.optional(v.nullable(v.string()), null),
  metadata: v.optional(v.record(v.string(), v.unknown()), {}),
});

export const hardwareInfo = (ctx: StorageContext, host: string) =>
  ask(ctx, host, ['GET', '/volume/hwinfo'], {}, hardware);

const quota = v.object({ used_bytes: v.nullable(v.number()), limit_bytes: v.nullable(v.number()) });

/** @throws BackendError QuotaScopeNotFound. */
export const getQuotaScope = (ctx: StorageContext, host: string, qsid: string) =>
  ask(ctx, host, ['GET', '/quota-scope'], { qsid }, quota);

export async function setQuotaScope(
  ctx: StorageContext,
  host: string,
  qsid: string,
  limitBytes: number,
): Promise<void> {
  const options = { limit_bytes: limitBytes };
  await ask(ctx, host, ['PATCH', '/quota-scope'], { qsid, options }, anything);
}

export async function unsetQuotaScope(
  ctx: StorageContext,
  host: string,
  qsid: string,
): Promise<void> {
  await ask(ctx, host, ['DELETE', '/quota-scope/quota'], { qsid }, anything);
}

const at = ({ vfid }: FolderPlace) => ({ vfid });

/** @param quotaBytes the limit of a quota scope that is made on this occasion; null is none. */
export async function createFolder(
  ctx: StorageContext,
  place: FolderPlace,
  options: { readonly mode: number; readonly quotaBytes: number | null },
): Promise<void> {
  const { mode, quotaBytes } = options;
  const more = quotaBytes === null ? null : { initial_max_size_for_quota_scope: quotaBytes };
  const body = { ...at(place), mode, options: more };
  await ask(ctx, place.host, ['POST', '/folder/create'], body, anything);
}

const task = v.object({ bgtask_id: v.pipe(v.string(), v.uuid()) });

/** Begins to delete a folder with all it holds. @returns the proxy's id of the task. */
export const deleteFolder = async (ctx: StorageContext, place: FolderPlace): Promise<string> =>
  (await ask(ctx, place.host, ['POST', '/folder/delete'], at(place), task)).bgtask_id;

/** Begins to copy a folder within a volume. @returns the proxy's id of the task. */
export async function cloneFolder(
  ctx: StorageContext,
  from: FolderPlace,
  to: FolderPlace,
): Promise<string> {
  const source = await targetOf(ctx, from.host);
  const body = {
    src_volume: source.volume,
    src_vfid: from.vfid,
    dst_volume: parseHost(to.host).volume,
    dst_vfid: to.vfid,
  };
  const path = '/folder/clone';
  const { json } = await callProxy(ctx.clock, source.proxy, 'POST', path, body);
  return read(source.proxy, path, task, json).bgtask_id;
}

const mount = v.object({ path: v.string() });

/** The folder's path on the file system that agents share with the proxy; the subpath is checked. */
export const mountPath = async (ctx: StorageContext, place: FolderPlace, subpath: string) =>
  (await ask(ctx, place.host, ['GET', '/folder/mount'], { ...at(place), subpath }, mount)).path;

/** How long the proxy may keep a question about a task until there is news. Seconds. */
const TASK_WAIT_SEC = 10;

const taskState = v.object({
  status: v.picklist(['started', 'done', 'failed']),
  current_progress: v.number(),
  total_progress: v.number(),
  message: v.string(),
  version: v.number(),
});
export type StorageTask = InferOutput<typeof taskState>;

/**
 * How far a task of a proxy is; with `afterVersion` the answer comes when that changed, or after ten
 * seconds.
 * @throws BackendError BgtaskNotFound for one that ended more than a day ago, or never was.
 */
export const storageTask = (
  ctx: StorageContext,
  host: string,
  taskId: string,
  afterVersion: number | null,
): Promise<StorageTask> => {
  const news =
    afterVersion === null ? {} : { after_version: afterVersion, wait_sec: TASK_WAIT_SEC };
  return ask(ctx, host, ['GET', '/task'], { bgtask_id: taskId, ...news }, taskState);
};

const usage = v.object({ file_count: count, used_bytes: count });

/** What a folder holds; -1 for what takes too long to count. */
export const folderUsage = (ctx: StorageContext, place: FolderPlace) =>
  ask(ctx, place.host, ['GET', '/folder/usage'], at(place), usage);

const usedBytes = v.object({ used_bytes: count });

export const folderUsedBytes = (ctx: StorageContext, place: FolderPlace) =>
  ask(ctx, place.host, ['GET', '/folder/used-bytes'], at(place), usedBytes);

const itemResult = v.looseObject({ msg: v.nullable(v.string()), item: v.string() });
const made = v.object({
  results: v.object({ success: v.array(itemResult), failed: v.array(itemResult) }),
});

/** Makes directories. @returns the proxy's status too: 207 when some failed, 422 when all did. */
export async function makeDirectories(
  ctx: StorageContext,
  place: FolderPlace,
  wanted: {
    readonly relpath: string | readonly string[];
    readonly parents: boolean;
    readonly exist_ok: boolean;
  },
) {
  const { proxy, volume } = await targetOf(ctx, place.host);
  const path = '/folder/file/mkdir';
  const body = { volume, ...at(place), ...wanted };
  const { status, json } = await callProxy(ctx.clock, proxy, 'POST', path, body, [422]);
  return { status, results: read(proxy, path, made, json).results };
}

const listing = v.object({
  /** The name after which the next page begins; proxies that don't page give none. */
  next: v.nullish(v.string(), null),
  items: v.array(
    v.looseObject({
      name: v.string(),
      type: v.string(),
      stat: v.looseObject({
        mode: v.number(),
        size: v.number(),
        created: v.string(),
        modified: v.string(),
      }),
    }),
  ),
});

/** One page of a directory, in the order of names. */
export const listFiles = (
  ctx: StorageContext,
  place: FolderPlace,
  relpath: string,
  page: { readonly after?: string; readonly limit?: number } = {},
) =>
  ask(ctx, place.host, ['POST', '/folder/file/list'], { ...at(place), relpath, ...page }, listing);

export async function renameFile(
  ctx: StorageContext,
  place: FolderPlace,
  wanted: { readonly relpath: string; readonly new_name: string; readonly is_dir: boolean },
): Promise<void> {
  const body = { ...at(place), ...wanted };
  await ask(ctx, place.host, ['POST', '/folder/file/rename'], body, anything);
}

export async function moveFile(
  ctx: StorageContext,
  place: FolderPlace,
  wanted: { readonly src_relpath: string; readonly dst_relpath: string },
): Promise<void> {
  await ask(ctx, place.host, ['POST', '/folder/file/move'], { ...at(place), ...wanted }, anything);
}

/** Which files, and whether directories go with what they hold. */
export interface FileDeletion {
  readonly relpaths: readonly string[];
  readonly recursive: boolean;
}

export async function deleteFiles(
  ctx: StorageContext,
  place: FolderPlace,
  wanted: FileDeletion,
): Promise<void> {
  const body = { ...at(place), ...wanted };
  await ask(ctx, place.host, ['POST', '/folder/file/delete'], body, anything);
}

/** Begins to delete files. @returns the proxy's id of the task. */
export const deleteFilesLater = async (
  ctx: StorageContext,
  place: FolderPlace,
  wanted: FileDeletion,
): Promise<string> =>
  (
    await ask(
      ctx,
      place.host,
      ['POST', '/folder/file/delete-async'],
      { ...at(place), ...wanted },
      task,
    )
  ).bgtask_id;

/** A ticket with which a client talks to the storage proxy itself. */
export interface FileTicket {
  readonly token: string;
  readonly url: string;
  /** Of an upload: the proxy unpacks it, as it was asked to. */
  readonly unpacks?: boolean;
}

const token = v.object({ token: v.string(), unpacks: v.optional(v.boolean()) });

async function ticket(
  ctx: StorageContext,
  place: FolderPlace,
  path: string,
  body: object,
  clientPath: string,
): Promise<FileTicket> {
  const { proxy, volume } = await targetOf(ctx, place.host);
  const { json } = await callProxy(ctx.clock, proxy, 'POST', path, { volume, ...body });
  const answer = read(proxy, path, token, json);
  return { ...answer, url: proxy.clientApi + clientPath };
}

export const uploadTicket = (
  ctx: StorageContext,
  place: FolderPlace,
  wanted: { readonly relpath: string; readonly size: number; readonly unpack?: true },
) => ticket(ctx, place, '/folder/file/upload', { ...at(place), ...wanted }, '/upload');

export const downloadTicket = (
  ctx: StorageContext,
  place: FolderPlace,
  wanted: { readonly relpath: string; readonly archive: boolean },
) => ticket(ctx, place, '/folder/file/download', { ...at(place), ...wanted }, '/download');

export const archiveTicket = (
  ctx: StorageContext,
  place: FolderPlace,
  wanted: { readonly files: readonly string[]; readonly filename?: string },
) =>
  ticket(
    ctx,
    place,
    '/folder/file/archive-download-token',
    { virtual_folder_id: place.vfid, ...wanted },
    '/download-archive',
  );
