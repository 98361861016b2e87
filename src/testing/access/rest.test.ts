/**
 * Every REST operation for every role: who reaches it, and that naming what is somebody else's gives
 * none of it and changes nothing.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { noTracer } from '../../common/tracing.ts';
import { createGraphqlEngine } from '../../manager/graphql/engine.ts';
import { mountRoutes } from '../../manager/http/mount.ts';
import { Pipeline } from '../../manager/http/pipeline.ts';
import type { Route } from '../../manager/http/route.ts';
import { StatusGate } from '../../manager/http/status-gate.ts';
import { findActiveKeypair } from '../../manager/keypair/service.ts';
import { featureRoutes, featureSockets, graphqlModules } from '../../manager/main.ts';
import { describedRoutes, systemRoutes } from '../../manager/server.ts';
import { databaseState } from '../database-state.ts';
import { type TestFolders, testFolders } from '../folders.ts';
import { signedHeaders } from '../manager.ts';
import {
  type RestOperation,
  type RestRequest,
  requestOf,
  restOperations,
} from '../rest-requests.ts';
import {
  insertTenantRows,
  isOfOtherTenant,
  marksIn,
  type Owner,
  owners,
  rowNamed,
  type TenantRows,
} from '../tenant-rows.ts';
import { restAccess } from './rest-table.ts';

const TASK_TEMPLATE = `[{ template: { api_version: 6, kind: task_template, metadata: { name: some },
  spec: { kernel: { image: nothing } } } }]`;
const CLUSTER_TEMPLATE = `{ api_version: 6, kind: cluster_template, mode: single-node,
  metadata: { name: some }, spec: { nodes: [{ role: main,
  session_template: 00000000-0000-4000-8000-000000000000 }] } }`;

const TABLE = 'src/testing/access/rest-table.ts';

const nameOf = ({ method, path }: { method: string; path: string }) => `${method} ${path}`;

/** The same demands, with a handler that only tells it was reached. */
const harmless = (route: Route): Route => ({
  ...route,
  handler: async () => ({ json: 'reached' }),
});

/** A manager, a storage proxy and rows of all kinds. */
const START_TIMEOUT_MS = 60_000;

let tenants: TestFolders;
let rows: TenantRows;
let declared: Route[] = [];
beforeAll(async () => {
  tenants = await testFolders();
  rows = await insertTenantRows(tenants);
  const { ctx } = tenants;
  const engine = await createGraphqlEngine(ctx, graphqlModules);
  await engine.close();
  const facts = { serviceAddress: () => '', status: () => '', sslEnabled: false };
  const sockets = featureSockets(ctx, engine);
  const routes = [...systemRoutes(ctx, facts), ...featureRoutes(ctx, engine)];
  declared = [
    ...describedRoutes(ctx, routes, sockets),
    ...sockets.map(
      (socket): Route => ({ ...socket, method: 'GET', handler: async () => undefined }),
    ),
  ];
}, START_TIMEOUT_MS);
afterAll(() => tenants.close());

test('the table names exactly the declared operations, each with its demands', () => {
  const actual = Object.fromEntries(
    declared.map((route) => [nameOf(route), [route.auth, route.gate]]),
  );
  expect(Object.keys(actual)).toHaveLength(declared.length);
  const listed = Object.entries(restAccess).map(([name, [auth, gate]]) => [name, [auth, gate]]);
  expect(actual, `add or correct the operation in restAccess of ${TABLE}`).toEqual(
    Object.fromEntries(listed),
  );
});

const ranks = { none: 0, user: 1, admin: 2, superadmin: 3 } as const;
const callers = [
  ['anonymous', 0],
  ['monitor', 1],
  ['user', 1],
  ['otherUser', 1],
  ['admin', 2],
  ['otherAdmin', 2],
  ['superadmin', 3],
] as const;

test('each role reaches what the table says and nothing else', async () => {
  const statusGate = await StatusGate.open(tenants.ctx.config);
  const serve = mountRoutes({
    pipeline: new Pipeline({
      ctx: tenants.ctx,
      statusGate,
      findKeypair: (key) => findActiveKeypair(tenants.ctx.sql, key),
      onAuthenticated: () => {},
      tracer: noTracer,
      onAnswered: () => {},
    }),
    routes: declared.map(harmless),
    sockets: [],
    maxWebSocketMessageBytes: 1024,
    clock: tenants.ctx.clock,
    onSocketError: () => {},
  });
  const noSockets = {
    requestIP: () => ({ address: '127.0.0.1' }),
    upgrade: () => false,
    brake: () => () => {},
    timeout: () => {},
    carrier: (request: Request) => request,
  };
  for (const [operation, [auth]] of Object.entries(restAccess)) {
    const [method = '', path = ''] = operation.split(' ');
    const target = path.replaceAll(/:\w+/g, 'thing');
    for (const [caller, rank] of callers) {
      const headers =
        caller === 'anonymous'
          ? {}
          : signedHeaders(tenants.people[caller], { method, target, host: 'm:1' });
      const request = new Request(`http://m:1${target}`, {
        method,
        headers: { ...headers, host: 'm:1' },
      });
      const status = (await serve(request, noSockets))?.status;
      const expected = rank >= ranks[auth] ? 200 : caller === 'anonymous' ? 401 : 403;
      expect([operation, caller, status]).toEqual([operation, caller, expected]);
    }
  }
  await statusGate.close();
});

/** Parameters of an operation that name rows, as its own request shows. */
function namingParameters(operation: RestOperation): string[] {
  const found = new Set<string>();
  requestOf(operation, (name) => {
    if (rowNamed(rows.user, operation.name, name) !== undefined) found.add(name);
    return undefined;
  });
  return [...found];
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Sends a request as one of the people. The body of a stream, which does not end, is not read. */
async function send(who: Owner | 'superadmin', request: RestRequest): Promise<Answer> {
  const { method, target, body } = request;
  const stopped = new AbortController();
  const response = await fetch(`${tenants.url}${target}`, {
    method,
    body: body === undefined ? undefined : JSON.stringify(body),
    headers: signedHeaders(tenants.people[who], {
      method,
      target,
      host: new URL(tenants.url).host,
      contentType: 'application/json',
    }),
    signal: AbortSignal.any([stopped.signal, AbortSignal.timeout(20_000)]),
  });
  const streams = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
  const text = streams ? '' : await response.text();
  if (streams) stopped.abort();
  return { status: response.status, text };
}

const marksOf = (owner: Owner) => [...rows[owner].marks.person, ...rows[owner].marks.tenant];

const usable = restOperations.filter(
  ({ operation }) => !operation['x-websocket'] && operation['x-role'] !== 'superadmin',
);

describe('parameters that name rows', () => {
  test('are declared as own or shared, and only where there are any', () => {
    const wrong = usable
      .filter((one) => namingParameters(one).length > 0 !== (restAccess[one.name]?.[2] != null))
      .map((one) => ({ operation: one.name, names: namingParameters(one) }));
    expect(
      wrong,
      `say 'own' or 'shared' in restAccess of ${TABLE}; new names of rows go into src/testing/tenant-rows.ts`,
    ).toEqual([]);
  });

  const own = usable.filter(({ name }) => restAccess[name]?.[2] === 'own');
  const callersOf = ({ name }: RestOperation) =>
    restAccess[name]?.[0] === 'admin' ? (['admin'] as const) : (['user', 'admin'] as const);

  /** What operations need besides, to get as far as looking at rows. */
  const needed: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    'POST /session/:session_name': { mode: 'query' },
    'POST /template/session': { payload: TASK_TEMPLATE },
    'PUT /template/session/:template_id': { payload: TASK_TEMPLATE },
    'POST /template/cluster': { payload: CLUSTER_TEMPLATE },
    'PUT /template/cluster/:template_id': { payload: CLUSTER_TEMPLATE },
  };
  /** A request whose required parameters are the caller's own, apart from `more`. */
  function requestNaming(one: RestOperation, who: Owner, more: Readonly<Record<string, string>>) {
    const given = { ...needed[one.name], ...more };
    return requestOf(one, (name, required) =>
      required ? (given[name] ?? rowNamed(rows[who], one.name, name)) : given[name],
    );
  }

  test.each(own)("$name does nothing with others' rows", async (one) => {
    for (const who of callersOf(one)) {
      const before = await databaseState(tenants.db.sql);
      for (const parameter of namingParameters(one)) {
        const mine = rowNamed(rows[who], one.name, parameter);
        for (const owner of owners) {
          if (owner === who || (who === 'admin' && !isOfOtherTenant(owner))) continue;
          const foreign = rowNamed(rows[owner], one.name, parameter) ?? '';
          // What belongs to the tenant they share is no other's.
          if (foreign === mine) continue;
          const request = requestNaming(one, who, { [parameter]: foreign });
          const { status, text } = await send(who, request);
          const strange = marksIn(rows, text.replaceAll(foreign, '')).filter(
            (mark) => !marksOf(who).includes(mark),
          );
          const answered = status < 500 || status === 501;
          expect({ who, parameter, owner, status, text, strange, answered }).toEqual({
            ...{ who, parameter, owner, status, text },
            strange: [],
            answered: true,
          });
        }
      }
      expect(await databaseState(tenants.db.sql)).toEqual(before);
    }
  });

  /**
   * Not compared below: what answers alike to everybody here, for want of an image, a form, a log,
   * shared folders, a role or a folder of the project, or as rows are used up by operations before, or
   * as the caller's own key would be gone. Tests of the features have them.
   */
  const leftOut = [
    ...['POST /session', 'POST /session/_/create', 'PATCH /session/:session_name'],
    ...['POST /session/:session_name/upload', 'POST /auth/signout', 'GET /folders/_/shared'],
    ...['GET /session/_/logs', 'HEAD /session/_/logs'],
    ...['GET /template/session', 'GET /template/cluster'],
    ...['POST /folders/invitations/update/:inv_id', 'POST /folders/invitations/delete'],
    ...['DELETE /folders/invitations/delete', 'POST /folders/purge'],
    ...[
      'POST /v2/users/domains/:domain_name/search',
      'POST /v2/rbac/roles/projects/:project_id/search',
      'POST /v2/projects/:project_id/users/unassign',
      'POST /v2/role-invitations',
      'POST /v2/role-invitations/roles/:role_id/search',
    ],
    ...['PATCH /v2/keypairs/my', 'POST /v2/keypairs/my/revoke'],
    'POST /v2/vfolders/:vfolder_id/files/delete',
    'POST /v2/export/sessions/projects/:project_id/csv',
    'POST /v2/export/users/domains/:domain_name/csv',
    'POST /v2/sessions/projects/:project_id/search',
    'POST /v2/vfolders/projects/:project_id/search',
  ];
  // Those that end sessions or remove things come last.
  const compared = own
    .filter(({ name }) => !leftOut.includes(name))
    .toSorted((a, b) => Number(a.method === 'DELETE') - Number(b.method === 'DELETE'));
  test.each(compared)('$name answers who owns the rows, and others otherwise', async (one) => {
    const who = restAccess[one.name]?.[0] === 'admin' ? 'admin' : 'user';
    const answersTo = async (owner: Owner) => {
      const named = Object.fromEntries(
        namingParameters(one).map((name) => [name, rowNamed(rows[owner], one.name, name) ?? '']),
      );
      const { status, text } = await send(who, requestNaming(one, who, named));
      const masked = Object.values(named).reduce((all, id) => all.replaceAll(id, '…'), text);
      return `${status} ${masked}`;
    };
    expect(await answersTo('otherUser')).not.toBe(await answersTo(who));
  });
});
