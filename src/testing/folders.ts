/** Two tenants with a storage proxy: a manager's folders on real volumes. */
import { HOST_PERMISSIONS } from '../manager/db/json.ts';
import { signingClient } from './manager.ts';
import { startTestStorage, type TestStorage } from './storage.ts';
import { type Tenants, testTenants } from './tenants.ts';
import { until } from './until.ts';

type Who = keyof Tenants['people'];

export interface TestFolders extends Tenants {
  readonly storage: TestStorage;
  /** The status of an answer and its JSON; null where it has none. */
  call(who: Who, method: string, path: string, json?: unknown): Promise<[number, unknown]>;
  /** Makes a folder. @returns its id, without dashes. */
  make(who: Who, name: string, more?: object): Promise<string>;
  /** Resolves once the folder has this status in the database. */
  reached(id: string, status: string): Promise<void>;
  /** Tells the manager where the proxy is, after a restart of it. */
  announceStorage(): Promise<void>;
}

/** The host on which everybody may do everything. */
export const HOST = 'local:volume1';

/** Starts it: personal and project folders are enabled in both tenants. */
export async function testFolders(
  options: Parameters<typeof testTenants>[0] = {},
): Promise<TestFolders> {
  const tenants = await testTenants(options);
  const storage = await startTestStorage();
  const { config, sql } = tenants.ctx;
  const announceStorage = () =>
    config.putMany(
      new Map([
        ['volumes/_types/user', ''],
        ['volumes/_types/group', ''],
        ['volumes/default_host', HOST],
        ['volumes/exposed_volume_info', 'percentage,used_bytes,capacity_bytes'],
        ['volumes/proxies/local/client_api', storage.clientUrl],
        ['volumes/proxies/local/manager_api', storage.managerUrl],
        ['volumes/proxies/local/secret', storage.secret],
      ]),
    );
  await announceStorage();
  const hosts = JSON.stringify({ [HOST]: HOST_PERMISSIONS });
  await sql`UPDATE domains SET allowed_vfolder_hosts = ${hosts}::text::jsonb`;
  const call: TestFolders['call'] = async (who, method, path, json) => {
    const client = signingClient(tenants.url, tenants.people[who]);
    const response = await client(method, path, json);
    const text = await response.text();
    return [response.status, text === '' ? null : JSON.parse(text)];
  };
  return {
    ...tenants,
    storage,
    call,
    announceStorage,
    async make(who, name, more = {}) {
      const [status, body] = await call(who, 'POST', '/folders', { name, ...more });
      if (status !== 201 || typeof body !== 'object' || body === null || !('id' in body)) {
        throw new Error(`a folder was not made: ${status} ${JSON.stringify(body)}`);
      }
      return String(body.id);
    },
    async reached(id, status) {
      await until(async () => {
        const [row] = await sql`SELECT status FROM vfolders WHERE id = ${id}`;
        return row?.status === status;
      }, `folder ${id} is ${status}`);
    },
    close: async () => {
      await tenants.close();
      await storage.discard();
    },
  };
}
