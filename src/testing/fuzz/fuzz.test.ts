/**
 * Random and hostile requests to everything the API has, as everybody: none may break the manager,
 * hang, show a trace, or change a row when it is refused.
 * BACKEND_FUZZ_REQUESTS says how many (default 400), BACKEND_FUZZ_SEED repeats a run.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import fc from 'fast-check';
import * as v from 'valibot';
import type { Logger } from '../../common/logger.ts';
import { problems } from '../../common/problems.ts';
import { databaseState } from '../database-state.ts';
import { type TestFolders, testFolders } from '../folders.ts';
import { signedHeaders, silentLog } from '../manager.ts';
import { insertTenantRows, owners, type TenantRows } from '../tenant-rows.ts';
import { type FuzzRequest, fuzzTargets } from './requests.ts';
import { textsNaming } from './values.ts';

const REQUESTS = Number(process.env.BACKEND_FUZZ_REQUESTS ?? 400);
const SEED = Number(process.env.BACKEND_FUZZ_SEED ?? 20_250_722);
/** An answer that takes longer counts as none. Milliseconds. */
const HANG_MS = 20_000;

/** Superadmins come last: they may delete the others. */
const roles = ['anonymous', 'user', 'otherUser', 'monitor', 'admin', 'superadmin'] as const;
type Role = (typeof roles)[number];

/** Answers of 5xx that upstream documents for what is wrong with a request, or with an agent. */
const DOCUMENTED = ['not-implemented', 'invalid-session-data', 'agent-connection-unavailable'];
const failures = new Map(
  Object.values(problems)
    .filter(({ status, slug }) => status >= 500 && !DOCUMENTED.includes(slug))
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

test(
  `${REQUESTS} requests`,
  async () => {
    const texts = textsOf();
    const state = () => databaseState(tenants.db.sql, { except: RECORDS });
    const written = async () => {
      const [row] = await tenants.db.sql`
        SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS transactions`;
      return String(row?.transactions);
    };
    const problemsFound: string[] = [];
    const statuses: Record<string, number> = {};
    const perRole = Math.ceil(REQUESTS / roles.length);
    let before = await state();
    let writtenBefore = await written();
    for (const [rank, role] of roles.entries()) {
      for (let index = 0; index < perRole; index += 1) {
        // Neighbouring runs reach other targets.
        const target = fuzzTargets[(index * roles.length + rank + SEED) % fuzzTargets.length];
        if (target === undefined) throw new Error('there is nothing to ask');
        const seed = SEED + index * roles.length + rank;
        const [request] = fc.sample(target.requests(texts), { numRuns: 1, seed });
        if (request === undefined) throw new Error('there is no request');
        const about = `${role} ${target.name} (BACKEND_FUZZ_SEED=${SEED}, ${index}): ${JSON.stringify(request).slice(0, 1500)}`;
        try {
          const answer = await send(role, request);
          statuses[answer.status] = (statuses[answer.status] ?? 0) + 1;
          const wrong = complaint(answer, request.target === '/admin/gql');
          if (wrong !== null)
            problemsFound.push(`${wrong}\n  ${about}\n  ${answer.text.slice(0, 500)}`);
          // Without a transaction that writes there is nothing to compare.
          if ((await written()) === writtenBefore) continue;
          const after = await state();
          if (isRefused(answer) && !Bun.deepEquals(before, after)) {
            // What goes on in the background changes rows too, but not a second time.
            const again = await send(role, request);
            const last = await state();
            const tables = Object.keys(last).filter((name) => last[name] !== after[name]);
            if (isRefused(again) && tables.length > 0) {
              problemsFound.push(
                `refused, and yet changed ${tables}\n  ${about}\n  ${again.text.slice(0, 300)}`,
              );
            }
            before = last;
          } else before = after;
          writtenBefore = await written();
        } catch (error) {
          problemsFound.push(`no answer: ${error}\n  ${about}`);
        }
      }
    }
    console.log(`requests by status: ${JSON.stringify(statuses)}`);
    expect(problemsFound.slice(0, 40).join('\n\n'), `${problemsFound.length} problems`).toBe('');
  },
  Math.max(60_000, REQUESTS * 500),
);
