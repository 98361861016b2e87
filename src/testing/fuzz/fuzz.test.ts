/**
 * Random and hostile requests to everything the API has, as everybody: none may break the manager,
 * hang, show a trace, or change a row when it is refused.
 * BACKEND_FUZZ_REQUESTS says how many (default 1000), BACKEND_FUZZ_SEED repeats a run.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import * as v from 'valibot';
import type { Logger } from '../../common/logger.ts';
import { problems } from '../../common/problems.ts';
import { databaseState } from '../database-state.ts';
import { type TestFolders, testFolders } from '../folders.ts';
import { documentOf, rootFields } from '../graphql-documents.ts';
import { signedHeaders, silentLog } from '../manager.ts';
import { insertTenantRows, owners, type TenantRows } from '../tenant-rows.ts';
import { type FuzzRequest, fuzzTargets, graphqlRequest } from './requests.ts';
import { textsNaming } from './values.ts';

const REQUESTS = Number(process.env.BACKEND_FUZZ_REQUESTS ?? 1000);
const SEED = Number(process.env.BACKEND_FUZZ_SEED ?? 20_250_722);
/** An answer that takes longer counts as none. Milliseconds. */
const HANG_MS = 20_000;

/** Superadmins come last: they may delete the others. */
const roles = ['anonymous', 'user', 'otherUser', 'monitor', 'admin', 'superadmin'] as const;
type Role = (typeof roles)[number];

/** Answers of 5xx that upstream documents for what is wrong with a request, or with an agent. */
const DOCUMENTED = [
  ...['not-implemented', 'invalid-session-data', 'agent-connection-unavailable'],
  'webhook/harbor/container-registry-not-found',
];
const all = Object.values(problems);
const failures = new Map(
  all
    .filter(({ status, slug }) => status >= 500 && !DOCUMENTED.includes(slug))
    // Some share their code with what is a client's mistake.
    .filter(({ code }) => !all.some((other) => other.code === code && other.status < 500))
    .map(({ code, slug }) => [code, slug]),
);

/** Sign-ins leave their record also when they fail; that is what it is for. */
const RECORDS = ['login_history'];

const unexpected: string[] = [];
const log: Logger = {
  ...silentLog,
  error: (message, fields) => unexpected.push(`${message} ${JSON.stringify(fields)}`),
};

let tenants: TestFolders;
let rows: TenantRows;
beforeAll(async () => {
  tenants = await testFolders({ log });
  rows = await insertTenantRows(tenants);
}, 60_000);
afterAll(() => tenants.close());

interface Answer {
  readonly status: number;
  readonly text: string;
}

async function send(role: Role, { method, target, body }: FuzzRequest): Promise<Answer> {
  const url = new URL(target, tenants.url);
  const signed =
    role === 'anonymous'
      ? { 'Content-Type': 'application/json' }
      : signedHeaders(tenants.people[role], {
          ...{ method, target: `${url.pathname}${url.search}`, host: url.host },
          contentType: 'application/json',
        });
  const stopped = new AbortController();
  const response = await fetch(url, {
    method,
    headers: signed,
    body: method === 'GET' ? undefined : body,
    signal: AbortSignal.any([stopped.signal, AbortSignal.timeout(HANG_MS)]),
  });
  const streams = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
  const text = streams ? '' : await response.text();
  if (streams) stopped.abort();
  return { status: response.status, text };
}

const graphqlAnswer = v.object({
  data: v.nullable(v.record(v.string(), v.unknown())),
  errors: v.nullable(v.array(v.object({ extensions: v.object({ code: v.string() }) }))),
});

/** What is wrong with an answer; null when nothing is. */
function complaint({ status, text }: Answer, isGraphql: boolean): string | null {
  const first = unexpected.shift();
  if (first !== undefined) return `the manager failed unexpectedly: ${first}`;
  if (/\bat .{0,80}\.[jt]s:\d+|node_modules|\/src\/manager/.test(text)) return 'it shows a trace';
  if (!isGraphql || status !== 200) {
    const isDocumented = DOCUMENTED.some((slug) => text.includes(`/probs/${slug}"`));
    return status >= 500 && !isDocumented ? `status ${status}` : null;
  }
  const parsed = v.safeParse(graphqlAnswer, JSON.parse(text));
  if (!parsed.success) return 'it is no answer of GraphQL';
  const codes = parsed.output.errors?.map(({ extensions }) => extensions.code) ?? [];
  const failed = codes.find((code) => failures.has(code));
  return failed === undefined ? null : `GraphQL says ${failures.get(failed)}`;
}

const isRefused = ({ status, text }: Answer): boolean =>
  status >= 400 || /^\{"data":(null|\{"\w+":(null|\{"ok":false)[^{}]*\}?\})/.test(text);

/** Texts of a role's requests: everybody's names, so that others' are asked for too. */
const textsOf = () => {
  const named = owners.flatMap((owner) => Object.values(rows[owner].named));
  return textsNaming([...new Set(named.filter((name) => name !== null))]);
};

/** Whoever revoked the own key, or was deleted by a superadmin, is let in again. */
async function revive(role: Exclude<Role, 'anonymous'>): Promise<void> {
  const { sql } = tenants.db;
  const { userId, email, accessKey, secretKey } = tenants.people[role];
  const isAdmin = role === 'admin' || role === 'superadmin';
  await sql`UPDATE users SET status = 'active', allowed_client_ip = null WHERE uuid = ${userId}`;
  await sql`INSERT INTO keypairs (user_id, access_key, secret_key, is_active, is_admin, rate_limit,
      "user", resource_policy, dotfiles, bootstrap_script)
    SELECT ${email}, ${accessKey}, ${secretKey}, true, ${isAdmin}, 100000, uuid, 'default', '\\x90', ''
      FROM users WHERE uuid = ${userId}
    ON CONFLICT (access_key) DO UPDATE
      SET is_active = true, secret_key = excluded.secret_key, "user" = excluded."user"`;
  // Keys are remembered for a moment.
  tenants.ctx.events.publish({ type: 'entity-changed', entityType: 'keypair' });
}

interface Probe {
  readonly role: Role;
  readonly request: FuzzRequest;
  readonly seed: number;
}

/** The requests of a run: each role in turn asks for everything, again and again. */
function* probes(): Generator<Probe> {
  const texts = textsOf();
  const perRole = Math.ceil(REQUESTS / roles.length);
  for (const [rank, role] of roles.entries()) {
    for (let index = 0; index < perRole; index += 1) {
      const seed = SEED + index * roles.length + rank;
      const target = fuzzTargets[(index * STRIDE + rank * 101 + SEED) % fuzzTargets.length];
      const [request] = target ? fc.sample(target.requests(texts), { numRuns: 1, seed }) : [];
      if (request) yield { role, request, seed };
    }
  }
}

/** A prime, so that a short run reaches targets of all kinds. */
const STRIDE = 7919;

/** How often a refused request is sent again while what goes on in the background changes rows. */
const ATTEMPTS = 5;

/** What is wrong with the answers to one request; null when nothing is. */
class Judge {
  #before: Record<string, string | null> = {};
  #transactions = '';
  readonly statuses: Record<string, number> = {};

  /** Without a transaction that writes there is nothing to compare. */
  async #written(): Promise<string> {
    const [row] = await tenants.db.sql`
      SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS transactions`;
    return String(row?.transactions);
  }

  #state() {
    return databaseState(tenants.db.sql, { except: RECORDS });
  }

  async begin(): Promise<void> {
    this.#before = await this.#state();
    this.#transactions = await this.#written();
  }

  /** The tables that changed since the last look. */
  async #changes(): Promise<string[]> {
    if ((await this.#written()) === this.#transactions) return [];
    const after = await this.#state();
    const changed = Object.keys(after).filter((name) => after[name] !== this.#before[name]);
    this.#before = after;
    this.#transactions = await this.#written();
    return changed;
  }

  async judge({ role, request }: Probe): Promise<string | null> {
    const answer = await send(role, request);
    this.statuses[answer.status] = (this.statuses[answer.status] ?? 0) + 1;
    const wrong = complaint(answer, request.target === '/admin/gql');
    if (wrong !== null) return `${wrong}: ${answer.text.slice(0, 500)}`;
    let changed = await this.#changes();
    if (answer.status === 401 && role !== 'anonymous') {
      await revive(role);
      await this.#changes();
    }
    if (!isRefused(answer)) return null;
    for (let attempt = 1; changed.length > 0; attempt += 1) {
      if (attempt > ATTEMPTS)
        return `refused, and yet changed ${changed}: ${answer.text.slice(0, 500)}`;
      if (!isRefused(await send(role, request))) return null;
      changed = await this.#changes();
    }
    return null;
  }
}

// Before the random requests, after which nobody knows what is left.
describe('the same thing created several times at once', () => {
  const TIMES = 6;
  const names = [
    ...['create_domain', 'create_user', 'create_group', 'create_user_resource_policy'],
    ...['create_project_resource_policy', 'adminCreateDomainV2', 'adminCreateUserV2'],
  ];
  /** Each kind under a name of its own, since older and newer fields make the same things. */
  const textsFor = (root: string): Readonly<Record<string, string>> => {
    const twin = `twin-${root.toLowerCase().replaceAll('_', '-')}`;
    return {
      ...{ name: twin, email: `${twin}@test.example`, username: twin, domain_name: 'default' },
      ...{ domainName: 'default', password: 'Twin-password-1' },
    };
  };
  const creations = rootFields.filter(
    ({ kind, name }) => kind === 'mutation' && names.includes(name),
  );

  test.each(creations)('$name: one succeeds, the others are told why', async (root) => {
    const query = documentOf(root, (name) => textsFor(root.name)[name]);
    const request = graphqlRequest(root.name, { query });
    const answers = await Promise.all(
      Array.from({ length: TIMES }, () => send('superadmin', request)),
    );
    for (const answer of answers) expect(complaint(answer, true)).toBeNull();
    const done = answers.filter(
      (answer) => !isRefused(answer) && !answer.text.includes('"errors":['),
    );
    expect({ done: done.length, answers }).toEqual({ done: 1, answers });
  });

  test('folders of one name: one is made', async () => {
    const request = {
      ...{ name: 'POST /folders', method: 'POST', target: '/folders' },
      body: JSON.stringify({ name: 'twin' }),
    };
    const answers = await Promise.all(Array.from({ length: TIMES }, () => send('user', request)));
    const statuses = answers.map(({ status }) => status).toSorted();
    expect(statuses).toEqual([201, 400, 400, 400, 400, 400]);
  });
});

test(
  `${REQUESTS} requests`,
  async () => {
    const judge = new Judge();
    await judge.begin();
    const found: string[] = [];
    for (const probe of probes()) {
      const wrong = await judge.judge(probe).catch((error: unknown) => `no answer: ${error}`);
      if (wrong === null) continue;
      const { role, request, seed } = probe;
      found.push(`${role} (seed ${seed}) ${JSON.stringify(request).slice(0, 1500)}\n  ${wrong}`);
    }
    console.log(`requests by status: ${JSON.stringify(judge.statuses)}`);
    expect(found.slice(0, 40).join('\n\n'), `${found.length} problems`).toBe('');
  },
  Math.max(60_000, REQUESTS * 500),
);
