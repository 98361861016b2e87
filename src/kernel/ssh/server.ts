/** The session's SSH server. What speaks the protocol is loaded when the first client comes. */
import { createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '../../common/clock.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import type { Random } from '../../common/random.ts';
import type { SshPlace } from './connection.ts';
import { authorizedKeysFile, ensureUserKey, hostKey } from './keys.ts';

const MAX_CONNECTIONS = 128;

export interface SshOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** The user's home folder. */
  readonly home: string;
  /** What programs see. */
  readonly env: Readonly<Record<string, string>>;
  readonly shell: string;
  readonly hostKeyFile: string;
  /** Further files of public keys that may come in, beside the user's own. */
  readonly trustedKeys: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
  /** Takes lines for the session's log. */
  readonly note: (message: string) => void;
}

export interface SshService {
  stop(): void;
}

type Serve = (socket: Socket) => void;

async function load(options: SshOptions): Promise<Serve> {
  const { serveSsh } = await import('./connection.ts');
  const { home, env, shell, clock, random } = options;
  const place: SshPlace = {
    ...{ home, env, shell, clock },
    hostKey: await hostKey(options.hostKeyFile, random),
    authorizedKeysFiles: [authorizedKeysFile(home), ...options.trustedKeys],
  };
  return (socket) => serveSsh(socket, place);
}

/** Makes the user's key unless there is one. */
async function makeKey({ home, random, note }: SshOptions): Promise<void> {
  try {
    await ensureUserKey(home, random);
  } catch (error) {
    note(`No SSH key could be made: ${errorMessage(error)}`);
  }
}

function listening(server: Server, where: SshOptions['listen']): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ ...where }, resolve);
  });
}

/** Listens from now on. @throws UserError when the port can't be had. */
export async function startSsh(options: SshOptions): Promise<SshService> {
  const { listen, note, clock } = options;
  const sockets = new Set<Socket>();
  let loaded: Promise<Serve> | null = null;
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    loaded ??= load(options);
    loaded.then(
      (serve) => serve(socket),
      (error) => {
        loaded = null;
        note(`The SSH server failed: ${errorMessage(error)}`);
        socket.destroy();
      },
    );
  });
  server.maxConnections = MAX_CONNECTIONS;
  try {
    await listening(server, listen);
  } catch (error) {
    throw new UserError(`Port ${listen.port} can't be listened on: ${errorMessage(error)}`);
  }
  // After whatever the session's start waits for.
  clock.timer(0, () => void makeKey(options));
  return {
    stop: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
