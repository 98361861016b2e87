/** Binds the manager's HTTP server to an address. */
import { errorCode, errorMessage, UserError } from '../../common/errors.ts';
import { type FrontListener, serveFront } from '../../common/http/front.ts';
import type { Random } from '../../common/random.ts';
import { IDLE_SEC, type Serve } from './mount.ts';

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
export async function listen(
  address: ListenAddress,
  serve: Serve,
  options: { maxWebSocketMessageBytes: number; setting: string; random: Random },
): Promise<HttpListener> {
  const { maxWebSocketMessageBytes: maxMessageBytes, random } = options;
  let listener: FrontListener;
  try {
    listener = await serveFront({
      ...address,
      ...{ idleSec: IDLE_SEC, maxBodyBytes: MAX_BODY_BYTES, maxMessageBytes, random },
      fetch: serve,
    });
  } catch (error) {
    throw bindError(error, address, options.setting);
  }
  const { port } = listener;
  const host = address.hostname.includes(':') ? `[${address.hostname}]` : address.hostname;
  return {
    url: `${address.tls ? 'https' : 'http'}://${host}:${port}`,
    port,
    async stop(graceMs) {
      const drained = listener.drain();
      const grace = Promise.withResolvers<void>();
      const timer = setTimeout(grace.resolve, graceMs);
      await Promise.race([drained, grace.promise]);
      clearTimeout(timer);
      await listener.close();
    },
  };
}
