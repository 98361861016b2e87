/** The terminal over a WebSocket, with a real runner behind it: typing, sizes, restarts, slow clients, roles. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runnerEnvironment } from '../../common/protocol/runner.ts';
import { startRunner, type TestRunner } from '../../kernel/testing/harness.ts';
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
import type { AuthenticatedRequest, SocketPeer } from '../http/route.ts';
import { findActiveKeypair } from '../keypair/service.ts';
import { type ManagerServer, startServer } from '../server.ts';
import { terminalRoute } from './pty.ts';
import { sessionRoutes, sessionSocketRoutes } from './rest.ts';
import { TunnelTracker } from './tunnel-tracker.ts';

let manager: TestManagerContext;
let ctx: ManagerContext;
let server: ManagerServer;
let session: InsertedSession;
let runner: TestRunner;
const agent = new ScriptedAgent();

beforeAll(async () => {
  manager = await testManagerContext();
  ctx = { ...manager.ctx, agents: { client: () => agent.client } };
  const projectId = await insertProject(ctx.sql);
  await insertAgent(ctx.sql, 'i-one');
  const owned = { owner: manager.accounts.user, projectId, agentId: 'i-one' };
  session = await insertSession(ctx.sql, { ...owned, name: 'work' });
  const { kernelId } = await insertSession(ctx.sql, { ...owned, name: 'bare' });
  const terminal = { name: 'ttyd', protocol: 'http', container_ports: [7681], host_ports: [1] };
  const ports = [{ ...terminal, is_inference: false }];
  await ctx.sql`UPDATE kernels SET service_ports = ${ctx.sql.json(ports)} WHERE id = ${session.kernelId}`;
  await ctx.sql`UPDATE kernels SET service_ports = '[]' WHERE id = ${kernelId}`;
  const port = await freePort();
  runner = startRunner({
    env: { [runnerEnvironment.terminalPort]: String(port), SHELL: '/bin/bash', PS1: '$ ' },
  });
  await runner.connect();
  agent.services.set('ttyd', {
    ...{ status: 'running', protocol: 'http', host: '127.0.0.1' },
    ...{ containerPorts: [7681], hostPorts: [port] },
  });
  server = await startServer(ctx, {
    listen: { hostname: '127.0.0.1', port: 0 },
    routes: sessionRoutes(ctx),
    sockets: sessionSocketRoutes(ctx),
  });
});
afterAll(async () => {
  await server.stop(0);
  await runner.stop();
  await manager.close();
});

const stdin = (text: string) => ({ type: 'stdin', chars: Buffer.from(text).toString('base64') });

/** A client as upstream's library is one. */
class Client {
  readonly socket: Bun.WebSocket;
  readonly frames: unknown[] = [];
  output = '';
  close: { code: number; reason: string } | null = null;

  constructor(name = 'work', account = manager.accounts.user, query = '') {
    const target = `/stream/session/${name}/pty${query}`;
    const { host } = new URL(server.url);
    // Bun's WebSocket takes headers and has methods that the DOM's declaration does not know.
    this.socket = Reflect.construct(WebSocket, [
      `${server.url.replace('http', 'ws')}${target}`,
      { headers: signedHeaders(account, { target, host }) },
    ]);
    this.socket.binaryType = 'arraybuffer';
    this.socket.onmessage = ({ data }) => {
      this.frames.push(data);
      const { type, data: bytes } = JSON.parse(Buffer.from(data).toString());
      if (type === 'out') this.output += Buffer.from(bytes, 'base64').toString();
    };
    this.socket.onclose = ({ code, reason }) => {
      this.close = { code, reason };
    };
  }

  async opened(): Promise<this> {
    await until(() => this.socket.readyState === WebSocket.OPEN, 'the socket is open');
    return this;
  }

  say(message: unknown): void {
    this.socket.send(JSON.stringify(message));
  }

  shows(text: string): Promise<unknown> {
    return until(() => this.output.includes(text), `the terminal shows ${text}`);
  }

  closed(): Promise<{ code: number; reason: string }> {
    return until(() => this.close, 'the socket is closed');
  }

  async leave(): Promise<void> {
    this.socket.close();
    await this.closed();
  }
}

const connections = () =>
  ctx.live.sortedRange(
    `session.${session.sessionId}.active_app_connections`,
    0,
    Number.MAX_SAFE_INTEGER,
  );

describe('the terminal', () => {
  test('keys and output in base64, output in binary frames; it counts as use', async () => {
    const client = await new Client().opened();
    client.say(stdin('echo si$((2+1))e-café; test -t 0 && stty size\r'));
    await client.shows('si3e-café');
    await client.shows('24 80');
    expect(client.frames[0]).toBeInstanceOf(ArrayBuffer);
    client.say({ type: 'resize', rows: 31, cols: 101 });
    client.say({ type: 'ping' });
    client.say(stdin('stty size\r'));
    await client.shows('31 101');
    await until(async () => (await connections()).length === 1, 'it is noted');
    await client.leave();
    await until(async () => (await connections()).length === 0, 'it is forgotten');
  });

  test('who comes back finds the same shell; a restart gives a new one', async () => {
    const first = await new Client().opened();
    first.say(stdin('MARK=kept; echo re$((4+1))dy\r'));
    await first.shows('re5dy');
    await first.leave();
    const second = await new Client().opened();
    await second.shows('re5dy');
    second.say(stdin('echo "[$MARK]"\r'));
    await second.shows('[kept]');
    second.say(stdin('cat\r'));
    second.say({ type: 'restart' });
    // Typed at once, it reaches the new one.
    second.say(stdin('echo "<$MARK>"\r'));
    await second.shows('<>');
    expect(second.close).toBeNull();
    await second.leave();
  });

  test.each([0, 3])('a shell that ends with %d closes it as usual', async (exitCode) => {
    const client = await new Client().opened();
    client.say(stdin(`exit ${exitCode}\r`));
    expect(await client.closed()).toMatchObject({ code: 1000 });
  });
});

describe('what is wrong is told by the close', () => {
  test.each([
    ['no JSON', 'hello', 'must be JSON'],
    ['an unknown type', '{"type":"dance"}', 'stdin, resize, ping or restart'],
    ['keys that are no base64', '{"type":"stdin","chars":"?"}', 'base64'],
    ['a size that is none', '{"type":"resize","rows":0,"cols":80}', 'rows and cols'],
    ['half a size', '{"type":"resize","rows":20}', 'cols'],
  ])('%s', async (_what, message, reason) => {
    const client = await new Client().opened();
    client.socket.send(message);
    const close = await client.closed();
    expect(close.code).toBe(1008);
    expect(close.reason).toContain(reason);
  });

  test('a session without a terminal', async () => {
    const close = await new Client('bare').closed();
    expect(close).toEqual({
      code: 1011,
      reason: "Session 'bare' has no app called 'ttyd'; there are: none.",
    });
  });

  test('a node that is away', async () => {
    agent.away = true;
    const close = await new Client().closed().finally(() => {
      agent.away = false;
    });
    expect(close.reason).toContain('The session is kept');
  });
});

describe('whose terminals', () => {
  const keyOf = ({ accessKey }: { accessKey: string }) => `?owner_access_key=${accessKey}`;

  test('others see no session, and may not name keys above them', async () => {
    const { user, admin } = manager.accounts;
    const unseen = new Client('work', admin);
    expect(await unseen.closed()).toEqual({ code: 1011, reason: "There is no session 'work'." });
    const refused = new Client('work', user, keyOf(admin));
    expect(await refused.closed()).toMatchObject({ code: 1011 });
    expect([unseen.frames, refused.frames]).toEqual([[], []]);
  });

  test.each(['admin', 'superadmin'] as const)(
    '%s who names the owner’s key is let in',
    async (role) => {
      const { accounts } = manager;
      const client = await new Client('work', accounts[role], keyOf(accounts.user)).opened();
      client.say(stdin(`echo ${role}$((1))side\r`));
      await client.shows(`${role}1side`);
      await client.leave();
    },
  );

  test('nobody without a signature', async () => {
    const answer = await fetch(`${server.url}/stream/session/work/pty`);
    expect(answer.status).toBe(401);
  });
});

/** Of a kilobyte: more than fits into what lies between. */
const LINES = 200_000;

test('a client that takes nothing holds the shell back', async () => {
  const route = terminalRoute(ctx, new TunnelTracker(ctx));
  const keypair = await findActiveKeypair(ctx.sql, manager.accounts.user.accessKey);
  if (!keypair) throw new Error('the test is not set up');
  const gone = new AbortController();
  const letGo = Promise.withResolvers<void>();
  const peer: SocketPeer = {
    send: () => letGo.promise,
    close: () => undefined,
    messages: (async function* () {
      const loop = `i=0; while [ $i -lt ${LINES} ]; do i=$((i+1)); echo $line; echo $i >count; done`;
      yield JSON.stringify(stdin(`printf -v line %01000d; ${loop}; echo the-$((1))-end\r`));
      await new Promise((resolve) => gone.signal.addEventListener('abort', resolve));
    })(),
    signal: gone.signal,
  };
  const request: AuthenticatedRequest = {
    request: new Request('http://test/'),
    requestId: 'r',
    clientAddress: null,
    apiVersion: [9, '20250722'],
    signal: gone.signal,
    caller: keypair.caller,
  };
  const serve = await route.accept({
    ...{ params: { session_name: 'work' }, query: new URLSearchParams() },
    json: () => Promise.reject(new Error('a stream has no body')),
  });
  const done = serve(request, peer);
  const count = () => {
    try {
      return Number(readFileSync(join(runner.home, 'count'), 'utf8'));
    } catch {
      return 0;
    }
  };
  // The same number, seen again and again: what lies between is full.
  let before = -1;
  let stillness = 0;
  await until(
    () => {
      const now = count();
      stillness = now > 0 && now === before ? stillness + 1 : 0;
      before = now;
      return stillness > 40;
    },
    'the shell is held back',
    60_000,
  );
  const heldAt = count();
  expect(heldAt).toBeLessThan(LINES);
  letGo.resolve();
  await until(() => count() > heldAt, 'it goes on');
  gone.abort();
  await done;
}, 90_000);
