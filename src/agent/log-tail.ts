/** Reads the end of log files that may be large. */
import { open } from 'node:fs/promises';

async function tailOfFile(path: string, maxBytes: number): Promise<Buffer> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (!file) return Buffer.alloc(0);
  try {
    const { size } = await file.stat();
    const length = Math.min(size, maxBytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/**
 * The last `maxBytes` of several files read as one text, the oldest file first. Missing files count
 * as empty; a character cut in half at the start is dropped.
 */
export async function tailOfFiles(paths: readonly string[], maxBytes: number): Promise<string> {
  const parts: Buffer[] = [];
  let left = maxBytes;
  for (const path of [...paths].reverse()) {
    if (left <= 0) break;
    const part = await tailOfFile(path, left);
    parts.unshift(part);
    left -= part.length;
  }
  const bytes = Buffer.concat(parts);
  let start = 0;
  // Continuation bytes of UTF-8 at the very start belong to a character that was cut.
  while (left <= 0 && start < Math.min(4, bytes.length) && ((bytes[start] ?? 0) & 0xc0) === 0x80) {
    start += 1;
  }
  return bytes.subarray(start).toString('utf8');
}
