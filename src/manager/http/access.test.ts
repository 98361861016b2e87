/** Who may call what: every declared operation against the table below, for every role. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import {
  signedHeaders,
  type TestManagerContext,
  testManagerContext,
} from '../../testing/manager.ts';
import { createGraphqlEngine } from '../graphql/engine.ts';
import { findActiveKeypair } from '../keypair/service.ts';
import { featureRoutes, featureSockets, graphqlModules } from '../main.ts';
import { describedRoutes, systemRoutes } from '../server.ts';
import { mountRoutes } from './mount.ts';
import { Pipeline } from './pipeline.ts';
import type { Route } from './route.ts';
import { StatusGate } from './status-gate.ts';

type Auth = Route['auth'];
type Gate = Route['gate'];

/** Operation → who may call it, and in which status of the cluster. Upstream's rules. */
const table: Readonly<Record<string, readonly [Auth, Gate]>> = {
  'GET /': ['none', 'any'],
  'GET /health': ['none', 'any'],
  'GET /health/livez': ['none', 'any'],
  'GET /health/readyz': ['none', 'any'],
  'GET /auth': ['user', 'any'],
  'POST /auth': ['user', 'any'],
  'GET /auth/test': ['user', 'any'],
  'POST /auth/test': ['user', 'any'],
  'GET /manager/status': ['none', 'any'],
  'GET /manager/announcement': ['none', 'any'],
  'POST /manager/announcement': ['superadmin', 'any'],
  'GET /config/resource-slots': ['user', 'any'],
  'GET /events/background-task': ['user', 'read'],
  'POST /config/get': ['superadmin', 'any'],
  'POST /config/set': ['superadmin', 'any'],
  'POST /config/delete': ['superadmin', 'any'],
  'PUT /manager/status': ['superadmin', 'any'],
  'GET /admin/rbac/roles/:role_id': ['superadmin', 'any'],
  'POST /admin/rbac/roles/search': ['superadmin', 'any'],
  'POST /admin/rbac/roles/:role_id/assigned-users/search': ['superadmin', 'any'],
  'GET /admin/rbac/scope-types': ['superadmin', 'any'],
  'GET /admin/rbac/entity-types': ['superadmin', 'any'],
  'POST /admin/rbac/scopes/:scope_type/search': ['superadmin', 'any'],
  'POST /admin/rbac/scopes/:scope_type/:scope_id/entities/:entity_type/search': [
    'superadmin',
    'any',
  ],
  'POST /admin/rbac/roles': ['superadmin', 'all'],
  'PATCH /admin/rbac/roles/:role_id': ['superadmin', 'all'],
  'POST /admin/rbac/roles/delete': ['superadmin', 'all'],
  'POST /admin/rbac/roles/purge': ['superadmin', 'all'],
  'POST /admin/rbac/roles/assign': ['superadmin', 'all'],
  'POST /admin/rbac/roles/revoke': ['superadmin', 'all'],
  'GET /config/resource-slots/details': ['user', 'any'],
  'GET /config/vfolder-types': ['user', 'any'],
  'GET /config/docker-registries': ['superadmin', 'any'],
  'GET /resource/container-registries': ['superadmin', 'any'],
  'POST /manager/scheduler/operation': ['superadmin', 'any'],
  'POST /manager/scheduler/trigger': ['superadmin', 'any'],
  'GET /manager/scheduler/status': ['superadmin', 'any'],
  'GET /scaling-groups/:scaling_group/wsproxy-version': ['user', 'read'],
  'GET /acl': ['user', 'all'],
  'GET /spec/openapi': ['user', 'any'],
  'GET /spec/openapi/spec.json': ['user', 'any'],
  'POST /auth/authorize': ['none', 'any'],
  'POST /auth/logout': ['none', 'any'],
  'POST /auth/update-password-no-auth': ['none', 'any'],
  'POST /auth/signup': ['none', 'any'],
  'POST /auth/signout': ['user', 'any'],
  'GET /auth/my-ip': ['user', 'any'],
  'GET /auth/role': ['user', 'any'],
  'POST /auth/update-password': ['user', 'any'],
  'POST /auth/update-full-name': ['user', 'any'],
  'GET /auth/ssh-keypair': ['user', 'any'],
  'PATCH /auth/ssh-keypair': ['user', 'any'],
  'POST /auth/ssh-keypair': ['user', 'any'],
  'GET /totp': ['none', 'any'],
  'POST /totp': ['user', 'any'],
  'DELETE /totp': ['user', 'any'],
  'POST /totp/verify': ['user', 'any'],
  'POST /totp/anon': ['none', 'any'],
  'POST /totp/anon/verify': ['none', 'any'],
  'POST /openid/login': ['none', 'any'],
  'GET /openid/redirect': ['none', 'any'],
  'GET /user-config/dotfiles': ['user', 'read'],
  'POST /user-config/dotfiles': ['user', 'read'],
  'PATCH /user-config/dotfiles': ['user', 'read'],
  'DELETE /user-config/dotfiles': ['user', 'read'],
  'GET /group-config/dotfiles': ['user', 'read'],
  'POST /group-config/dotfiles': ['admin', 'read'],
  'PATCH /group-config/dotfiles': ['admin', 'read'],
  'DELETE /group-config/dotfiles': ['admin', 'read'],
  'GET /domain-config/dotfiles': ['user', 'read'],
  'POST /domain-config/dotfiles': ['admin', 'read'],
  'PATCH /domain-config/dotfiles': ['admin', 'read'],
  'DELETE /domain-config/dotfiles': ['admin', 'read'],
  'GET /user-config/bootstrap-script': ['user', 'read'],
  'POST /user-config/bootstrap-script': ['user', 'read'],
  'GET /export/reports': ['superadmin', 'any'],
  'GET /export/reports/:report_key': ['superadmin', 'any'],
  'POST /export/sessions/csv': ['superadmin', 'any'],
  'POST /export/users/csv': ['superadmin', 'any'],
  'POST /export/projects/csv': ['superadmin', 'any'],
  'POST /export/keypairs/csv': ['superadmin', 'any'],
  'POST /export/audit-logs/csv': ['superadmin', 'any'],
  'GET /folders': ['user', 'read'],
  'GET /folders/_/id': ['user', 'read'],
  'GET /folders/:name': ['user', 'read'],
  'POST /folders': ['user', 'all'],
  'POST /folders/:name/rename': ['user', 'all'],
  'POST /folders/:name/update-options': ['user', 'all'],
  'POST /folders/_/change-ownership': ['superadmin', 'all'],
  'GET /folders/_/hosts': ['user', 'read'],
  'GET /folders/_/all-hosts': ['superadmin', 'read'],
  'GET /folders/_/all_hosts': ['superadmin', 'read'],
  'GET /folders/_/allowed-types': ['user', 'read'],
  'GET /folders/_/allowed_types': ['user', 'read'],
  'GET /folders/_/perf-metric': ['superadmin', 'read'],
  'GET /folders/:name/files': ['user', 'read'],
  'POST /folders/:name/mkdir': ['user', 'all'],
  'POST /folders/:name/request-upload': ['user', 'all'],
  'POST /folders/:name/request-download': ['user', 'read'],
  'POST /folders/:name/request-download-archive': ['user', 'read'],
  'POST /folders/:name/rename-file': ['user', 'all'],
  'POST /folders/:name/rename_file': ['user', 'all'],
  'POST /folders/:name/delete-files': ['user', 'all'],
  'DELETE /folders/:name/delete-files': ['user', 'all'],
  'DELETE /folders/:name/delete_files': ['user', 'all'],
  'POST /folders/:name/delete-files-async': ['user', 'all'],
  'POST /folders/:name/move-file': ['user', 'all'],
  'DELETE /folders': ['user', 'all'],
  'POST /folders/restore-from-trash-bin': ['user', 'all'],
  'POST /folders/delete-from-trash-bin': ['user', 'all'],
  'POST /folders/purge': ['user', 'all'],
  'DELETE /folders/:name': ['user', 'all'],
  'DELETE /folders/:folder_id/force': ['user', 'all'],
  'POST /folders/:name/clone': ['user', 'all'],
  'GET /folders/invitations/list': ['user', 'read'],
  'GET /folders/invitations/list-sent': ['user', 'read'],
  'GET /folders/invitations/list_sent': ['user', 'read'],
  'POST /folders/invitations/delete': ['user', 'all'],
  'DELETE /folders/invitations/delete': ['user', 'all'],
  'POST /folders/invitations/accept': ['user', 'all'],
  'POST /folders/invitations/update/:inv_id': ['user', 'all'],
  'GET /folders/_/shared': ['user', 'read'],
  'POST /folders/_/shared': ['user', 'all'],
  'POST /folders/_/sharing': ['user', 'all'],
  'POST /folders/:name/share': ['admin', 'all'],
  'POST /folders/:name/unshare': ['admin', 'all'],
  'DELETE /folders/:name/unshare': ['admin', 'all'],
  'POST /folders/:name/invite': ['user', 'all'],
  'POST /folders/:name/leave': ['user', 'all'],
  'GET /folders/_/quota': ['user', 'read'],
  'GET /folders/_/usage': ['superadmin', 'read'],
  'GET /folders/_/used-bytes': ['superadmin', 'read'],
  'POST /folders/_/quota': ['user', 'all'],
  'GET /logs/error': ['user', 'read'],
  'POST /logs/error': ['user', 'read'],
  'POST /logs/error/:log_id/clear': ['user', 'read'],
  'GET /resource/presets': ['user', 'any'],
  'POST /resource/check-presets': ['user', 'any'],
  'GET /resource/stats/user/month': ['user', 'any'],
  'GET /resource/stats/admin/month': ['superadmin', 'any'],
  'GET /resource/usage/month': ['superadmin', 'any'],
  'GET /resource/usage/period': ['superadmin', 'any'],
  'POST /resource/recalculate-usage': ['superadmin', 'any'],
  'GET /scaling-groups': ['user', 'read'],
  'POST /session': ['user', 'all'],
  'POST /session/_/create': ['user', 'all'],
  'GET /session/_/match': ['user', 'read'],
  'GET /session/:session_name': ['user', 'read'],
  'DELETE /session/:session_name': ['user', 'read'],
  'PATCH /session/:session_name': ['user', 'read'],
  'POST /session/:session_name': ['user', 'read'],
  'POST /session/:session_name/rename': ['user', 'all'],
  'GET /session/:session_name/status-history': ['user', 'read'],
  'GET /session/:session_name/dependency-graph': ['user', 'read'],
  'GET /session/:session_name/direct-access-info': ['user', 'read'],
  'POST /session/:session_name/complete': ['user', 'read'],
  'POST /session/:session_name/interrupt': ['user', 'read'],
  'GET /session/:session_name/logs': ['user', 'read'],
  'GET /session/:session_name/files': ['user', 'read'],
  'POST /session/:session_name/upload': ['user', 'read'],
  'POST /session/:session_name/download': ['user', 'read'],
  'POST /session/:session_name/download_single': ['user', 'read'],
  'GET /session/:session_name/download': ['user', 'read'],
  'GET /session/:session_name/download_single': ['user', 'read'],
  'GET /stream/session/:session_name/apps': ['user', 'read'],
  'GET /stream/session/:session_name/execute': ['user', 'read'],
  'GET /events/session': ['user', 'read'],
  'GET /admin/gql': ['user', 'any'],
  'POST /admin/gql': ['user', 'any'],
  'GET /admin/gql/strawberry': ['user', 'any'],
  'POST /admin/gql/strawberry': ['user', 'any'],
  'POST /admin/graphql': ['user', 'any'],
};

const nameOf = ({ method, path }: { method: string; path: string }) => `${method} ${path}`;

/** The same demands, with a handler that only tells it was reached. */
const harmless = (route: Route): Route => ({
  ...route,
  handler: async () => ({ json: 'reached' }),
});

let server: TestManagerContext;
let declared: Route[] = [];
beforeAll(async () => {
  server = await testManagerContext();
  const { ctx } = server;
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
});
afterAll(() => server.close());

test('the table names exactly the declared operations, each with its demands', () => {
  const actual = Object.fromEntries(
    declared.map((route) => [nameOf(route), [route.auth, route.gate]]),
  );
  expect(Object.keys(actual)).toHaveLength(declared.length);
  expect(actual).toEqual(Object.fromEntries(Object.entries(table).map(([k, v]) => [k, [...v]])));
});

const callers = ['anonymous', 'user', 'admin', 'superadmin'] as const;
const needed: Readonly<Record<Auth, number>> = { none: 0, user: 1, admin: 2, superadmin: 3 };

test('each role reaches what the table says and nothing else', async () => {
  const statusGate = await StatusGate.open(server.ctx.config);
  const serve = mountRoutes({
    pipeline: new Pipeline({
      ctx: server.ctx,
      statusGate,
      findKeypair: (key) => findActiveKeypair(server.ctx.sql, key),
      onAuthenticated: () => {},
    }),
    routes: declared.map(harmless),
    sockets: [],
    maxWebSocketMessageBytes: 1024,
    onSocketError: () => {},
  });
  const noSockets = {
    requestIP: () => ({ address: '127.0.0.1' }),
    upgrade: () => false,
    timeout: () => {},
  };
  for (const [operation, [auth]] of Object.entries(table)) {
    const [method = '', path = ''] = operation.split(' ');
    const target = path.replaceAll(/:\w+/g, 'thing');
    for (const [rank, caller] of callers.entries()) {
      const headers =
        caller === 'anonymous'
          ? {}
          : signedHeaders(server.accounts[caller], { method, target, host: 'm:1' });
      const request = new Request(`http://m:1${target}`, {
        method,
        headers: { ...headers, host: 'm:1' },
      });
      const status = (await serve(request, noSockets))?.status;
      const expected = rank >= needed[auth] ? 200 : caller === 'anonymous' ? 401 : 403;
      expect([operation, caller, status]).toEqual([operation, caller, expected]);
    }
  }
  await statusGate.close();
});
