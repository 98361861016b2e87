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

const O_CLOEXEC = 0o2000000;

/** Opens a pipe whose ends children do not inherit by accident; null where that is impossible. */
export function openPipe(): Pipe | null {
  const fds = new Int32Array(2);
  if (libc()?.pipe2(fds, O_CLOEXEC) !== 0) return null;
  const [readFd, writeFd] = fds;
  if (readFd === undefined || writeFd === undefined) return null;
  return { readFd, writeFd };
}
