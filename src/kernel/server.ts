/** The socket that the agent connects to, again and again over the life of a session. */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { type OpHandler, serveConnection } from './connection.ts';

/** Connections at one time: an agent needs one, a second while it replaces a lost one. */
const MAX_CONNECTIONS = 8;

export interface RunnerServer {
  close(): void;
}

/** Listens on a Unix socket that only its owner may connect to. @throws when it cannot. */
export async function listen(path: string, handle: OpHandler): Promise<RunnerServer> {
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { force: true });
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    void serveConnection(socket, handle).finally(() => sockets.delete(socket));
  });
  server.maxConnections = MAX_CONNECTIONS;
  const oldMask = process.umask(0o177);
  try {
    await opened(server, path);
  } finally {
    process.umask(oldMask);
  }
  chmodSync(path, 0o600);
  return {
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      rmSync(path, { force: true });
    },
  };
}

function opened(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
}
