/** One `backend.ai run` through a web server is one trace through every component, in order. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { selfCommand } from '../../common/executable.ts';
import { formatTraceparent, type Tracer } from '../../common/tracing.ts';
import { hashPassword } from '../../manager/user/password.ts';
import { PROXY_SECRETS, TestProxy } from '../app-proxy.ts';
import { type DistributedCluster, startDistributedCluster } from '../faults/distributed.ts';
import { mustRun, Program } from '../faults/programs.ts';
import { freePort } from '../services.ts';
import { until } from '../until.ts';
import { type CollectedSpan, type Collector, startCollector, tracerTo } from './collector.ts';

const EMAIL = 'admin@lablup.com';
const PASSWORD = 'correct horse 1!';
const TIMEOUT_MS = 240_000;
/** For what takes a second or two where nothing else runs. */
const PATIENCE_MS = 60_000;
/** The nodes of tests are small. */
const SMALL = ['--scaling-group', 'default', '-r', 'cpu=0.1', '-r', 'mem=192m'];

let collector: Collector;
let cluster: DistributedCluster;
let web: Program;
let webUrl = '';
let appProxy: TestProxy;
const tracers: Tracer[] = [];

const otel = () => `[otel]\nenabled = true\nendpoint = "${collector.url}"\n`;

/** What a shell has set that uses the web server. */
const at = () => ({
  cwd: cluster.folder,
  env: {
    BACKEND_ENDPOINT_TYPE: 'session',
    BACKEND_ENDPOINT: webUrl,
    XDG_STATE_HOME: cluster.folder,
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
  },
});

async function startWeb(): Promise<void> {
  const port = await freePort();
  webUrl = `http://127.0.0.1:${port}`;
  const settings = `[service]
ip = "127.0.0.1"
port = ${port}
[api]
endpoint = "${cluster.clientEnvironment.BACKEND_ENDPOINT}"
${otel()}`;
  await writeFile(join(cluster.folder, 'webserver.conf'), settings);
  web = new Program(['web', 'start-server'], { cwd: cluster.folder });
  await web.says('the web server is ready', PATIENCE_MS);
}

/** Of what runs in the test's own process. */
function tracerOf(service: string): Tracer {
  const tracer = tracerTo(collector, service);
  tracers.push(tracer);
  return tracer;
}

async function startAppProxy(): Promise<void> {
  appProxy = await TestProxy.start({}, systemClock, tracerOf);
  await appProxy.addWorker();
  await cluster.sql`UPDATE scaling_groups
    SET wsproxy_addr = ${appProxy.url}, wsproxy_api_token = ${PROXY_SECRETS.api}`;
}

async function signIn(): Promise<void> {
  const hash = await hashPassword(PASSWORD, { algorithm: 'argon2id' });
  await cluster.sql`UPDATE users SET password = ${hash} WHERE email = ${EMAIL}`;
  const { cwd, env } = at();
  const login = Bun.spawn([...selfCommand(), 'login'], {
    cwd,
    env: { ...env, PATH: process.env.PATH ?? '', HOME: cwd },
    stdin: Buffer.from(`${EMAIL}\n${PASSWORD}\n`),
    stdout: 'ignore',
    stderr: 'pipe',
  });
  const said = await new Response(login.stderr).text();
  if ((await login.exited) !== 0) throw new Error(`no sign-in: ${said}`);
}

beforeAll(async () => {
  collector = startCollector();
  cluster = await startDistributedCluster({ agents: ['process agent'], moreSettings: otel() });
  await startWeb();
  await signIn();
  await startAppProxy();
}, TIMEOUT_MS);

afterAll(async () => {
  // Sessions outlive agents, and would this test.
  await mustRun(['rm', 'traced'], { ...at(), timeoutMs: PATIENCE_MS });
  await until(
    async () => {
      const live = await cluster.sql`SELECT FROM sessions WHERE terminated_at IS NULL`;
      return live.length === 0;
    },
    'the session is over',
    PATIENCE_MS,
  );
  await web?.stop();
  await appProxy?.close();
  await Promise.all(tracers.map((tracer) => tracer.close()));
  await cluster?.stop();
  await collector.stop();
}, TIMEOUT_MS);

/** The span and those above it, itself first. */
function lineOf(span: CollectedSpan): CollectedSpan[] {
  const line = [span];
  for (let last = span; last.parentSpanId !== undefined; ) {
    const parent = collector.spans.find(({ spanId }) => spanId === last.parentSpanId);
    if (!parent) throw new Error(`the parent of ${last.name} was not collected`);
    line.push(parent);
    last = parent;
  }
  return line;
}

test(
  'the command line, web server, manager, agent and runner tell of one trace',
  async () => {
    const { stdout } = await mustRun(
      ['run', '-q', '-t', 'traced', ...SMALL, '-c', 'print("hello")', 'python'],
      at(),
    );
    expect(stdout).toBe('hello\n');
    const command = await until(
      () => collector.spans.find(({ name }) => name === 'backend.ai run'),
      'the command has told of itself',
      PATIENCE_MS,
    );
    expect(command.parentSpanId).toBeUndefined();
    const executed = await until(
      () =>
        collector.spans.find(
          ({ service, name, traceId }) =>
            service === 'backend.ai-kernel-runner' &&
            name === 'execute' &&
            traceId === command.traceId,
        ),
      'what the runner did has been told of',
      PATIENCE_MS,
    );
    // The servers send by themselves, in an order of their own.
    await until(
      () =>
        ['backend.ai-webserver', 'backend.ai-manager', 'backend.ai-agent'].every((name) =>
          collector.spans.some((span) => span.service === name && span.traceId === command.traceId),
        ) && lineComplete(executed),
      'all servers have told of theirs',
      PATIENCE_MS,
    );
    const line = lineOf(executed);
    expect(line.map(({ service, name }) => [service, name])).toEqual([
      ['backend.ai-kernel-runner', 'execute'],
      ['backend.ai-agent', 'rpc execute'],
      ['backend.ai-manager', 'GET /stream/session/:session_name/execute'],
      ['backend.ai-webserver', 'GET /func/stream/*'],
      ['backend.ai-cli', 'backend.ai run'],
    ]);
    expect(new Set(line.map(({ traceId }) => traceId))).toEqual(new Set([command.traceId]));
    for (const [index, span] of line.entries()) {
      expect(BigInt(span.endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(span.startTimeUnixNano));
      const parent = line[index + 1];
      if (!parent) continue;
      // One machine, one clock; a millisecond for how coarsely processes tell when they began.
      const begun = BigInt(span.startTimeUnixNano) + 1_000_000n;
      expect(begun).toBeGreaterThanOrEqual(BigInt(parent.startTimeUnixNano));
    }
    expect(line[2]?.attributes['backendai.request_id']).toBeString();
    expect(line.every(({ error }) => error === null)).toBe(true);
  },
  TIMEOUT_MS,
);

function lineComplete(span: CollectedSpan): boolean {
  const parent = collector.spans.find(({ spanId }) => spanId === span.parentSpanId);
  return span.parentSpanId === undefined || (parent !== undefined && lineComplete(parent));
}

test(
  'the start of the session belongs to the trace of the command that asked for it',
  async () => {
    const ofTrace = (service: string, name: string) => {
      const command = collector.spans.find((span) => span.name === 'backend.ai run');
      return collector.spans.find(
        (span) =>
          span.service === service && span.name === name && span.traceId === command?.traceId,
      );
    };
    const [schedule, start, connect, runner] = await until(
      () => {
        const found = [
          ofTrace('backend.ai-manager', 'session schedule'),
          ofTrace('backend.ai-manager', 'session start'),
          ofTrace('backend.ai-agent', 'kernel connect'),
          ofTrace('backend.ai-kernel-runner', 'list-services'),
        ].flatMap((span) => (span && lineComplete(span) ? [span] : []));
        return found.length === 4 && found;
      },
      'all have told of the start',
      PATIENCE_MS,
    );
    if (!schedule || !start || !connect || !runner) throw new Error('unreachable');
    const names = (span: CollectedSpan) =>
      lineOf(span).map(({ service, name }) => `${service} ${name}`);
    const request = [
      'backend.ai-manager POST /session',
      'backend.ai-webserver POST /func/*',
      'backend.ai-cli backend.ai run',
    ];
    expect(names(schedule)).toEqual(['backend.ai-manager session schedule', ...request]);
    expect(names(runner)).toEqual([
      'backend.ai-kernel-runner list-services',
      'backend.ai-agent kernel connect',
      'backend.ai-manager session start',
      ...request,
    ]);
    for (const name of ['kernel provide-image', 'kernel allocate', 'kernel create']) {
      expect(ofTrace('backend.ai-agent', name)?.parentSpanId).toBe(start.spanId);
    }
    const [session] = await cluster.sql<{ id: string; agent_ids: string[] }[]>`
      SELECT id, agent_ids FROM sessions WHERE name = 'traced'`;
    const attributes = {
      'backendai.session_id': session?.id,
      'backendai.resource_group': 'default',
      'backendai.agents': session?.agent_ids.join(),
    };
    expect(start).toMatchObject({ error: null, attributes });
    expect(schedule).toMatchObject({ error: null, attributes });
    expect(connect.attributes['backendai.session_id']).toBe(session?.id ?? '');
    expect(start.startTimeUnixNano).toBe(schedule.endTimeUnixNano);
  },
  TIMEOUT_MS,
);

test(
  'an application is opened and used in one trace through the app proxy',
  async () => {
    const [session] = await cluster.sql<{ id: string; user_uuid: string }[]>`
      SELECT id, user_uuid FROM sessions WHERE name = 'traced'`;
    if (!session) throw new Error('the session is gone');
    const root = await tracerOf('test').run(
      { name: 'open an app', kind: 'client' },
      async (span) => {
        if (span === null) throw new Error('nothing is traced');
        const { token } = await cluster.client.session.startService('traced', { app: 'ttyd' });
        const { document } = await appProxy.ask(
          token,
          { id: session.id, user: session.user_uuid },
          { app: 'ttyd' },
        );
        const setUp = await fetch(String(document.redirect_url), { redirect: 'manual' });
        const [cookie = ''] = (setUp.headers.get('Set-Cookie') ?? '').split(';');
        const page = await fetch(setUp.headers.get('Location') ?? '', {
          headers: { Cookie: cookie, traceparent: formatTraceparent(span.context) },
        });
        expect(page.status).toBe(200);
        return span.context;
      },
    );
    const ofTrace = (service: string, name: string) =>
      collector.spans.find(
        (span) => span.service === service && span.name === name && span.traceId === root.traceId,
      );
    const [configured, used] = await until(
      () => {
        const found = [
          ofTrace('coordinator', 'POST /v2/conf'),
          ofTrace('worker', 'proxy GET'),
        ].flatMap((span) => (span && lineComplete(span) ? [span] : []));
        return found.length === 2 && found;
      },
      'the app proxy has told of it',
      PATIENCE_MS,
    );
    if (!configured || !used) throw new Error('unreachable');
    expect(lineOf(configured).map(({ service, name }) => `${service} ${name}`)).toEqual([
      'coordinator POST /v2/conf',
      'backend.ai-manager POST /session/:session_name/start-service',
      'test open an app',
    ]);
    expect(used).toMatchObject({ parentSpanId: root.spanId, error: null });
    expect(used.attributes['backendai.session_id']).toBe(session.id);
  },
  TIMEOUT_MS,
);

test('a request from elsewhere goes on with its trace and request id', async () => {
  const trace = { traceId: 'c'.repeat(32), spanId: 'd'.repeat(16) };
  const { BACKEND_ENDPOINT } = cluster.clientEnvironment;
  const response = await fetch(`${BACKEND_ENDPOINT}/no/such/operation`, {
    headers: {
      traceparent: `00-${trace.traceId}-${trace.spanId}-01`,
      'X-BackendAI-RequestID': 'a-request-of-a-test',
    },
  });
  expect(response.headers.get('x-backendai-requestid')).toBe('a-request-of-a-test');
  const span = await until(
    () => collector.spans.find(({ traceId }) => traceId === trace.traceId),
    'the request has been told of',
    PATIENCE_MS,
  );
  expect(span).toMatchObject({ parentSpanId: trace.spanId, service: 'backend.ai-manager' });
  expect(span.attributes['backendai.request_id']).toBe('a-request-of-a-test');
});
