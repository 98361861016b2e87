/** The logs of batch sessions, which outlive them in their owner's folder `.logs`. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { openFile } from '../folder/files.ts';
import { route } from '../http/declare.ts';
import { aliased } from '../http/parameters.ts';
import type { Caller, Route } from '../http/route.ts';
import type { RemoteFile } from '../storage/read-file.ts';
import { sessionOperation } from './request.ts';
import { getSessionForCaller } from './service.ts';

const LOG_FOLDER = '.logs';

const uuid = v.pipe(v.string(), v.uuid());

const takes = {
  query: aliased(
    { kernel_id: ['session_name', 'sessionName', 'task_id', 'taskId', 'kernelId'] },
    v.object({ kernel_id: v.pipe(v.string(), v.nonEmpty()) }),
  ),
};

/** Where runners of batch sessions write, below the folder. */
function logPath(kernelId: string): string {
  const hex = kernelId.replaceAll('-', '').toLowerCase();
  return `task/${hex.slice(0, 2)}/${hex.slice(2, 4)}/${hex.slice(4)}.log`;
}

async function openNamed(
  ctx: ManagerContext,
  caller: Caller,
  id: string,
): Promise<RemoteFile | null> {
  const open = (kernelId: string) => openFile(ctx, caller, LOG_FOLDER, logPath(kernelId));
  const byKernel = v.is(uuid, id) ? await open(id) : null;
  if (byKernel !== null) return byKernel;
  // People know their sessions rather than the kernels of these.
  const session = await getSessionForCaller(ctx, caller, id, {
    ownerAccessKey: null,
    includeDead: true,
  });
  return open(session.mainKernel.id);
}

async function openLog(ctx: ManagerContext, caller: Caller, id: string): Promise<RemoteFile> {
  let file: RemoteFile | null;
  try {
    file = await openNamed(ctx, caller, id);
  } catch (error) {
    if (!(error instanceof BackendError) || error.problem !== 'VFolderNotFound') throw error;
    throw new BackendError(
      'VFolderNotFound',
      `You have no folder '${LOG_FOLDER}', in which the logs of batch sessions are kept. Create it before the next one.`,
      { data: { vfolder_name: LOG_FOLDER }, cause: error },
    );
  }
  if (file !== null) return file;
  throw new BackendError(
    'ObjectNotFound',
    `Your folder '${LOG_FOLDER}' has no log of ${id}. Batch sessions write one from their start on.`,
  );
}

function headersOf({ sizeBytes }: RemoteFile): Headers {
  const headers = new Headers({ 'Content-Type': 'text/plain' });
  if (sizeBytes !== null) headers.set('Content-Length', String(sizeBytes));
  return headers;
}

export const taskLogRoutes = (ctx: ManagerContext): Route[] => [
  route(
    { ...sessionOperation('GET', '/session/_/logs', 'Read the log of a batch session.'), takes },
    async ({ caller }, { query }) => {
      const file = await openLog(ctx, caller, query.kernel_id);
      return new Response(file.body, { headers: headersOf(file) });
    },
  ),
  route(
    { ...sessionOperation('HEAD', '/session/_/logs', 'See how long that log is.'), takes },
    async ({ caller }, { query }) => {
      const file = await openLog(ctx, caller, query.kernel_id);
      await file.body.cancel();
      return new Response(null, { headers: headersOf(file) });
    },
  ),
];
