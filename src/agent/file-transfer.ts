/** Moves files between the manager's calls (one base64 text) and the runner's (chunks). */
import { BackendError } from '../common/errors.ts';
import { MAX_TRANSFER_BYTES } from '../common/protocol/execution.ts';
import { FILE_CHUNK_BYTES } from '../common/protocol/runner.ts';
import type { RunnerClient } from './backends/backend.ts';

const tooLarge = (what: string): BackendError =>
  new BackendError(
    'InvalidAPIParameters',
    `${what} is larger than ${MAX_TRANSFER_BYTES / 1024 / 1024} MiB, the most that one transfer ` +
      'carries. Transfer it in parts, or use a storage folder.',
  );

/** Writes a file below /home/work. @param data base64. @throws BackendError */
export async function uploadFile(runner: RunnerClient, path: string, data: string): Promise<void> {
  const bytes = Buffer.from(data, 'base64');
  if (bytes.length > MAX_TRANSFER_BYTES) throw tooLarge(path);
  let offset = 0;
  do {
    const chunk = bytes.subarray(offset, offset + FILE_CHUNK_BYTES);
    const op = 'write-file';
    await runner.call({ op, path, offset, data: chunk.toString('base64') });
    offset += FILE_CHUNK_BYTES;
  } while (offset < bytes.length);
}

/** Reads chunks until the end. @throws BackendError when there is more than fits. */
async function collect(
  what: string,
  read: (offset: number) => Promise<{ data: string; eof: boolean }>,
): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for (;;) {
    const { data, eof } = await read(size);
    const chunk = Buffer.from(data, 'base64');
    chunks.push(chunk);
    size += chunk.length;
    if (size > MAX_TRANSFER_BYTES) throw tooLarge(what);
    if (eof) return Buffer.concat(chunks, size).toString('base64');
    if (chunk.length === 0) throw new BackendError('KernelExecutionFailed', `${what} ended early.`);
  }
}

/** One file's bytes as base64. */
export const downloadFile = (runner: RunnerClient, path: string): Promise<string> =>
  collect(path, (offset) => runner.call({ op: 'read-file', path, offset }));

/** A tar archive of a file or folder as base64. */
export async function downloadArchive(runner: RunnerClient, path: string): Promise<string> {
  const { handle } = await runner.call(
    { op: 'open-archive', path, maxBytes: MAX_TRANSFER_BYTES },
    { timeoutMs: 60_000 },
  );
  try {
    return await collect(path, (offset) => runner.call({ op: 'read-archive', handle, offset }));
  } finally {
    await runner.call({ op: 'close-archive', handle });
  }
}
