/** Reads one file of a folder through its storage proxy, as a stream that its reader's pace governs. */
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { Clock } from '../../common/clock.ts';
import { BackendError, errorMessage } from '../../common/errors.ts';
import { traceHeaders } from '../../common/tracing.ts';
import type { ManagerContext } from '../context.ts';
import type { FolderPlace } from './client.ts';
import { parseHost, proxyOf, readVolumeSettings, type StorageProxy } from './settings.ts';

/** Longest silence of a proxy while its data is wanted. Milliseconds. */
const MAX_SILENCE_MS = 60_000;

export interface RemoteFile {
  readonly sizeBytes: number | null;
  /** Ends with an error when the proxy breaks off. Cancelling it ends the transfer. */
  readonly body: ReadableStream<Uint8Array>;
}

/** Sends the request. Rejects with what the network says. */
function answerOf(
  clock: Clock,
  proxy: StorageProxy,
  path: string,
  body: string,
): Promise<IncomingMessage> {
  const url = new URL(proxy.managerApi + path);
  const secure = url.protocol === 'https:';
  return new Promise((resolve, reject) => {
    const request = (secure ? https : http).request(url, {
      method: 'POST',
      headers: {
        'X-BackendAI-Storage-Auth-Token': proxy.secret,
        'Content-Type': 'application/json',
        ...traceHeaders(),
        'Content-Length': Buffer.byteLength(body),
      },
      ...(secure && { rejectUnauthorized: proxy.sslVerify }),
    });
    const late = clock.timer(proxy.totalTimeoutMs, () =>
      request.destroy(new Error(`no answer within ${proxy.totalTimeoutMs / 1000} seconds`)),
    );
    request.on('response', (response) => {
      late.cancel();
      resolve(response);
    });
    request.on('error', (error) => {
      late.cancel();
      reject(error);
    });
    request.end(body);
  });
}

function streamOf(response: IncomingMessage, clock: Clock): ReadableStream<Uint8Array> {
  const chunks = response[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const silent = clock.timer(MAX_SILENCE_MS, () =>
          response.destroy(new Error('the storage proxy sends no more')),
        );
        try {
          const next = await chunks.next();
          if (next.done) controller.close();
          else controller.enqueue(next.value);
        } catch (error) {
          controller.error(error);
        } finally {
          silent.cancel();
        }
      },
      cancel: () => {
        response.destroy();
      },
    },
    { highWaterMark: 0 },
  );
}

/**
 * @returns null when the folder has no such file.
 * @throws BackendError StorageProxyConnectionError, UnexpectedStorageProxyResponse.
 */
export async function openRemoteFile(
  { config, clock }: Pick<ManagerContext, 'config' | 'clock'>,
  { host, vfid }: FolderPlace,
  relpath: string,
): Promise<RemoteFile | null> {
  const { proxy: name, volume } = parseHost(host);
  const proxy = proxyOf(await readVolumeSettings(config), name);
  let response: IncomingMessage;
  try {
    const body = JSON.stringify({ volume, vfid, relpath });
    response = await answerOf(clock, proxy, '/folder/file/fetch', body);
  } catch (error) {
    throw new BackendError(
      'StorageProxyConnectionError',
      `Storage proxy '${name}' cannot be reached: ${errorMessage(error)}. Try again; if it stays so, ask an administrator whether it runs.`,
      { cause: error },
    );
  }
  if (response.statusCode === 200) {
    const length = Number(response.headers['content-length'] ?? Number.NaN);
    return {
      sizeBytes: Number.isSafeInteger(length) ? length : null,
      body: streamOf(response, clock),
    };
  }
  response.destroy();
  if (response.statusCode === 404) return null;
  throw new BackendError(
    'UnexpectedStorageProxyResponse',
    `Storage proxy '${name}' does not give the file: it answered with status ${response.statusCode}.`,
  );
}
