/**
 * Where Redis is, as the configuration store says below `config/redis`: `addr`, or `sentinel` with
 * `service_name`; and `password`, `sentinel_password`.
 */
import * as v from 'valibot';
import { formatHostPort, hostPorts, parseHostPort } from '../../common/config/values.ts';
import { UserError } from '../../common/errors.ts';
import type { ConfigStore } from '../config/port.ts';
import type { RedisPlace } from './redis-server.ts';

export type RedisAddress = RedisPlace & { readonly password: string | undefined };

/** The Sentinels in a list such as `10.0.0.1:26379,10.0.0.2:26379`. @throws UserError when it is none. */
function sentinelsIn(text: string): string[] {
  const parsed = v.safeParse(hostPorts, text);
  if (parsed.success) return parsed.output.map(formatHostPort);
  throw new UserError(`'config/redis/sentinel' is '${text}', which is no list of host:port`, {
    hint: 'Set it: backend.ai mgr etcd put config/redis/sentinel 10.0.0.1:26379,10.0.0.2:26379',
  });
}

/**
 * Reads the address of Redis.
 * @throws UserError with the command to run when it is missing or no address.
 */
export async function readRedisAddress(config: ConfigStore): Promise<RedisAddress> {
  const entries = await config.list('config/redis');
  const value = (name: string) => entries.get(`config/redis/${name}`) || undefined;
  const password = value('password');
  const sentinel = value('sentinel');
  if (sentinel !== undefined) {
    const serviceName = value('service_name');
    if (serviceName === undefined) {
      throw new UserError("'config/redis/sentinel' is set without 'config/redis/service_name'", {
        hint: 'Set it to the name of the master: backend.ai mgr etcd put config/redis/service_name mymaster',
      });
    }
    const sentinelPassword = value('sentinel_password');
    return { sentinels: sentinelsIn(sentinel), serviceName, sentinelPassword, password };
  }
  const hint = 'Set it: backend.ai mgr etcd put config/redis/addr 127.0.0.1:6379';
  const text = value('addr');
  if (text === undefined) {
    throw new UserError("The configuration store has no 'config/redis/addr'", { hint });
  }
  const addr = parseHostPort(text);
  if (!addr) {
    throw new UserError(`'config/redis/addr' is '${text}', which is not host:port`, { hint });
  }
  return { addr: formatHostPort(addr), password };
}
