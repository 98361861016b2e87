/** The passwords of existing servers: in no record, but in the configuration files that need them. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import type { Layout } from '../layout.ts';
import { type InstallRequest, NO_PASSWORDS, type ServerPasswords } from '../request.ts';

const text = v.optional(v.string(), '');
const managerFile = v.object({
  db: v.object({ password: text }),
  etcd: v.optional(v.object({ user: text, password: text })),
});
const webFile = v.object({
  session: v.object({ redis: v.object({ password: text, sentinel_password: text }) }),
});

export interface KeptPasswords {
  readonly database: string;
  readonly servers: ServerPasswords;
}

/** Those that the components use; empty ones where there are no files yet. */
export function keptPasswords(layout: Layout): KeptPasswords {
  const read = (name: string): unknown => {
    const path = join(layout.config, name);
    return existsSync(path) ? Bun.TOML.parse(readFileSync(path, 'utf8')) : null;
  };
  const [manager, web] = [read('manager.toml'), read('webserver.conf')];
  const { db, etcd } = manager === null ? {} : v.parse(managerFile, manager);
  const { redis } = web === null ? {} : v.parse(webFile, web).session;
  return {
    database: db?.password ?? '',
    servers: {
      redis: redis?.password ?? NO_PASSWORDS.redis,
      sentinel: redis?.sentinel_password ?? NO_PASSWORDS.sentinel,
      etcdUser: etcd?.user ?? NO_PASSWORDS.etcdUser,
      etcd: etcd?.password ?? NO_PASSWORDS.etcd,
    },
  };
}

/** What was not said is as it was. */
export function withKeptPasswords(request: InstallRequest, layout: Layout): InstallRequest {
  const kept = keptPasswords(layout);
  const { database, passwords } = request;
  return {
    ...request,
    database: { ...database, password: database.password || kept.database },
    passwords: {
      redis: passwords.redis || kept.servers.redis,
      sentinel: passwords.sentinel || kept.servers.sentinel,
      etcdUser: passwords.etcdUser || kept.servers.etcdUser,
      etcd: passwords.etcd || kept.servers.etcd,
    },
  };
}
