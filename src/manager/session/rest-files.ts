/** Routes that list, upload and download files in a session's /home/work. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { MAX_TRANSFER_BYTES } from '../../common/protocol/execution.ts';
import { readBody } from '../../common/rpc/body.ts';
import type { ManagerContext } from '../context.ts';
import { type Input, route } from '../http/declare.ts';
import { formBoundary, mixedResponse, parseFileParts } from '../http/multipart.ts';
import type { AuthenticatedRequest, Route, RouteResult } from '../http/route.ts';
import { callKernel } from './kernel-call.ts';
import { findSession, ofSession, sessionOperation, withOwner } from './request.ts';

const MAX_UPLOAD_FILES = 20;
const MAX_UPLOAD_FILE_BYTES = 1024 * 1024;
/** The files with room for each part's headers. Bytes. */
const MAX_UPLOAD_BODY_BYTES = MAX_UPLOAD_FILES * (MAX_UPLOAD_FILE_BYTES + 4096);
const MAX_DOWNLOAD_FILES = 5;

const listing = {
  ...ofSession,
  query: withOwner(v.object({ path: v.optional(v.string(), '.') })),
};

async function listFiles(
  ctx: ManagerContext,
  request: AuthenticatedRequest,
  input: Input<typeof listing>,
): Promise<RouteResult> {
  const { path } = input.query;
  const session = await findSession(ctx, request, input);
  const { entries, errors, abspath } = await callKernel(
    ctx,
    session,
    session.mainKernel,
    ({ agent, kernelId }) => agent.listFiles({ kernelId, path }),
  );
  return { json: { files: JSON.stringify(entries), errors, abspath } };
}

async function upload(
  ctx: ManagerContext,
  request: AuthenticatedRequest,
  input: Input<typeof ofSession>,
): Promise<RouteResult> {
  const boundary = formBoundary(request.request.headers.get('content-type'));
  const session = await findSession(ctx, request, input);
  const body = await readBody(request.request, MAX_UPLOAD_BODY_BYTES);
  const files = parseFileParts(body, boundary, {
    maxParts: MAX_UPLOAD_FILES,
    maxPartBytes: MAX_UPLOAD_FILE_BYTES,
  });
  for (const { fileName, data } of files) {
    await callKernel(ctx, session, session.mainKernel, ({ agent, kernelId }) =>
      agent.uploadFile({
        kernelId,
        path: fileName,
        data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64'),
      }),
    );
  }
  return undefined;
}

const fileNames = v.pipe(
  v.array(v.pipe(v.string(), v.nonEmpty())),
  v.nonEmpty('name the files to download'),
  v.maxLength(MAX_DOWNLOAD_FILES, `at most ${MAX_DOWNLOAD_FILES} files at a time`),
);
/** The Python client repeats `files` in the query instead of sending a body. */
const archiveTakes = { ...ofSession, fields: v.object({ files: fileNames }) };

async function download(
  ctx: ManagerContext,
  request: AuthenticatedRequest,
  input: Input<typeof archiveTakes>,
): Promise<RouteResult> {
  const { files } = input.fields;
  const session = await findSession(ctx, request, input);
  const archives: Uint8Array[] = [];
  let size = 0;
  for (const path of files) {
    const { data } = await callKernel(ctx, session, session.mainKernel, ({ agent, kernelId }) =>
      agent.downloadArchive({ kernelId, path }),
    );
    const archive = Buffer.from(data, 'base64');
    size += archive.byteLength;
    if (size > MAX_TRANSFER_BYTES) {
      throw new BackendError(
        'InvalidAPIParameters',
        `These files have more than ${MAX_TRANSFER_BYTES} bytes together; download fewer at a time.`,
      );
    }
    archives.push(archive);
  }
  return mixedResponse(archives, ctx.random.uuid().replaceAll('-', ''));
}

const fileTakes = {
  ...ofSession,
  fields: v.object({ file: v.pipe(v.string(), v.nonEmpty('name the file to download')) }),
};

async function downloadSingle(
  ctx: ManagerContext,
  request: AuthenticatedRequest,
  input: Input<typeof fileTakes>,
): Promise<RouteResult> {
  const { file } = input.fields;
  const session = await findSession(ctx, request, input);
  const { data } = await callKernel(ctx, session, session.mainKernel, ({ agent, kernelId }) =>
    agent.downloadFile({ kernelId, path: file }),
  );
  return new Response(Buffer.from(data, 'base64'), {
    headers: { 'Content-Type': 'application/octet-stream' },
  });
}

/** The JavaScript client downloads with GET, the others with POST. */
const downloadMethods = ['GET', 'POST'] as const;

export const fileRoutes = (ctx: ManagerContext): Route[] => [
  route(
    {
      ...sessionOperation('GET', '/session/:session_name/files', 'List files of a session.'),
      takes: listing,
    },
    (request, input) => listFiles(ctx, request, input),
  ),
  route(
    {
      ...sessionOperation('POST', '/session/:session_name/upload', 'Put files into a session.'),
      takes: ofSession,
      consumes: 'multipart/form-data',
    },
    (request, input) => upload(ctx, request, input),
  ),
  ...downloadMethods.flatMap((method) => [
    route(
      {
        ...sessionOperation(
          method,
          '/session/:session_name/download',
          'Get files of a session, each in an archive.',
        ),
        takes: archiveTakes,
        repeats: ['files'],
      },
      (request, input) => download(ctx, request, input),
    ),
    route(
      {
        ...sessionOperation(
          method,
          '/session/:session_name/download_single',
          'Get a file of a session.',
        ),
        takes: fileTakes,
      },
      (request, input) => downloadSingle(ctx, request, input),
    ),
  ]),
];
