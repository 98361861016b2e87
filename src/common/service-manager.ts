/**
 * What a server tells the systemd that started it, as sd_notify(3) does: that it is ready, still
 * alive, and stopping. Elsewhere it does nothing.
 */
import type { Clock, Timer } from './clock.ts';
import { unixDatagrams } from './unix-datagram.ts';

/** Sends one message; a service manager that does not listen is nothing that a server can mend. */
function notify(path: string, message: string): void {
  const socket = unixDatagrams(path);
  socket?.send(message);
  socket?.close();
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
