/** Tunnels to apps: bytes both ways, endings, slow sides, who may open one, and being noted as use. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { createServer, type Server, type Socket } from 'node:net';
import type { ServicePlace } from '../../common/protocol/service.ts';
import {
  signedHeaders,
  type TestManagerContext,
  testManagerContext,
} from '../../testing/manager.ts';
import { ScriptedAgent } from '../../testing/scripted-agent.ts';
import { freePort } from '../../testing/services.ts';
import {
  type InsertedSession,
  insertAgent,
  insertProject,
  insertSession,
} from '../../testing/sessions.ts';
import { until } from '../../testing/until.ts';
import type { ManagerContext } from '../context.ts';
import { type ManagerServer, startServer } from '../server.ts';
import { sessionRoutes, sessionSocketRoutes } from './rest.ts';

setDefaultTimeout(60_000);
const MIB = 1024 * 1024;
let manager: TestManagerContext;
let ctx: ManagerContext;
let server: ManagerServer;
let session: InsertedSession;
let app: Server;
/** What is done with each connection to the app. */
let onConnection: (socket: Socket) => void = (socket) => socket.pipe(socket);
const agent = new ScriptedAgent();

const port = (name: string, protocol = 'http') => ({
  ...{ name, protocol, container_ports: [8080], host_ports: [1] },
  is_inference: name === 'model',
});

beforeAll(async () => {
  manager = await testManagerContext();
  ctx = { ...manager.ctx, agents: { client: () => agent.client } };
  const projectId = await insertProject(ctx.sql);
  await insertAgent(ctx.sql, 'i-one');
  session = await insertSession(ctx.sql, {
    name: 'work',
    owner: manager.accounts.user,
    projectId,
    agentId: 'i-one',
  });
  const ports = [
    { ...port('echo', 'tcp'), allowed_arguments: ['--color'] },
    port('down'),
    port('failing'),
    port('model'),
  ];
  await ctx.sql`UPDATE kernels SET service_ports = ${ctx.sql.json(ports)} WHERE id = ${session.kernelId}`;
  app = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    onConnection(socket);
  });
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  const address = app.address();
  if (address === null || typeof address === 'string') throw new Error('no address');
  const place: Omit<ServicePlace, 'hostPorts'> = {
    ...{ status: 'started', protocol: 'tcp', host: '127.0.0.1' },
    containerPorts: [8080],
  };
  agent.services.set('echo', { ...place, hostPorts: [address.port] });
  agent.services.set('down', { ...place, hostPorts: [await freePort()] });
  server = await startServer(ctx, {
    listen: { hostname: '127.0.0.1', port: 0 },
    routes: sessionRoutes(ctx),
    sockets: sessionSocketRoutes(ctx),
  });
});
afterAll(async () => {
  app.close();
  await server.stop(0);
  await manager.close();
});

function open(query: string, account = manager.accounts.user, name = 'work') {
  const target = `/stream/session/${name}/tcpproxy?${query}`;
  const { host } = new URL(server.url);
  // Bun's WebSocket takes headers and has methods that the DOM's declaration does not know.
  const socket: Bun.WebSocket = Reflect.construct(WebSocket, [
    `${server.url.replace('http', 'ws')}${target}`,
    { headers: signedHeaders(account, { target, host }) },
  ]);
  socket.binaryType = 'arraybuffer';
  const state = {
    bytes: 0,
    text: '',
    close: null as { code: number; reason: string } | null,
    pongs: 0,
  };
  socket.onmessage = ({ data }) => {
    const chunk = Buffer.from(data);
    state.bytes += chunk.length;
    state.text = (state.text + chunk.toString('latin1')).slice(-1000);
  };
  socket.onclose = ({ code, reason }) => {
    state.close = { code, reason };
  };
  socket.addEventListener('pong', () => {
    state.pongs += 1;
  });
  return {
    socket,
    state,
    opened: () => until(() => socket.readyState === WebSocket.OPEN, 'the socket is open'),
    closed: () => until(() => state.close, 'the socket is closed'),
  };
}

const connections = () =>
  ctx.live.sortedRange(
    `session.${session.sessionId}.active_app_connections`,
    0,
    Number.MAX_SAFE_INTEGER,
  );

describe('tunnels', () => {
  test('bytes both ways, pings answered, noted as use while it is open', async () => {
    onConnection = (socket) => socket.pipe(socket);
    const tunnel = open('app=echo');
    await tunnel.opened();
    const sent = crypto.getRandomValues(new Uint8Array(65_536));
    for (let i = 0; i < 64; i += 1) tunnel.socket.send(sent);
    tunnel.socket.send(Buffer.from('the end'));
    await until(() => tunnel.state.text.endsWith('the end'), 'all came back');
    expect(tunnel.state.bytes).toBe(4 * MIB + 7);
    tunnel.socket.ping();
    await until(() => tunnel.state.pongs === 1, 'the ping is answered');
    await until(async () => (await connections()).length === 1, 'it is noted');
    tunnel.socket.close();
    await until(async () => (await connections()).length === 0, 'it is forgotten');
  });

  test('the app closes: 1001, after all it sent', async () => {
    onConnection = (socket) => socket.end('goodbye');
    const tunnel = open('app=echo');
    expect(await tunnel.closed()).toMatchObject({ code: 1001 });
    expect(tunnel.state.text).toBe('goodbye');
  });

  test('the client leaves: the app sees the end', async () => {
    const ended = Promise.withResolvers<void>();
    onConnection = (socket) => {
      socket.resume();
      socket.once('close', () => ended.resolve());
      socket.once('end', () => socket.end());
    };
    const tunnel = open('app=echo');
    await tunnel.opened();
    tunnel.socket.send(Buffer.from('x'));
    tunnel.socket.close();
    await ended.promise;
  });

  test('a client that does not read holds the app back', async () => {
    let sent = 0;
    onConnection = (socket) => {
      const chunk = Buffer.alloc(65_536);
      const more = () => {
        while (sent < 512 * MIB && socket.write(chunk)) sent += chunk.length;
        sent += chunk.length;
      };
      socket.on('drain', more);
      more();
    };
    const { host, port: managerPort } = new URL(server.url);
    const target = '/stream/session/work/tcpproxy?app=echo';
    const headers = signedHeaders(manager.accounts.user, { target, host });
    const lines = [
      `GET ${target} HTTP/1.1`,
      `Host: ${host}`,
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      ...Object.entries(headers)
        .filter(([name]) => name.toLowerCase() !== 'host')
        .map(([name, value]) => `${name}: ${value}`),
    ];
    const { connect } = await import('node:net');
    const raw = connect(Number(managerPort), '127.0.0.1');
    raw.write(`${lines.join('\r\n')}\r\n\r\n`);
    await new Promise((resolve) => raw.once('data', resolve));
    raw.pause();
    // It stops when what lies between is full: the same number, seen again and again.
    let before = -1;
    let stillness = 0;
    await until(() => {
      stillness = sent === before ? stillness + 1 : 0;
      before = sent;
      return stillness > 40;
    }, 'the app is held back');
    expect(sent).toBeLessThan(128 * MIB);
    raw.destroy();
  });
});

describe('uploads', () => {
  test('an app that does not read holds the client back, and gets everything in the end', async () => {
    const asleep = Promise.withResolvers<Socket>();
    onConnection = (socket) => {
      socket.pause();
      asleep.resolve(socket);
    };
    const tunnel = open('app=echo');
    await tunnel.opened();
    const piece = new Uint8Array(MIB);
    const total = 96 * MIB;
    for (let sent = 0; sent < total; sent += MIB) tunnel.socket.send(piece);
    let [before, stillness] = [-1, 0];
    await until(() => {
      const waiting = tunnel.socket.bufferedAmount;
      stillness = waiting === before ? stillness + 1 : 0;
      before = waiting;
      return stillness > 40;
    }, 'the client is held back');
    expect(tunnel.state.close).toBeNull();
    // What is on the way is bounded; the rest is still the client's.
    expect(before).toBeGreaterThan(total - 48 * MIB);
    let got = 0;
    const socket = await asleep.promise;
    socket.on('data', (chunk) => {
      got += chunk.length;
    });
    socket.resume();
    await until(() => got === total, 'all has arrived', 60_000);
    expect(tunnel.state.close).toBeNull();
    tunnel.socket.close();
  });
});

describe('what can’t be opened is told by the close', () => {
  test.each([
    ['an app that takes no connections', 'app=down', 1013, 'takes no connections'],
    ['an app that does not start', 'app=failing', 1011, 'no app failing'],
    ['an unknown app', 'app=nosuch', 1011, "no app called 'nosuch'; there are: echo"],
    ['an inference app', 'app=model', 1011, 'inference'],
    ['a port that the app has not', 'app=echo&port=9999', 1011, 'does not open port 9999'],
  ])('%s', async (_what, query, code, reason) => {
    const { close } = await (async () => {
      const tunnel = open(query);
      await tunnel.closed();
      return tunnel.state;
    })();
    expect(close?.code).toBe(code);
    expect(close?.reason).toContain(reason);
  });

  test.each([
    ['no app', ''],
    ['arguments that are no JSON', 'app=echo&arguments=x'],
    ['a port that is none', 'app=echo&port=80'],
  ])('%s is refused before', async (_what, query) => {
    const target = `/stream/session/work/tcpproxy?${query}`;
    const { host } = new URL(server.url);
    const headers = signedHeaders(manager.accounts.user, { target, host });
    expect((await fetch(`${server.url}${target}`, { headers })).status).toBe(400);
  });

  test('a session of somebody else is not there, and no connection is made', async () => {
    let reached = false;
    onConnection = () => {
      reached = true;
    };
    const stranger = { ...manager.accounts.admin };
    const tunnel = open('app=echo', stranger);
    expect(await tunnel.closed()).toMatchObject({
      code: 1011,
      reason: "There is no session 'work'.",
    });
    expect(reached).toBe(false);
  });
});

test('the apps are listed with what they take', async () => {
  const target = '/stream/session/work/apps';
  const { host } = new URL(server.url);
  const headers = signedHeaders(manager.accounts.user, { target, host });
  const listed = await (await fetch(`${server.url}${target}`, { headers })).json();
  expect(listed[0]).toEqual({
    name: 'echo',
    protocol: 'tcp',
    ports: [8080],
    allowed_arguments: ['--color'],
  });
});
