/** Serves one SSH connection: who may come in, and what they may do then. Loaded at first use. */
import { timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import ssh2, { type AuthContext, type Connection } from 'ssh2';
import type { Timer } from '../../common/clock.ts';
import { Forwarding } from './forwarding.ts';
import { authorizedKeys } from './keys.ts';
import { type SessionPlace, SshSession } from './session.ts';

const MAX_ATTEMPTS = 20;
const KEEPALIVE_MS = 15_000;
const MAX_MISSED_KEEPALIVES = 4;
const LOGIN_TIMEOUT_MS = 60_000;
const MAX_SESSIONS = 64;

export interface SshPlace extends Omit<SessionPlace, 'agentSocket'> {
  readonly hostKey: string;
  /** Files of public keys that may come in. */
  readonly authorizedKeysFiles: readonly string[];
}

const isSame = (a: Buffer, b: Buffer): boolean => a.length === b.length && timingSafeEqual(a, b);

async function authenticate(context: AuthContext, files: readonly string[]): Promise<void> {
  if (context.method !== 'publickey') {
    context.reject(['publickey']);
    return;
  }
  const { key, signature, blob, hashAlgo } = context;
  const known = (await authorizedKeys(files)).find(({ data }) => isSame(data, key.data));
  const parsed = known && ssh2.utils.parseKey(known.text);
  const isUsable = parsed !== undefined && !(parsed instanceof Error);
  // Without a signature the client only asks whether the key would do.
  const isProven =
    isUsable && (!signature || !blob || parsed.verify(blob, signature, hashAlgo) === true);
  if (isProven) context.accept();
  else context.reject(['publickey']);
}

function serve(connection: Connection, socket: Socket, place: SshPlace, late: Timer): void {
  const { authorizedKeysFiles } = place;
  let attempts = 0;
  let sessions = 0;
  connection.on('error', () => socket.destroy());
  connection.on('authentication', (context) => {
    attempts += 1;
    if (attempts > MAX_ATTEMPTS) socket.destroy();
    else authenticate(context, authorizedKeysFiles).catch(() => context.reject());
  });
  connection.once('ready', () => {
    late.cancel();
    const forwarding = new Forwarding(connection);
    const agentSocket = () => forwarding.agentSocket();
    const env = {
      ...place.env,
      SSH_CONNECTION: `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`,
    };
    connection.on('session', (accept, reject) => {
      sessions += 1;
      if (sessions > MAX_SESSIONS) {
        sessions -= 1;
        reject();
        return;
      }
      const session = accept();
      session.once('close', () => {
        sessions -= 1;
      });
      new SshSession(session, { ...place, env, agentSocket });
    });
  });
}

/** Ciphers that the hardware computes. */
const CIPHERS = [
  ...(['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'] as const),
  ...(['aes128-ctr', 'aes192-ctr', 'aes256-ctr'] as const),
];

/** Serves a connection until it closes. */
export function serveSsh(socket: Socket, place: SshPlace): void {
  const late = place.clock.timer(LOGIN_TIMEOUT_MS, () => socket.destroy());
  socket.once('close', () => late.cancel());
  const server = new ssh2.Server(
    {
      hostKeys: [place.hostKey],
      ident: 'backend.ai',
      keepaliveInterval: KEEPALIVE_MS,
      keepaliveCountMax: MAX_MISSED_KEEPALIVES,
      algorithms: { cipher: CIPHERS, compress: ['none'] },
    },
    (connection) => serve(connection, socket, place, late),
  );
  server.injectSocket(socket);
}
