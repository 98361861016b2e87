/**
 * Real pipes for the output of user programs. Bun connects children through socket pairs, and a
 * program that opens /dev/stdout or /dev/stderr fails on a socket; so pipe2(2) is called directly.
 */
import { dlopen, ptr } from 'bun:ffi';

export interface Pipe {
  readonly readFd: number;
  /** Give this one to the child, then close it here. */
  readonly writeFd: number;
}

const O_CLOEXEC = 0o2000000;
const LIBC_NAMES = ['libc.so.6', 'libc.musl-x86_64.so.1', 'libc.musl-aarch64.so.1'];

type Pipe2 = (fds: Int32Array) => number;

let pipe2: Pipe2 | null | undefined;

function loadPipe2(): Pipe2 | null {
  if (process.platform !== 'linux') return null;
  for (const name of LIBC_NAMES) {
    try {
      const libc = dlopen(name, { pipe2: { args: ['ptr', 'i32'], returns: 'i32' } });
      return (fds) => libc.symbols.pipe2(ptr(fds), O_CLOEXEC);
    } catch {
      // Another C library; the next name may fit.
    }
  }
  return null;
}

/** Opens a pipe whose ends children do not inherit by accident; null where that is impossible. */
export function openPipe(): Pipe | null {
  if (pipe2 === undefined) pipe2 = loadPipe2();
  if (pipe2 === null) return null;
  const fds = new Int32Array(2);
  if (pipe2(fds) !== 0) return null;
  const [readFd, writeFd] = fds;
  if (readFd === undefined || writeFd === undefined) return null;
  return { readFd, writeFd };
}
