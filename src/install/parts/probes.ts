/** Asks servers whether they answer as what they are said to be, with neither password nor library. */
import { connect } from 'node:net';

const TIMEOUT_MS = 2_000;
const MAX_ANSWER_LENGTH = 4_096;

export type ServerKind = 'postgres' | 'redis' | 'etcd';

/** What comes back first for some bytes, byte by byte; empty when nothing does in time. */
function firstAnswer(host: string, port: number, question: Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: TIMEOUT_MS });
    const late = setTimeout(() => end(''), TIMEOUT_MS);
    const end = (answer: string) => {
      clearTimeout(late);
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => socket.write(question));
    socket.setEncoding('latin1');
    socket.once('data', (text) => end(String(text).slice(0, MAX_ANSWER_LENGTH)));
    socket.once('timeout', () => end(''));
    socket.once('error', () => end(''));
    socket.once('close', () => end(''));
  });
}

/** The first message of a client: protocol 3.0, and who it would be. */
function startupMessage(): Uint8Array {
  const body = Buffer.from('user\0postgres\0database\0postgres\0\0', 'latin1');
  const message = Buffer.alloc(8 + body.length);
  message.writeInt32BE(message.length, 0);
  message.writeInt32BE(196_608, 4);
  body.copy(message, 8);
  return message;
}

/** It asks who is there, or refuses to hear that; but not because it is still starting. */
async function isPostgres(host: string, port: number): Promise<boolean> {
  const answer = await firstAnswer(host, port, startupMessage());
  return answer.startsWith('R') || (answer.startsWith('E') && !answer.includes('C57P03'));
}

/** Also a Sentinel, and one that wants a password first. */
async function isRedis(host: string, port: number): Promise<boolean> {
  return /^(\+PONG|-NOAUTH|-DENIED)/.test(await firstAnswer(host, port, Buffer.from('PING\r\n')));
}

async function isEtcd(host: string, port: number): Promise<boolean> {
  const place = host.includes(':') ? `[${host}]` : host;
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const reply = await fetch(`http://${place}:${port}/health`, { signal });
    return reply.ok && /"health" *: *"?true/.test(await reply.text());
  } catch {
    // Nothing is there, or nothing that speaks HTTP.
    return false;
  }
}

const probes = { postgres: isPostgres, redis: isRedis, etcd: isEtcd } as const;

/** Whether such a server takes requests at an address. @param host without brackets. */
export const answersAs = (kind: ServerKind, host: string, port: number): Promise<boolean> =>
  probes[kind](host, port);
