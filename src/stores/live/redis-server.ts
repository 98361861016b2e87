/** Where Redis is: one server, or the master that Sentinels name at the time. */
import { createClient } from 'redis';
import * as v from 'valibot';
import { errorMessage } from '../../common/errors.ts';

export type RedisPlace =
  /** `host:port`. */
  | { readonly addr: string }
  | {
      /** `host:port` of each Sentinel. */
      readonly sentinels: readonly string[];
      /** The name under which they watch the master. */
      readonly serviceName: string;
      /** What the Sentinels themselves ask for; not the password of Redis. */
      readonly sentinelPassword?: string;
    };

/** As messages name it. */
export const describePlace = (place: RedisPlace): string =>
  'addr' in place ? place.addr : `${place.serviceName} of Sentinels ${place.sentinels.join(',')}`;

/** How long one Sentinel may take to answer. Milliseconds. */
const SENTINEL_TIMEOUT_MS = 1_000;

export function splitAddr(addr: string): { host: string; port: number } {
  const colon = addr.lastIndexOf(':');
  if (colon < 0) return { host: addr, port: 6379 };
  return {
    host: addr.slice(0, colon).replace(/^\[|\]$/g, ''),
    port: Number(addr.slice(colon + 1)),
  };
}

const masterReply = v.nullable(v.tuple([v.string(), v.string()]));

/** What one Sentinel says. @throws Error when it does not answer, or does not know the service. */
async function askSentinel(
  sentinel: string,
  serviceName: string,
  password: string | undefined,
): Promise<string> {
  const client = createClient({
    password,
    socket: {
      ...splitAddr(sentinel),
      connectTimeout: SENTINEL_TIMEOUT_MS,
      reconnectStrategy: false,
    },
    commandOptions: { timeout: SENTINEL_TIMEOUT_MS },
    maintNotifications: 'disabled',
    disableClientInfo: true,
  });
  // What goes wrong is told by the rejected calls.
  client.on('error', () => {});
  try {
    await client.connect();
    const reply: unknown = await client.sendCommand([
      ...['SENTINEL', 'get-master-addr-by-name', serviceName],
    ]);
    const master = v.parse(masterReply, reply);
    if (master === null) throw new Error(`it watches no service '${serviceName}'`);
    return master.join(':');
  } finally {
    if (client.isOpen) client.destroy();
  }
}

/**
 * The address of Redis now. All Sentinels are asked at once, so that one that hangs costs no time.
 * @throws Error that says of each Sentinel why it does not tell.
 */
export async function currentAddr(place: RedisPlace): Promise<string> {
  if ('addr' in place) return place.addr;
  const { sentinels, serviceName, sentinelPassword } = place;
  try {
    return await Promise.any(
      sentinels.map((sentinel) => askSentinel(sentinel, serviceName, sentinelPassword)),
    );
  } catch (error) {
    const reasons = error instanceof AggregateError ? error.errors : [error];
    const told = sentinels.map((sentinel, index) => `${sentinel}: ${errorMessage(reasons[index])}`);
    throw new Error(`no Sentinel names the master (${told.join('; ')})`);
  }
}
