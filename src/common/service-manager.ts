/**
 * What a server tells the systemd that started it, as sd_notify(3) does: that it is ready, still
 * alive, and stopping. Elsewhere it does nothing.
 */
import { dlopen, ptr } from 'bun:ffi';
import type { Clock, Timer } from './clock.ts';

/** Names of the C library: Bun has no datagram sockets of Unix of its own. */
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

/** A `sockaddr_un`; `@` begins the name of a socket that is not in the file system. */
function addressOf(path: string): Buffer | null {
  const name = Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : path);
  if (name.length >= MAX_PATH) return null;
  const address = Buffer.alloc(2 + name.length + (path.startsWith('@') ? 0 : 1));
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  return address;
}

/** Sends one message; a service manager that does not listen is nothing that a server can mend. */
function notify(path: string, message: string): void {
  const address = addressOf(path);
  const libc = address && openLibrary();
  if (!libc) return;
  const socket = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return;
  const bytes = Buffer.from(message);
  libc.sendto(
    socket,
    ptr(bytes),
    bytes.length,
    MSG_DONTWAIT_NOSIGNAL,
    ptr(address),
    address.length,
  );
  libc.close(socket);
}

/** Half of the time after which systemd takes this process for dead; null: it does not watch. */
function watchdogMs(env: Readonly<Record<string, string | undefined>>): number | null {
  const { WATCHDOG_USEC, WATCHDOG_PID } = env;
  if (!WATCHDOG_USEC || (WATCHDOG_PID && Number(WATCHDOG_PID) !== process.pid)) return null;
  const halfMs = Number(WATCHDOG_USEC) / 2000;
  return Number.isFinite(halfMs) && halfMs > 0 ? halfMs : null;
}

/**
 * Says that this server is ready, and from then on that it is alive, as long as it can: a loop of
 * events that stands still says nothing, and systemd starts the server again.
 * @returns what says on its disposal that the server stops.
 */
export function serviceReady(
  env: Readonly<Record<string, string | undefined>>,
  clock: Clock,
): Disposable {
  const path = env.NOTIFY_SOCKET;
  if (!path) return { [Symbol.dispose]() {} };
  // Not the concern of kernels and other children.
  delete process.env.NOTIFY_SOCKET;
  notify(path, 'READY=1');
  const everyMs = watchdogMs(env);
  let timer: Timer | null = null;
  const sayAlive = (pauseMs: number) => {
    notify(path, 'WATCHDOG=1');
    timer = clock.timer(pauseMs, () => sayAlive(pauseMs));
  };
  if (everyMs !== null) sayAlive(everyMs);
  return {
    [Symbol.dispose]() {
      timer?.cancel();
      notify(path, 'STOPPING=1');
    },
  };
}
