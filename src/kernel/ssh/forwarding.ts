/**
 * Port forwarding of one SSH connection, both ways, over TCP and Unix sockets: what the client wants
 * connected from here (`-L`, `-D`), and what it wants listened for here (`-R`).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Connection, ServerChannel } from 'ssh2';
import { agentChannel } from './agent-channel.ts';
import { splice } from './streams.ts';

const CONNECT_TIMEOUT_MS = 10_000;
/** Listeners of one connection, and connections through them at a time. */
const MAX_LISTENERS = 64;
const MAX_CONNECTIONS = 256;

/** Where a listener is to be: as the client said it, which is how it is named later. */
interface Place {
  readonly address: string;
  readonly port: number;
}

type Opened = (error: Error | undefined, channel: ServerChannel | undefined) => void;
type Open = (socket: Socket, opened: Opened) => void;

function listening(server: Server, where: string | { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, resolve);
  });
}

export class Forwarding {
  readonly #connection: Connection;
  readonly #listeners = new Map<string, Server>();
  #agentSocket: string | null = null;

  constructor(connection: Connection) {
    this.#connection = connection;
    connection.on('tcpip', (accept, reject, { destIP, destPort }) =>
      this.#connectOut(connect({ host: destIP, port: destPort }), accept, reject),
    );
    connection.on('openssh.streamlocal', (accept, reject, { socketPath }) =>
      this.#connectOut(connect(socketPath), accept, reject),
    );
    connection.on('request', (accept, reject, name, info) => {
      const refuse = () => reject?.();
      this.#request(name, info, (port) => accept?.(port)).catch(refuse);
    });
    connection.once('close', () => this.#close());
  }

  /**
   * A socket on which the client's own agent answers, as programs find it in SSH_AUTH_SOCK.
   * @throws when the socket can't be made.
   */
  async agentSocket(): Promise<string> {
    if (this.#agentSocket !== null) return this.#agentSocket;
    const path = join(mkdtempSync(join(tmpdir(), 'ssh-')), 'agent');
    this.#agentSocket = path;
    const open: Open = (_socket, opened) => agentChannel(this.#connection, opened);
    await listening(this.#listener(`agent ${path}`, open), path);
    return path;
  }

  #connectOut(socket: Socket, accept: () => ServerChannel, reject: () => void): void {
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy(new Error('no answer')));
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      socket.setTimeout(0);
      splice(socket, accept());
    });
  }

  async #request(name: string, info: object, accept: (port?: number) => void): Promise<void> {
    if ('socketPath' in info && typeof info.socketPath === 'string') {
      const { socketPath } = info;
      if (name.startsWith('cancel-')) this.#cancel(socketPath);
      else await this.#listenLocal(socketPath);
      accept();
      return;
    }
    if (!('bindAddr' in info && 'bindPort' in info)) throw new Error('an unknown request');
    const place = { address: String(info.bindAddr), port: Number(info.bindPort) };
    if (name === 'cancel-tcpip-forward') {
      this.#cancel(keyOf(place));
      accept();
    } else accept(await this.#listenTcp(place));
  }

  async #listenLocal(path: string): Promise<void> {
    const open: Open = (_socket, opened) =>
      this.#connection.openssh_forwardOutStreamLocal(path, opened);
    await listening(this.#listener(path, open), path);
  }

  /** @returns the port that is listened on. */
  async #listenTcp({ address, port: wanted }: Place): Promise<number> {
    let port = wanted;
    const open: Open = ({ remoteAddress, remotePort }, opened) =>
      this.#connection.forwardOut(address, port, remoteAddress ?? '', remotePort ?? 0, opened);
    const draft = `draft ${address} ${wanted} ${this.#listeners.size}`;
    const server = this.#listener(draft, open);
    await listening(server, { host: hostOf(address), port: wanted });
    const bound = server.address();
    if (bound !== null && typeof bound === 'object') port = bound.port;
    this.#listeners.delete(draft);
    this.#listeners.set(keyOf({ address, port }), server);
    return port;
  }

  #listener(key: string, open: Open): Server {
    if (this.#listeners.size >= MAX_LISTENERS || this.#listeners.has(key)) {
      throw new Error('no further listener');
    }
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => socket.destroy());
      open(socket, (error, channel) => {
        if (error || channel === undefined) socket.destroy();
        else splice(socket, channel);
      });
    });
    server.maxConnections = MAX_CONNECTIONS;
    server.once('error', () => this.#listeners.delete(key));
    this.#listeners.set(key, server);
    return server;
  }

  #cancel(key: string): void {
    const server = this.#listeners.get(key);
    if (server === undefined) throw new Error('no such listener');
    this.#listeners.delete(key);
    server.close();
  }

  #close(): void {
    for (const server of this.#listeners.values()) server.close();
    this.#listeners.clear();
    if (this.#agentSocket !== null) rmSync(dirname(this.#agentSocket), { recursive: true });
  }
}

const keyOf = ({ address, port }: Place): string => `${address}:${port}`;

/** As OpenSSH reads it: nothing and `*` mean every address, `localhost` the loopback. */
const hostOf = (address: string): string => {
  if (address === '' || address === '*') return '0.0.0.0';
  return address === 'localhost' ? '127.0.0.1' : address;
};
