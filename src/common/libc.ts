/** The few system calls that Bun does not offer, from the C library that it runs on. */
import { dlopen, type Pointer, ptr, read } from 'bun:ffi';

export interface Libc {
  /** Fills `fds` with the read and the write end. @returns 0 on success. */
  pipe2(fds: Int32Array, flags: number): number;
  /** Asks for room for so many bytes in a pipe. @returns the room that there is now, or -1. */
  resizePipe(fd: number, bytes: number): number;
  /**
   * Takes what a socket has received, without waiting.
   * @returns how much; 0 at its end, -1 while there is nothing, -2 when the connection is broken: the
   *   system tells that once, so nobody else will be told.
   */
  receive(socket: number, into: Uint8Array): number;
  /** Gives a socket as much of the first `bytes` as it takes at once. @returns how much, or -1. */
  send(socket: number, from: Uint8Array, bytes: number): number;
  /** @returns the process id that was reaped, 0 or -1. */
  waitpid(pid: number, flags: number): number;
  /** A device's own operation, which reads or fills `argument`. @returns 0 on success. */
  ioctl(fd: number, request: number, argument: Int32Array | Uint16Array): number;
  /** Sets from where in an open file the next write goes. @returns whether it did. */
  seek(fd: number, offset: number): boolean;
  /** Has everything of the file system that the open file is on written to the disk. @returns whether it was. */
  syncFileSystem(fd: number): boolean;
  /**
   * Reads an extended attribute of an open file or folder.
   * @returns how many bytes of `into` it fills; the system's error number, or 0.
   */
  getAttribute(fd: number, name: string, into: Uint8Array): { length: number; errno: number };
  /** Sets one. @returns the system's error number, or 0. */
  setAttribute(fd: number, name: string, value: Uint8Array): number;
}

const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
/** ECONNRESET, ETIMEDOUT, EHOSTUNREACH and the like: numbers of Linux. */
const BROKEN: ReadonlySet<number> = new Set([32, 100, 101, 102, 103, 104, 110, 111, 112, 113]);
const F_SETPIPE_SZ = 1031;
/** From the beginning of the file. */
const SEEK_SET = 0;
const LIBC_NAMES = ['libc.so.6', 'libc.musl-x86_64.so.1', 'libc.musl-aarch64.so.1'];

const asC = (text: string): Pointer => ptr(Buffer.from(`${text}\0`));

let loaded: Libc | null | undefined;

function load(): Libc | null {
  if (process.platform !== 'linux') return null;
  for (const name of LIBC_NAMES) {
    try {
      const { symbols } = dlopen(name, {
        pipe2: { args: ['ptr', 'i32'], returns: 'i32' },
        fcntl: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
        recv: { args: ['i32', 'ptr', 'u64', 'i32'], returns: 'i64' },
        send: { args: ['i32', 'ptr', 'u64', 'i32'], returns: 'i64' },
        waitpid: { args: ['i32', 'ptr', 'i32'], returns: 'i32' },
        ioctl: { args: ['i32', 'u64', 'ptr'], returns: 'i32' },
        syncfs: { args: ['i32'], returns: 'i32' },
        fgetxattr: { args: ['i32', 'ptr', 'ptr', 'u64'], returns: 'i64' },
        fsetxattr: { args: ['i32', 'ptr', 'ptr', 'u64', 'i32'], returns: 'i32' },
        __errno_location: { args: [], returns: 'ptr' },
        lseek: { args: ['i32', 'i64', 'i32'], returns: 'i64' },
      });
      const errnoOf = (result: number): number => {
        const location = result < 0 ? symbols.__errno_location() : null;
        return location === null ? 0 : read.i32(location, 0);
      };
      return {
        pipe2: (fds, flags) => symbols.pipe2(ptr(fds), flags),
        resizePipe: (fd, bytes) => symbols.fcntl(fd, F_SETPIPE_SZ, bytes),
        receive(socket, into) {
          const received = Number(symbols.recv(socket, ptr(into), into.length, MSG_DONTWAIT));
          if (received >= 0) return received;
          return BROKEN.has(errnoOf(received)) ? -2 : -1;
        },
        send: (socket, from, bytes) =>
          Number(symbols.send(socket, ptr(from), bytes, MSG_DONTWAIT | MSG_NOSIGNAL)),
        waitpid: (pid, flags) => symbols.waitpid(pid, null, flags),
        ioctl: (fd, request, argument) => symbols.ioctl(fd, request, ptr(argument)),
        seek: (fd, offset) => symbols.lseek(fd, offset, SEEK_SET) === BigInt(offset),
        syncFileSystem: (fd) => symbols.syncfs(fd) === 0,
        getAttribute(fd, name, into) {
          const length = Number(symbols.fgetxattr(fd, asC(name), ptr(into), into.length));
          return { length, errno: errnoOf(length) };
        },
        setAttribute: (fd, name, value) =>
          errnoOf(symbols.fsetxattr(fd, asC(name), ptr(value), value.length, 0)),
      };
    } catch {
      // Another C library; the next name may fit.
    }
  }
  return null;
}

/** The C library, opened at first use; null where there is none that we know. */
export function libc(): Libc | null {
  if (loaded === undefined) loaded = load();
  return loaded;
}
