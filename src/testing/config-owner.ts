/**
 * A process that publishes one ephemeral configuration entry and waits to be killed:
 * `bun config-owner.ts postgres|etcd ADDRESS NAMESPACE KEY TTL_MS`.
 */
import postgres from 'postgres';
import { openEtcdConfigStore } from '../stores/config/etcd.ts';
import { openPostgresConfigStore } from '../stores/config/postgres.ts';

const [kind, address = '', namespace = '', key = '', ttlMs = ''] = process.argv.slice(2);
const log = { warn: console.error };
const store =
  kind === 'etcd'
    ? await openEtcdConfigStore({ addrs: [address], namespace, log })
    : await openPostgresConfigStore({ sql: postgres(address), log });
await store.putEphemeral(key, 'up', Number(ttlMs));
console.log('ready');
setInterval(() => {}, 60_000);
