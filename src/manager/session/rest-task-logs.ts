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

/** The caller's session of this id or name, dead or alive; null when there is none. */
async function findOwn(ctx: ManagerContext, caller: Caller, id: string) {
  try {
    return await getSessionForCaller(ctx, caller, id, { ownerAccessKey: null, includeDead: true });
  } catch (error) {
    if (error instanceof BackendError && error.problem === 'SessionNotFound') return null;
    throw error;
  }
}

/** @param id of a kernel, or of a session or its name, as people know their sessions rather. */
async function openLog(ctx: ManagerContext, caller: Caller, id: string): Promise<RemoteFile> {
  const session = await findOwn(ctx, caller, id);
  const kernelId = session?.mainKernel.id ?? (v.is(uuid, id) ? id : null);
  const file = kernelId && (await openKernelLog(ctx, caller, kernelId));
  if (file) return file;
  if (session === null) {
    throw new BackendError(
      'SessionNotFound',
      `There is no session or kernel '${id}' with a log in your folder '${LOG_FOLDER}'.`,
    );
  }
  throw new BackendError(
    'ObjectNotFound',
    `Session '${session.name}' has no log in your folder '${LOG_FOLDER}'. Batch sessions write one there when they start with that folder.`,
  );
}

/** Null without the log, or without the folder. */
async function openKernelLog(
  ctx: ManagerContext,
  caller: Caller,
  kernelId: string,
): Promise<RemoteFile | null> {
  try {
    return await openFile(ctx, caller, LOG_FOLDER, logPath(kernelId));
  } catch (error) {
    if (error instanceof BackendError && error.problem === 'VFolderNotFound') return null;
    throw error;
  }
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
