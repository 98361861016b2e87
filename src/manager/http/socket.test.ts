/** WebSockets: who may connect, order, backpressure, limits, endings. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { signedHeaders, type TestServer, testManagerServer } from '../../testing/manager.ts';
import { socketRoute } from './declare.ts';
import type { SocketPeer } from './route.ts';

const MAX_MESSAGE = 16 * 1024 * 1024;
const peers: SocketPeer[] = [];
const ended = Promise.withResolvers<unknown>();

const base = { gate: 'any', auth: 'user', summary: 'For tests.', takes: {} } as const;
const sockets = [
  socketRoute(
    { ...base, path: '/echo/:name', takes: { params: v.object({ name: v.string() }) } },
    async ({ caller }, { params }, peer) => {
      await peer.send(`${caller.role} ${params.name}`);
      for await (const message of peer.messages) await peer.send(message);
    },
  ),
  socketRoute({ ...base, path: '/hold' }, async (_request, _input, peer) => {
    peers.push(peer);
    await new Promise((resolve) => peer.signal.addEventListener('abort', resolve));
    ended.resolve(await peer.send('too late').catch((error: unknown) => error));
  }),
  socketRoute({ ...base, path: '/flood' }, async (_request, _input, peer) => {
    const chunk = new Uint8Array(1024 * 1024);
    for (let i = 0; i < 64; i += 1) await peer.send(chunk);
  }),
  socketRoute({ ...base, path: '/fail' }, async () => {
    throw new Error('broken');
  }),
  socketRoute({ ...base, path: '/root-only', auth: 'superadmin' }, async () => {}),
];

let server: TestServer;
beforeAll(async () => {
  server = await testManagerServer({ sockets });
});
afterAll(() => server.close());

function open(path: string, headers?: Record<string, string>): WebSocket {
  const host = new URL(server.url).host;
  const signed = signedHeaders(server.accounts.user, { target: path, host });
  // Bun's WebSocket takes headers, which the DOM's declaration does not know.
  const socket: WebSocket = Reflect.construct(WebSocket, [
    `ws://${host}${path}`,
    { headers: headers ?? signed },
  ]);
  socket.binaryType = 'arraybuffer';
  return socket;
}

/** Collects `count` messages. */
function receive(socket: WebSocket, count: number): Promise<(string | ArrayBuffer)[]> {
  return new Promise((resolve, reject) => {
    const messages: (string | ArrayBuffer)[] = [];
    socket.addEventListener('message', ({ data }) => {
      messages.push(data);
      if (messages.length === count) resolve(messages);
    });
    socket.addEventListener('close', ({ code }) => reject(new Error(`closed with ${code}`)));
  });
}

const closeCode = (socket: WebSocket): Promise<number> =>
  new Promise((resolve) => {
    socket.addEventListener('close', ({ code }) => resolve(code));
  });

describe('WebSockets', () => {
  test('carry text and bytes in order for the caller who signed the upgrade', async () => {
    const socket = open('/echo/a%20b?x=1');
    socket.addEventListener('open', () => {
      socket.send('one');
      socket.send(new Uint8Array([1, 2, 3]));
      socket.send('');
      socket.send('three');
    });
    const messages = await receive(socket, 5);
    expect(messages[0]).toBe('user a b');
    expect(messages[1]).toBe('one');
    expect(messages[2]).toEqual(new Uint8Array([1, 2, 3]).buffer);
    expect(messages.slice(3)).toEqual(['', 'three']);
    socket.close();
  });

  test('carry messages of 16 MiB', async () => {
    const socket = open('/echo/big');
    const big = new Uint8Array(MAX_MESSAGE).fill(7);
    socket.addEventListener('open', () => socket.send(big));
    const [, echoed] = await receive(socket, 2);
    if (!(echoed instanceof ArrayBuffer)) throw new Error('expected bytes');
    expect(echoed.byteLength).toBe(MAX_MESSAGE);
    socket.close();
  });

  test('a larger message ends the connection', async () => {
    const socket = open('/echo/huge');
    socket.addEventListener('open', () => socket.send(new Uint8Array(MAX_MESSAGE + 1)));
    expect([1006, 1009]).toContain(await closeCode(socket));
  });

  test('sends wait for room, and everything arrives', async () => {
    const socket = open('/flood');
    const messages = await receive(socket, 64);
    const bytes = messages.reduce(
      (sum, m) => sum + (m instanceof ArrayBuffer ? m.byteLength : 0),
      0,
    );
    expect(bytes).toBe(64 * 1024 * 1024);
    expect(await closeCode(socket)).toBe(1000);
  });

  test('a disconnect aborts the handler, and its sends fail', async () => {
    const socket = open('/hold');
    await new Promise((resolve) => socket.addEventListener('open', resolve));
    socket.close();
    const error = await ended.promise;
    expect(error).toBeInstanceOf(Error);
  });

  test('a failing handler closes with 1011', async () => {
    expect(await closeCode(open('/fail'))).toBe(1011);
  });

  test('without upgrade headers the operation answers 400', async () => {
    const host = new URL(server.url).host;
    const headers = signedHeaders(server.accounts.user, { target: '/hold', host });
    expect((await fetch(`${server.url}/hold`, { headers })).status).toBe(400);
  });

  const upgrade = {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  };
  test('an anonymous upgrade is 401, one of the wrong role 403', async () => {
    const anonymous = await fetch(`${server.url}/hold`, { headers: upgrade });
    expect(anonymous.status).toBe(401);
    const host = new URL(server.url).host;
    const signed = signedHeaders(server.accounts.user, { target: '/root-only', host });
    const refused = await fetch(`${server.url}/root-only`, { headers: { ...upgrade, ...signed } });
    expect(refused.status).toBe(403);
    const socket = open('/hold', {});
    expect(await closeCode(socket)).not.toBe(1000);
  });
});
