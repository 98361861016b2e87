/** Where Redis is, as the configuration store says: `config/redis/addr` and `config/redis/password`. */
import { formatHostPort, parseHostPort } from '../../common/config/values.ts';
import { UserError } from '../../common/errors.ts';
import type { ConfigStore } from '../config/port.ts';

export interface RedisAddress {
  /** `host:port`. */
  readonly addr: string;
  readonly password: string | undefined;
}

/**
 * Reads the address of Redis.
 * @throws UserError with the command to run when it is missing or no address.
 */
export async function readRedisAddress(config: ConfigStore): Promise<RedisAddress> {
  const entries = await config.list('config/redis');
  const hint = 'Set it: backend.ai mgr etcd put config/redis/addr 127.0.0.1:6379';
  const text = entries.get('config/redis/addr');
  if (text === undefined) {
    throw new UserError("The configuration store has no 'config/redis/addr'", { hint });
  }
  const addr = parseHostPort(text);
  if (!addr) {
    throw new UserError(`'config/redis/addr' is '${text}', which is not host:port`, { hint });
  }
  return {
    addr: formatHostPort(addr),
    password: entries.get('config/redis/password') || undefined,
  };
}
