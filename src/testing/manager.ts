/**
 * A manager's HTTP side for tests: real PostgreSQL and stores, three accounts, and a client that
 * signs requests.
 */
import { createHash } from 'node:crypto';
import { type Clock, systemClock } from '../common/clock.ts';
import { BackendError } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import { systemRandom } from '../common/random.ts';
import { BackgroundTasks } from '../manager/background-task/service.ts';
import type { ManagerContext } from '../manager/context.ts';
import { keyedConnections } from '../manager/db/connect.ts';
import { createEventBus } from '../manager/event/create.ts';
import { LargeTotals } from '../manager/graphql/large-totals.ts';
import type { Route, SocketRoute } from '../manager/http/route.ts';
import { canonicalText, sign } from '../manager/http/signature.ts';
import { OwnRecords } from '../manager/own-records.ts';
import { type ManagerServer, startServer } from '../manager/server.ts';
import { NewSessions } from '../manager/session/new-sessions.ts';
import { TransitionQueue } from '../manager/session/transition-queue.ts';
import { openPostgresConfigStore } from '../stores/config/postgres.ts';
import { createMemoryLiveStore } from '../stores/live/memory.ts';
import type { LiveStore } from '../stores/live/port.ts';
import { type TestDatabase, testDatabase } from './postgres.ts';

export const silentLog: Logger = {
  trace() {},
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
};

export interface TestAccount {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly email: string;
  readonly userId: string;
}

interface TestAccounts {
  readonly superadmin: TestAccount;
  /** A domain admin of the domain `default`. */
  readonly admin: TestAccount;
  readonly user: TestAccount;
}

async function insertAccounts({ sql }: TestDatabase): Promise<TestAccounts> {
  const nothing = new Uint8Array([0x90]);
  await sql`INSERT INTO domains (name, is_active, total_resource_slots, allowed_vfolder_hosts,
      allowed_docker_registries, dotfiles)
    VALUES ('default', true, '{}', '{}', '{local}', ${nothing})`;
  await sql`INSERT INTO keypair_resource_policies (name, default_for_unspecified,
      total_resource_slots, max_concurrent_sessions, max_containers_per_session, idle_timeout,
      allowed_vfolder_hosts)
    VALUES ('default', 'UNLIMITED', '{}', 30, 1, 3600, '{}')`;
  await sql`INSERT INTO user_resource_policies (name, max_vfolder_count, max_quota_scope_size,
      max_session_count_per_model_session, max_customized_image_count)
    VALUES ('default', 0, -1, 10, 3)`;
  const account = async (role: 'superadmin' | 'admin' | 'user'): Promise<TestAccount> => {
    const email = `${role}@test.example`;
    const userId = systemRandom.uuid();
    const accessKey = `AKIATEST${role.toUpperCase()}`;
    const secretKey = systemRandom.uuid().replaceAll('-', '');
    await sql`INSERT INTO users (uuid, username, email, status, domain_name, role, resource_policy,
        sudo_session_enabled, main_access_key)
      VALUES (${userId}, ${role}, ${email}, 'active', 'default', ${role}, 'default', false, null)`;
    await sql`INSERT INTO keypairs (user_id, access_key, secret_key, is_active, is_admin, rate_limit,
        "user", resource_policy, dotfiles, bootstrap_script)
      VALUES (${email}, ${accessKey}, ${secretKey}, true, ${role !== 'user'}, 10000, ${userId},
        'default', ${nothing}, '')`;
    return { accessKey, secretKey, email, userId };
  };
  return {
    superadmin: await account('superadmin'),
    admin: await account('admin'),
    user: await account('user'),
  };
}

export interface TestManagerContext {
  readonly ctx: ManagerContext;
  readonly accounts: TestAccounts;
  readonly db: TestDatabase;
  close(): Promise<void>;
}

/** The context of a manager on a database of its own, with accounts and no agents. */
export async function testManagerContext(
  options: {
    clock?: Clock;
    settings?: Partial<ManagerContext['settings']>;
    log?: Logger;
    /** Where sign-ins of browsers are kept, if not in the live store. */
    webSessions?: LiveStore;
    /** A migrated database to use instead of a fresh one; it is dropped in the end. */
    db?: TestDatabase;
  } = {},
): Promise<TestManagerContext> {
  const clock = options.clock ?? systemClock;
  const log = options.log ?? silentLog;
  const db = options.db ?? (await testDatabase({ migrated: true }));
  const accounts = await insertAccounts(db);
  const config = await openPostgresConfigStore({ sql: db.sql, log });
  const live = createMemoryLiveStore({ clock });
  const tasks = new BackgroundTasks({ live, clock, random: systemRandom, log });
  const events = await createEventBus(live, 'i-test', clock, silentLog);
  const keyed = await keyedConnections(db.sql);
  const ctx: ManagerContext = {
    id: 'i-test',
    sql: db.sql,
    lookups: db.sql,
    own: new OwnRecords(db.sql),
    totals: new LargeTotals(clock),
    keyed,
    transitions: new TransitionQueue({ sql: keyed, events, clock }),
    newSessions: new NewSessions(keyed, clock),
    config,
    live,
    webSessions: options.webSessions ?? live,
    agents: {
      client: (agentId) => {
        throw new BackendError('AgentConnectionUnavailable', `This test has no agent ${agentId}.`);
      },
    },
    events,
    eventLog: events.log,
    tasks,
    clock,
    random: systemRandom,
    log,
    settings: {
      heartbeatTimeoutSec: 40,
      hideAgents: false,
      agentSelectionResourcePriority: ['cuda', 'cpu', 'mem'],
      maxWebSocketMessageBytes: 16 * 1024 * 1024,
      rbacEnforced: true,
      debug: false,
      ...options.settings,
    },
  };
  return {
    ctx,
    accounts,
    db,
    async close() {
      await tasks.stop();
      await config.close();
      await live.close();
      await keyed.end({ timeout: 5 });
      await db.drop();
    },
  };
}

export interface TestServer extends TestManagerContext {
  readonly server: ManagerServer;
  readonly url: string;
}

/** A listening manager with the given operations besides those about the server itself. */
export async function testManagerServer(
  options: Parameters<typeof testManagerContext>[0] & {
    routes?: readonly Route[] | ((ctx: ManagerContext) => Promise<readonly Route[]>);
    sockets?: readonly SocketRoute[] | ((ctx: ManagerContext) => Promise<readonly SocketRoute[]>);
  } = {},
): Promise<TestServer> {
  const base = await testManagerContext(options);
  const { routes = [], sockets = [] } = options;
  const server = await startServer(base.ctx, {
    listen: { hostname: '127.0.0.1', port: 0 },
    routes: typeof routes === 'function' ? await routes(base.ctx) : routes,
    sockets: typeof sockets === 'function' ? await sockets(base.ctx) : sockets,
  });
  return {
    ...base,
    server,
    url: server.url,
    close: async () => {
      await server.stop(1000);
      await base.close();
    },
  };
}

export interface SigningOptions {
  readonly method?: string;
  /** Path and query as they will be sent. */
  readonly target: string;
  readonly host: string;
  readonly contentType?: string;
  readonly date?: string;
  readonly dateName?: 'Date' | 'X-BackendAI-Date';
  readonly version?: string;
}

/** The headers of a request signed by `account`. */
export function signedHeaders(
  account: Pick<TestAccount, 'accessKey' | 'secretKey'>,
  options: SigningOptions,
): Record<string, string> {
  const date = options.date ?? new Date().toISOString();
  const version = options.version ?? 'v9.20250722';
  const text = canonicalText({
    method: options.method ?? 'GET',
    target: options.target,
    date,
    host: options.host,
    contentType: options.contentType ?? 'application/octet-stream',
    versionName: 'x-backendai-version',
    version,
    bodyHash: createHash('sha256').digest('hex'),
  });
  const day = date.slice(0, 10).replaceAll('-', '');
  const signature = sign('sha256', account.secretKey, day, options.host, text);
  return {
    Authorization: `BackendAI signMethod=HMAC-SHA256, credential=${account.accessKey}:${signature}`,
    [options.dateName ?? 'X-BackendAI-Date']: date,
    'X-BackendAI-Version': version,
    ...(options.contentType === undefined ? {} : { 'Content-Type': options.contentType }),
  };
}

/** Sends a request signed by its account; `json` becomes the body. */
export type TestClient = (
  method: string,
  target: string,
  json?: unknown,
  headers?: Readonly<Record<string, string>>,
) => Promise<Response>;

/** A client of the server at `url` that signs with `account`. */
export function signingClient(url: string, account: TestAccount): TestClient {
  const { host } = new URL(url);
  return (method, target, json, headers) =>
    fetch(`${url}${target}`, {
      method,
      headers: {
        ...headers,
        ...signedHeaders(account, {
          method,
          target,
          host,
          contentType: json === undefined ? undefined : 'application/json',
        }),
      },
      body: json === undefined ? undefined : JSON.stringify(json),
    });
}
