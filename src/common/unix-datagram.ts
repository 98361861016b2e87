/** Datagrams to sockets of Unix (`/dev/log`, systemd's), which Bun does not offer: by the C library. */
import { dlopen, ptr } from 'bun:ffi';

/** Names of the C library. */
const LIBRARIES = ['libc.so.6', 'libc.musl-x86_64.so.1', 'libc.musl-aarch64.so.1'];
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT_NOSIGNAL = 0x40 | 0x4000;
/** Bytes of a socket's path, its ending zero included. */
const MAX_PATH = 108;

const functions = {
  socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
  sendto: { args: ['i32', 'ptr', 'u64', 'i32', 'ptr', 'u32'], returns: 'i64' },
  close: { args: ['i32'], returns: 'i32' },
} as const;

function openLibrary() {
  for (const name of LIBRARIES) {
    try {
      return dlopen(name, functions).symbols;
    } catch {
      // Another C library than this system's; the next name may be it.
    }
  }
  return null;
}
let library: ReturnType<typeof openLibrary> | undefined;

/** A `sockaddr_un`; `@` begins the name of a socket that is not in the file system. */
function addressOf(path: string): Buffer | null {
  const name = Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : path);
  if (name.length >= MAX_PATH) return null;
  const address = Buffer.alloc(2 + name.length + (path.startsWith('@') ? 0 : 1));
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  return address;
}

export interface UnixDatagrams {
  /** Sends at once or not at all. @returns whether it was taken. */
  send(message: string): boolean;
  close(): void;
}

/** A socket to send from; null where the C library is none that we know, and for a path that is too long. */
export function unixDatagrams(path: string): UnixDatagrams | null {
  library ??= openLibrary();
  const libc = library;
  const address = addressOf(path);
  if (libc === null || address === null) return null;
  const socket = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return null;
  return {
    send(message) {
      const bytes = Buffer.from(message);
      const flags = MSG_DONTWAIT_NOSIGNAL;
      const sent = libc.sendto(
        ...([socket, ptr(bytes), bytes.length, flags, ptr(address), address.length] as const),
      );
      return Number(sent) === bytes.length;
    },
    close: () => void libc.close(socket),
  };
}
