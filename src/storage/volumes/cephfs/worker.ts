/**
 * Reads and sets extended attributes of opened folders beside everything else the proxy does: a CephFS
 * whose servers are gone answers late or never.
 */
import { closeSync, constants as files, openSync } from 'node:fs';
import { constants } from 'node:os';
import { parentPort } from 'node:worker_threads';
import * as v from 'valibot';
import { libc } from '../../../common/libc.ts';
import { type Answer, type Question, question } from './messages.ts';

const MAX_VALUE_BYTES = 4096;

const numberOf = (error: unknown): number =>
  error instanceof Error && 'errno' in error && typeof error.errno === 'number'
    ? Math.abs(error.errno)
    : constants.errno.EIO;

/** The folder is opened here as well: that may take as long as the question. */
function answerTo({ path, ...asked }: Question): Answer {
  let fd: number;
  try {
    fd = openSync(path, files.O_RDONLY | files.O_DIRECTORY | files.O_NOFOLLOW);
  } catch (error) {
    return { id: asked.id, errno: numberOf(error) };
  }
  try {
    return answerAbout(fd, asked);
  } finally {
    closeSync(fd);
  }
}

function answerAbout(fd: number, { id, name, value }: Omit<Question, 'path'>): Answer {
  const system = libc();
  if (system === null) return { id, errno: constants.errno.EOPNOTSUPP };
  if (value !== undefined) {
    const errno = system.setAttribute(fd, name, Buffer.from(value));
    return errno === 0 ? { id, value } : { id, errno };
  }
  const bytes = Buffer.alloc(MAX_VALUE_BYTES);
  const { length, errno } = system.getAttribute(fd, name, bytes);
  return errno === 0 ? { id, value: bytes.toString('latin1', 0, length) } : { id, errno };
}

parentPort?.on('message', (data: unknown) => {
  parentPort?.postMessage(answerTo(v.parse(question, data)));
});
