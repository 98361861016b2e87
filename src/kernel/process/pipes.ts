/**
 * Real pipes for the output of user programs. Bun connects children through socket pairs, and a
 * program that opens /dev/stdout or /dev/stderr fails on a socket; so pipe2(2) is called directly.
 */
import { libc } from '../../common/libc.ts';

export interface Pipe {
  readonly readFd: number;
  /** Give this one to the child, then close it here. */
  readonly writeFd: number;
}

/** What a program may write ahead: each read of ours takes several changes of thread. Bytes. */
export const PIPE_BYTES = 256 * 1024;
const O_CLOEXEC = 0o2000000;

/** Opens a pipe whose ends children do not inherit by accident; null where that is impossible. */
export function openPipe(): Pipe | null {
  const fds = new Int32Array(2);
  const c = libc();
  if (c?.pipe2(fds, O_CLOEXEC) !== 0) return null;
  const [readFd, writeFd] = fds;
  if (readFd === undefined || writeFd === undefined) return null;
  // Where the user has too many large pipes it stays as small as the system makes them.
  c.resizePipe(readFd, PIPE_BYTES);
  return { readFd, writeFd };
}
