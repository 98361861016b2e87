/** Folders as a whole: making, deleting, cloning, measuring; and the tasks that do the long work. */
import * as v from 'valibot';
import type { StorageContext } from '../context.ts';
import { findPlace } from '../files/place.ts';
import { type FolderId, folderId, formatFolder } from '../ids.ts';
import { StorageError } from '../problems.ts';
import { type ManagerRoute, noContent, ok, type Reply, route } from './route.ts';

const DEFAULT_MODE = 0o755;
/** How long a question about a task may wait for news of it. Seconds. */
const MAX_WAIT_SEC = 60;

const folderParams = v.object({ volume: v.string(), vfid: folderId });

/** GET parameters may come as text, from the query. */
const count = v.pipe(
  v.union([v.number(), v.pipe(v.string(), v.regex(/^\d+$/), v.transform(Number))]),
  v.minValue(0),
);

async function createFolder(
  { volumes, settings }: StorageContext,
  params: { volume: string; vfid: FolderId; mode: number; limitBytes: number | null },
): Promise<Reply> {
  const volume = volumes.require(params.volume);
  const { scope } = params.vfid;
  if (scope === null) {
    throw new StorageError('InvalidParameters', 'vfid names no quota scope: "user:<uuid>/<id>".');
  }
  if (settings.createsMissingScopes) await volume.ensureScope(scope, params.limitBytes);
  await volume.createFolder(params.vfid, params.mode);
  return noContent;
}

/** Where agents find the folder. */
async function mountPath(
  { volumes }: StorageContext,
  { volume, vfid, subpath }: { volume: string; vfid: FolderId; subpath: string },
): Promise<Reply> {
  const refuse = (msg: string, more: Record<string, string> = {}): Reply => ({
    status: 400,
    json: { msg, vfid: formatFolder(vfid), ...more },
  });
  try {
    const root = await volumes.require(volume).requireFolder(vfid);
    await using _place = await findPlace(root, subpath);
    return ok({ path: root });
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    if (error.problem === 'VFolderNotFound') return refuse('VFolder not found');
    if (error.problem === 'InvalidVolume') throw error;
    return refuse('Invalid vfolder subpath', { subpath });
  }
}

export function folderRoutes(context: StorageContext): ManagerRoute[] {
  const { volumes, tasks } = context;
  return [
    route(
      'POST',
      '/folder/create',
      v.object({
        ...folderParams.entries,
        mode: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0o7777))),
        options: v.nullish(
          v.object({
            initial_max_size_for_quota_scope: v.nullish(v.pipe(v.number(), v.integer())),
          }),
        ),
      }),
      ({ volume, vfid, mode, options }) => {
        const initial = options?.initial_max_size_for_quota_scope ?? 0;
        const limitBytes = initial > 0 ? initial : null;
        return createFolder(context, { volume, vfid, mode: mode ?? DEFAULT_MODE, limitBytes });
      },
    ),
    route('POST', '/folder/delete', folderParams, async ({ volume, vfid }) => {
      const work = { name: 'delete_vfolder', folder: formatFolder(vfid) } as const;
      const task = await tasks.begin(volumes.require(volume), work);
      return { status: 202, json: { bgtask_id: task.id } };
    }),
    route(
      'POST',
      '/folder/clone',
      v.object({
        src_volume: v.string(),
        src_vfid: folderId,
        dst_volume: v.nullish(v.string()),
        dst_vfid: folderId,
      }),
      async ({ src_volume, src_vfid, dst_volume, dst_vfid }) => {
        if ((dst_volume ?? src_volume) !== src_volume) {
          throw new StorageError(
            'InvalidParameters',
            'A folder can only be cloned within its volume.',
          );
        }
        const task = await tasks.begin(volumes.require(src_volume), {
          name: 'clone_vfolder',
          folder: formatFolder(src_vfid),
          target: formatFolder(dst_vfid),
        });
        return ok({ bgtask_id: task.id });
      },
    ),
    route(
      'GET',
      '/folder/mount',
      v.object({ ...folderParams.entries, subpath: v.optional(v.string(), '.') }),
      (params) => mountPath(context, params),
    ),
    route('GET', '/folder/usage', folderParams, async ({ volume, vfid }) => {
      const usage = await volumes.require(volume).folderUsage(vfid);
      return ok({ file_count: usage?.fileCount ?? -1, used_bytes: usage?.usedBytes ?? -1 });
    }),
    route('GET', '/folder/used-bytes', folderParams, async ({ volume, vfid }) =>
      ok({ used_bytes: await volumes.require(volume).folderDiskBytes(vfid) }),
    ),
    route('GET', '/folder/fs-usage', v.object({ volume: v.string() }), async ({ volume }) => {
      const { capacityBytes, usedBytes } = await volumes.require(volume).capacity();
      return ok({ capacity_bytes: capacityBytes, used_bytes: usedBytes });
    }),
    route(
      'GET',
      '/task',
      v.object({
        bgtask_id: v.string(),
        after_version: v.optional(count),
        wait_sec: v.optional(v.pipe(count, v.maxValue(MAX_WAIT_SEC)), 0),
      }),
      async ({ bgtask_id, after_version, wait_sec }) => {
        const task = tasks.find(bgtask_id);
        if (task === null) {
          throw new StorageError('TaskNotFound', `There is no task ${bgtask_id}.`);
        }
        if (after_version !== undefined && task.status === 'started') {
          await task.change(after_version, wait_sec * 1000, context.clock);
        }
        return ok(task.toJson());
      },
    ),
  ];
}
