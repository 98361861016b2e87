/** Binds the manager's HTTP server to an address. */
import { errorCode, errorMessage, UserError } from '../../common/errors.ts';
import { IDLE_SEC, type Serve } from './mount.ts';
import type { SocketConnection } from './socket.ts';

export interface ListenAddress {
  readonly hostname: string;
  /** 0 picks a free port. */
  readonly port: number;
  /** Serves HTTPS with these PEM files. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
}

export interface HttpListener {
  /** `http://host:port` (or https) without a trailing slash. */
  readonly url: string;
  readonly port: number;
  /** Refuses new requests, closes WebSockets and waits for running requests up to `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

/** Largest request body of any operation. Bytes. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;
const CLOSE_GOING_AWAY = 1001;

function bindError(error: unknown, address: ListenAddress, setting: string): UserError {
  const { hostname, port } = address;
  if (errorCode(error) === 'EADDRINUSE') {
    return new UserError(`Port ${port} on ${hostname} is already in use by another program.`, {
      hint:
        `Stop that program, or choose another port: ${setting} in the [manager] section of ` +
        'manager.toml.',
      cause: error,
    });
  }
  return new UserError(`Cannot listen on ${hostname}:${port}: ${errorMessage(error)}`, {
    hint: `Check ${setting} in the [manager] section of manager.toml.`,
    cause: error,
  });
}

/**
 * @param options.setting name of the setting that gives the address, for error messages.
 * @throws UserError when the address cannot be bound.
 */
export function listen(
  address: ListenAddress,
  serve: Serve,
  options: { maxWebSocketMessageBytes: number; setting: string },
): HttpListener {
  const connections = new Set<SocketConnection>();
  const bind = () =>
    Bun.serve<SocketConnection>({
      hostname: address.hostname,
      port: address.port,
      reusePort: false,
      idleTimeout: IDLE_SEC,
      maxRequestBodySize: MAX_BODY_BYTES,
      tls: address.tls && {
        cert: Bun.file(address.tls.certFile),
        key: Bun.file(address.tls.keyFile),
      },
      fetch: serve,
      websocket: {
        maxPayloadLength: options.maxWebSocketMessageBytes,
        backpressureLimit: options.maxWebSocketMessageBytes,
        closeOnBackpressureLimit: false,
        idleTimeout: 120,
        sendPings: true,
        perMessageDeflate: false,
        open(socket) {
          connections.add(socket.data);
          socket.data.opened(socket);
        },
        message: (socket, message) => socket.data.received(message),
        drain: (socket) => socket.data.drained(),
        close(socket) {
          connections.delete(socket.data);
          socket.data.disconnected();
        },
      },
    });
  let server: ReturnType<typeof bind>;
  try {
    server = bind();
  } catch (error) {
    throw bindError(error, address, options.setting);
  }
  const port = server.port ?? address.port;
  const host = address.hostname.includes(':') ? `[${address.hostname}]` : address.hostname;
  return {
    url: `${address.tls ? 'https' : 'http'}://${host}:${port}`,
    port,
    async stop(graceMs) {
      const drained = server.stop(false);
      for (const connection of connections) connection.close(CLOSE_GOING_AWAY, 'server-restarting');
      const grace = Promise.withResolvers<void>();
      const timer = setTimeout(grace.resolve, graceMs);
      await Promise.race([drained, grace.promise]);
      clearTimeout(timer);
      await server.stop(true);
    },
  };
}
