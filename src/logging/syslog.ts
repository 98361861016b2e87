/**
 * Sends records to syslog: the one of this machine (`/dev/log`, where journald listens too), or another one by
 * UDP or TCP as RFC 5424 says. What cannot be sent waits in a short queue; what does not fit in it is counted.
 */
import { createSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';
import { hostname } from 'node:os';
import type { Clock, Timer } from '../common/clock.ts';
import type { SyslogSettings } from '../common/config/sections.ts';
import { errorMessage } from '../common/errors.ts';
import { type UnixDatagrams, unixDatagrams } from '../common/unix-datagram.ts';
import { escapeControls, formatFields, formatJson } from './format.ts';
import { type LogRecord, PRIORITY } from './logger.ts';

/** Records that wait for a server that is away. */
const MAX_QUEUE = 1_000;
/** What a datagram holds; longer records are cut. Bytes. */
const MAX_DATAGRAM = 8_192;
const RETRY_MS = 1_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** What may wait within a connection. Bytes. */
const MAX_UNSENT = 1024 * 1024;

/** Numbers of RFC 5424. */
const FACILITIES: Readonly<Record<SyslogSettings['facility'], number>> = {
  user: 1,
  daemon: 3,
  local0: 16,
  local1: 17,
  local2: 18,
  local3: 19,
  local4: 20,
  local5: 21,
  local6: 22,
  local7: 23,
};
const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

/** `Jan  2 03:04:05`, in the machine's own time zone: what programs of one machine write. */
function localTime(time: Date): string {
  const two = (number: number) => String(number).padStart(2, '0');
  const day = String(time.getDate()).padStart(2);
  return `${MONTHS[time.getMonth()]} ${day} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** How a record is written for syslog. @param isLocal for this machine's; else as RFC 5424 says. */
export function syslogFormat(
  { facility, format }: Pick<SyslogSettings, 'facility' | 'format'>,
  isLocal: boolean,
): (record: LogRecord) => string {
  const host = hostname() || '-';
  return (record) => {
    const priority = FACILITIES[facility] * 8 + PRIORITY[record.level];
    const name = `backend.ai-${record.component}`;
    const text =
      format === 'json'
        ? formatJson(record).trimEnd()
        : `${escapeControls(record.message)}${formatFields(record)}`;
    return isLocal
      ? `<${priority}>${localTime(record.time)} ${name}[${process.pid}]: ${text}`
      : `<${priority}>1 ${record.time.toISOString()} ${host} ${name} ${process.pid} - - ${text}`;
  };
}

/** A way to a server. */
interface Transport {
  /** @returns whether it was taken; if not, why is told to `onProblem` sooner or later. */
  send(message: string): boolean;
  close(): void;
}

interface Events {
  /** It may be worth trying again now. */
  onReady(): void;
  onProblem(reason: string): void;
}

/** Cut to whole characters. */
function withinDatagram(message: string): string {
  const bytes = Buffer.from(message);
  if (bytes.length <= MAX_DATAGRAM) return message;
  return bytes.toString('utf8', 0, MAX_DATAGRAM - 4).replace(/\uFFFD$/, '');
}

function localTransport(path: string, { onProblem }: Events): Transport {
  let socket: UnixDatagrams | null = null;
  return {
    send(message) {
      socket ??= unixDatagrams(path);
      if (socket?.send(withinDatagram(message))) return true;
      onProblem(`nothing takes messages at ${path}`);
      return false;
    },
    close: () => socket?.close(),
  };
}

function udpTransport(host: string, port: number, { onProblem }: Events): Transport {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.unref();
  const failed = (error: Error) => onProblem(`${host}:${port}: ${errorMessage(error)}`);
  socket.on('error', failed);
  return {
    // Nobody confirms datagrams: those that a host refuses are lost, which is told.
    send(message) {
      socket.send(withinDatagram(message), port, host, (error) => error && failed(error));
      return true;
    },
    close: () => socket.close(),
  };
}

function tcpTransport(host: string, port: number, { onReady, onProblem }: Events): Transport {
  let socket: Socket | null = null;
  let isConnected = false;
  const open = (): Socket => {
    const opening = connect({ host, port });
    opening.setTimeout(CONNECT_TIMEOUT_MS, () => {
      if (!isConnected) opening.destroy(new Error('no answer'));
    });
    opening.once('connect', () => {
      isConnected = true;
      opening.unref();
      onReady();
    });
    opening.on('drain', onReady);
    opening.on('error', (error) => onProblem(`${host}:${port}: ${errorMessage(error)}`));
    opening.once('close', () => {
      if (socket === opening) socket = null;
      isConnected = false;
    });
    // A server says nothing; its end is noticed only when something reads.
    opening.resume();
    return opening;
  };
  return {
    send(message) {
      socket ??= open();
      if (!isConnected || socket.writableLength > MAX_UNSENT) return false;
      // Counted octets (RFC 6587), so that no character ends a record.
      socket.write(`${Buffer.byteLength(message)} ${message}`);
      return true;
    },
    close: () => socket?.end(),
  };
}

export interface Syslog {
  /** Takes a record as `syslogFormat` writes it; once it is closed, nothing any more. */
  write(message: string): void;
  close(): void;
}

/** Opens the way to the server of the settings; that it is away is told on standard error, once each time. */
export function openSyslog(
  { address }: Pick<SyslogSettings, 'address'>,
  clock: Clock,
  tell: (text: string) => void = (text) => process.stderr.write(text),
): Syslog {
  const queue: string[] = [];
  let lost = 0;
  let hasComplained = false;
  let isClosed = false;
  let retry: Timer | null = null;
  const events: Events = {
    onReady: () => flush(),
    onProblem(reason) {
      if (hasComplained) return;
      hasComplained = true;
      tell(`Cannot send the log to syslog: ${reason}. It is tried again.\n`);
    },
  };
  const transport =
    address.kind === 'unix'
      ? localTransport(address.path, events)
      : address.kind === 'udp'
        ? udpTransport(address.host, address.port, events)
        : tcpTransport(address.host, address.port, events);

  const flush = (): void => {
    if (isClosed) return;
    retry?.cancel();
    retry = null;
    while (queue.length > 0) {
      if (!transport.send(queue[0] ?? '')) {
        retry = clock.timer(RETRY_MS, flush);
        return;
      }
      queue.shift();
    }
    if (lost > 0) tell(`syslog takes the log again; ${lost} records were lost meanwhile.\n`);
    lost = 0;
    if (address.kind !== 'udp') hasComplained = false;
  };
  return {
    write(message) {
      if (isClosed) return;
      queue.push(message);
      if (queue.length > MAX_QUEUE) {
        queue.shift();
        lost += 1;
      }
      // While it is away only the timer and the connection try.
      if (retry === null) flush();
    },
    close() {
      if (isClosed) return;
      flush();
      isClosed = true;
      retry?.cancel();
      transport.close();
    },
  };
}
