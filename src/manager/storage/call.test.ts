/** Calls to storage proxies that answer late, wrongly, too much or not at all. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import http from 'node:http';
import * as v from 'valibot';
import { systemClock } from '../../common/clock.ts';
import { callProxy } from './call.ts';
import type { StorageProxy } from './settings.ts';

const seen: { method: string; token: string; body: string }[] = [];
const sockets = new Set<{ destroy(): void }>();
let drops = 0;
const server = http.createServer((request, response) => {
  let body = '';
  request.on('data', (chunk) => {
    body += chunk;
  });
  request.on('end', () => {
    const token = String(request.headers['x-backendai-storage-auth-token']);
    seen.push({ method: request.method ?? '', token, body });
    const reply = (status: number, text: string) => response.writeHead(status).end(text);
    switch (request.url) {
      case '/drop':
        drops += 1;
        return drops % 3 === 0 ? reply(200, '{}') : request.socket.destroy();
      case '/hang':
        return undefined;
      case '/html':
        return reply(200, '<html>');
      case '/forbidden':
        return reply(403, '{}');
      case '/missing':
        return reply(404, '{"title":"gone","error_code":"vfolder_read_not-found"}');
      case '/no-scope':
        return reply(404, '{"error_code":"quota-scope_read_not-found"}');
      case '/full':
        return reply(507, '{"msg":"the disk is full"}');
      default:
        return reply(200, '{"ok":true}');
    }
  });
});

let proxy: StorageProxy;
beforeAll(async () => {
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = v.parse(v.object({ port: v.number() }), server.address());
  proxy = {
    name: 'local',
    clientApi: '',
    managerApi: `http://127.0.0.1:${port}`,
    secret: 'known',
    sslVerify: true,
    sftpScalingGroups: [],
    totalTimeoutMs: 10_000,
    connectTimeoutMs: 10_000,
  };
});
afterAll(() => {
  for (const socket of sockets) socket.destroy();
  server.close();
});

const call = (path: string, method: 'GET' | 'POST' = 'GET', changes: Partial<StorageProxy> = {}) =>
  callProxy(systemClock, { ...proxy, ...changes }, method, path, { volume: 'v' });
const problem = async (answer: Promise<unknown>) => {
  const error = await answer.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  return v.parse(v.object({ problem: v.string(), message: v.string() }), error);
};

test('parameters go into the body, also of a GET', async () => {
  expect(await call('/ok')).toEqual({ status: 200, json: { ok: true } });
  expect(seen.at(-1)).toEqual({ method: 'GET', token: 'known', body: '{"volume":"v"}' });
});

test('a lost connection is tried again for what only reads', async () => {
  expect((await call('/drop')).status).toBe(200);
  expect((await problem(call('/drop', 'POST'))).problem).toBe('StorageProxyConnectionError');
});

test('a proxy that is away or slow has its own problem', async () => {
  const away = { managerApi: 'http://127.0.0.1:9' };
  expect((await problem(call('/ok', 'POST', away))).problem).toBe('StorageProxyConnectionError');
  const slow = await problem(call('/hang', 'GET', { totalTimeoutMs: 50 }));
  expect(slow).toMatchObject({ problem: 'StorageProxyTimeout' });
});

test('answers that make no sense, and refusals, are told apart', async () => {
  const told = async (path: string) => (await problem(call(path))).problem;
  expect(await told('/html')).toBe('UnexpectedStorageProxyResponse');
  expect(await told('/forbidden')).toBe('UnexpectedStorageProxyResponse');
  expect(await told('/missing')).toBe('VFolderNotFound');
  expect(await told('/no-scope')).toBe('QuotaScopeNotFound');
  expect(await problem(call('/full'))).toEqual({
    problem: 'VFolderOperationFailed',
    message: 'the disk is full',
  });
});
