/**
 * The lives of sessions through the command line, on real kernels of two backends: batch jobs that
 * depend on each other, a job that runs out of time, a template that clones a repository, images, one
 * that makes room for another, one that nobody uses, and one that has lived for long enough.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { canRunDocker } from '../agent/backends/docker/testing/setup.ts';
import { runCommand } from '../cli/testing/program.ts';
import { systemClock } from '../common/clock.ts';
import { DockerEngine } from '../common/docker/engine.ts';
import { SSH_SERVICE } from '../common/images/labels.ts';
import { systemRandom } from '../common/random.ts';
import { createIdleChecks } from '../manager/idle/pass.ts';
import { checkAccounting } from '../manager/session/accounting-store.ts';
import { sharedDocker, type TestDocker } from '../testing/docker.ts';
import { importTestImage } from '../testing/images.ts';
import { silentLog } from '../testing/manager.ts';
import { freePort } from '../testing/services.ts';
import { until } from '../testing/until.ts';
import { type RunningCluster, startCluster } from './cluster.ts';

const TIMEOUT_MS = 180_000;
const PROGRAM = join(import.meta.dir, '../../bin/backend.ai.ts');
const GIT = 'git -c user.name=T -c user.email=t@test.example -c init.defaultBranch=main';

/** A job of bash that first makes a repository, which is then cloned as the template says. */
const template = (image: string) => `
template:
  api_version: "6"
  kind: task_template
  metadata: {name: with-code, tag: nightly}
  spec:
    kernel:
      image: ${image}
      environ: {GREETING: hello}
      run:
        bootstrap: |
          echo "$GREETING" > greeting.txt
          ${GIT} init -q origin && cd origin
          echo first > file.txt && ${GIT} add . && ${GIT} commit -qm one && ${GIT} branch old
          echo second > file.txt && ${GIT} commit -qam two && cd ..
      git: {repository: /home/work/origin, branch: old, destination_dir: code}
    resources: {cpu: 1, mem: 256m}
`;

const backends = [
  { backend: 'process', image: 'bash', usable: true },
  { backend: 'docker', image: 'local/testing/git:1', usable: canRunDocker() },
] as const;

describe.each(backends)('on the $backend backend', ({ backend, image, usable }) => {
  const check = test.skipIf(!usable);
  let folder: string;
  let cluster: RunningCluster;
  let daemon: TestDocker | undefined;
  let env: Record<string, string>;
  let adminEnv: Record<string, string>;
  let policy: string;
  const dockerHost = process.env.DOCKER_HOST;
  const told: string[] = [];
  const receiver = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      told.push(v.parse(v.object({ event: v.string() }), await request.json()).event);
      return new Response();
    },
  });

  beforeAll(async () => {
    if (!usable) return;
    folder = await mkdtemp(join(tmpdir(), 'lives-'));
    if (backend === 'docker') {
      daemon = await sharedDocker();
      await importTestImage(daemon.socketPath, 'git');
      process.env.DOCKER_HOST = `unix://${daemon.socketPath}`;
    }
    cluster = await startCluster({
      envId: `lives-${backend}`,
      folder: join(folder, 'cluster'),
      backend,
      managerPort: 0,
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      progress: () => {},
    });
    const keys = async (user: string) => {
      const [row] = await cluster.manager.ctx.sql<
        { accessKey: string; secretKey: string; policy: string }[]
      >`
        SELECT access_key AS "accessKey", secret_key AS "secretKey", resource_policy AS policy
        FROM keypairs WHERE user_id = ${user} AND is_active ORDER BY created_at LIMIT 1`;
      policy = row?.policy ?? '';
      return {
        BACKEND_ENDPOINT: cluster.manager.url,
        BACKEND_ACCESS_KEY: row?.accessKey ?? '',
        BACKEND_SECRET_KEY: row?.secretKey ?? '',
      };
    };
    adminEnv = await keys('admin@lablup.com');
    env = await keys('user@lablup.com');
  }, TIMEOUT_MS);

  afterAll(async () => {
    if (!usable) return;
    const live = await run('--output', 'json', 'ps', '-f', 'name');
    const names = v.parse(listed(v.object({ name: v.string() })), JSON.parse(live.out));
    for (const { name } of names.items) await run('rm', '-f', name);
    const ended = async () =>
      (
        await cluster.manager.ctx.sql`SELECT 1 FROM sessions
        WHERE status NOT IN ('TERMINATED', 'CANCELLED')`
      ).length === 0;
    await until(ended, 'all sessions have ended', TIMEOUT_MS);
    await cluster.stop();
    if (dockerHost === undefined) delete process.env.DOCKER_HOST;
    else process.env.DOCKER_HOST = dockerHost;
    await daemon?.stop();
    await receiver.stop(true);
    await rm(folder, { recursive: true, force: true });
  }, TIMEOUT_MS);

  const listed = <S extends v.GenericSchema>(item: S) => v.object({ items: v.array(item) });
  const run = (...argv: string[]) => runCommand(argv, { env, cwd: folder });
  async function ok(...argv: string[]) {
    const outcome = await run(...argv);
    expect({ argv, ...outcome }).toMatchObject({ exitCode: 0 });
    return outcome;
  }

  const size = ['-r', 'cpu=1', '-r', 'mem=256m'];
  /** @returns the id of a batch session that was enqueued. */
  async function job(name: string, command: string, ...more: string[]): Promise<string> {
    const batch = ['--type', 'batch', '-c', command, '--enqueue-only', ...size, ...more];
    const { out } = await ok('--output', 'json', 'session', 'create', '-t', name, ...batch, image);
    return v.parse(v.object({ session_id: v.string() }), JSON.parse(out)).session_id;
  }

  const lifeOf = v.object({
    name: v.string(),
    status: v.string(),
    status_info: v.string(),
    result: v.string(),
  });
  /** How sessions ended, by name, once they all have. */
  async function ends(...names: string[]) {
    const over = new Map<string, v.InferOutput<typeof lifeOf>>();
    const all = async () => {
      const fields = 'name,status,status_info,result';
      const { out } = await ok('--output', 'json', 'ps', '--dead', '-f', fields);
      for (const life of v.parse(listed(lifeOf), JSON.parse(out)).items) over.set(life.name, life);
      return names.every((name) => over.has(name));
    };
    await until(all, `${names.join(', ')} have ended`, TIMEOUT_MS);
    return names.map((name) => over.get(name));
  }

  check(
    'jobs run after those they depend on, and not at all after one that failed',
    async () => {
      const hook = `http://127.0.0.1:${receiver.port}/`;
      const first = await job('first', 'true', '--callback-url', hook);
      const second = await job('second', 'true', '--depends', first);
      const last = await job('last', 'exit 3', '--depends', second, '--depends', first);
      const never = await job('never', 'true', '--depends', last);
      const { out } = await ok('session', 'show-graph', never);
      const words = Array.from(out.matchAll(/first|second|last|never/g), ([word]) => word);
      expect(words.slice(0, 2)).toEqual(['never', 'last']);
      expect(words.slice(2).toSorted()).toEqual(['first', 'first', 'second']);
      const [one, two, three, four] = await ends('first', 'second', 'last', 'never');
      for (const life of [one, two]) {
        expect(life).toMatchObject({
          ...{ status: 'TERMINATED', result: 'SUCCESS', status_info: 'task-finished' },
        });
      }
      expect(three).toMatchObject({ result: 'FAILURE', status_info: 'task-failed' });
      expect(four).toMatchObject({
        ...{ status: 'CANCELLED', result: 'UNDEFINED', status_info: 'dependency-failed' },
      });
      const history = await ok(
        'scheduling-history',
        'session',
        'list',
        '-v',
        '--session-id',
        never,
      );
      expect(history.out).toContain("waited for session 'last'");
      await until(() => told.includes('terminated'), 'the end is told');
      expect(told.filter((event) => /enqueued|started|success|terminat/.test(event))).toEqual([
        'enqueued',
        'started',
        'success',
        'terminating',
        'terminated',
      ]);
    },
    TIMEOUT_MS,
  );

  check(
    'a job that runs out of time fails for that',
    async () => {
      await job('slow', 'sleep 600', '--timeout', '2s');
      expect(await ends('slow')).toMatchObject([
        { status: 'TERMINATED', result: 'FAILURE', status_info: 'task-timeout' },
      ]);
    },
    TIMEOUT_MS,
  );

  check(
    'a template: its script, its variables and its repository are in the session',
    async () => {
      await writeFile(join(folder, 'template.yaml'), template(image));
      const { err } = await ok('session-template', 'create', '-f', 'template.yaml');
      const id = /[0-9a-f]{32}/.exec(err)?.[0] ?? '';
      await ok('create-from-template', id, '-t', 'templated', '-e', 'GREETING=welcome');
      await ok(
        'session',
        'download',
        'templated',
        'greeting.txt',
        'code/file.txt',
        '--dest',
        'got',
      );
      expect(await readFile(join(folder, 'got/greeting.txt'), 'utf8')).toBe('welcome\n');
      const names = ['got/code/file.txt', 'got/file.txt'].map((name) =>
        Bun.file(join(folder, name)),
      );
      const texts = await Promise.all(
        names.map(async (file) => ((await file.exists()) ? file.text() : '')),
      );
      expect(texts.join('')).toBe('first\n');
      const { out } = await ok('--output', 'json', 'ps', '-f', 'name,tag');
      expect(JSON.parse(out).items).toContainEqual({ name: 'templated', tag: 'nightly' });

      const converted = await run('session', 'convert-to-image', 'templated', 'mine');
      if (backend === 'docker') {
        expect(converted).toMatchObject({ exitCode: 0 });
        const made = /local\/\S+-customized_[0-9a-f]{32}/.exec(converted.err)?.[0] ?? '';
        await ok('session', 'create', '-t', 'from-image', ...size, made);
        await forgetImage(made);
      } else {
        expect(converted).toMatchObject({ exitCode: 1 });
        expect(converted.err).toContain('no containers to commit');
      }
    },
    TIMEOUT_MS,
  );

  const asAdmin = async (...argv: string[]) => {
    const outcome = await runCommand(argv, { env: adminEnv, cwd: folder });
    expect({ argv, ...outcome }).toMatchObject({ exitCode: 0 });
  };

  interface Life {
    readonly id: string;
    readonly status: string;
    readonly info: string;
  }
  async function lifeOfLatest(name: string): Promise<Life> {
    const [row] = await cluster.manager.ctx.sql<Life[]>`
      SELECT id, status, status_info AS info FROM sessions WHERE name = ${name}
      ORDER BY created_at DESC LIMIT 1`;
    if (!row) throw new Error(`there is no session ${name}`);
    return row;
  }
  const reaches = (name: string, status: string) =>
    until(
      async () => (await lifeOfLatest(name)).status === status,
      `${name} is ${status}`,
      TIMEOUT_MS,
    );
  /** What people read about an ended session and how it came to that. */
  async function obituary(name: string): Promise<string> {
    const { id } = await lifeOfLatest(name);
    const about = await ok('session', 'info', id);
    const history = await ok('scheduling-history', 'session', 'list', '-v', '--session-id', id);
    return about.out + history.out;
  }

  check(
    'one of low priority makes room for one of a higher, and runs again or ends, as the group says',
    async () => {
      const { sql } = cluster.manager.ctx;
      const [room] = await sql<{ group: string; cpu: number }[]>`
        SELECT a.scaling_group AS group, floor(r.capacity - r.reserved - r.used)::int AS cpu
        FROM agents a JOIN agent_resources r ON r.agent_id = a.id WHERE r.slot_name = 'cpu'`;
      const group = room?.group ?? '';
      const preempt = (mode: string) => {
        const options = JSON.stringify({ preemption: { enabled: true, mode } });
        return asAdmin('admin', 'scaling-group', 'update', group, '--scheduler-opts', options);
      };
      const create = (name: string, priority: number, cpu: number) =>
        ok(
          ...['session', 'create', '-t', name, '--enqueue-only', '--priority', String(priority)],
          ...['-r', `cpu=${cpu}`, '-r', 'mem=256m', image],
        );
      await create('humble', 1, room?.cpu ?? 1);
      await reaches('humble', 'RUNNING');
      await create('early', 20, 1);
      await until(async () => {
        const { out } = await ok('session', 'explain', 'early');
        return out.includes('does not have preemption enabled');
      }, 'it is told what would help');

      await preempt('reschedule');
      await reaches('early', 'RUNNING');
      await reaches('humble', 'PENDING');
      expect(await checkAccounting(sql)).toEqual([]);
      expect((await ok('session', 'explain', 'humble')).out).toContain('No agent of');
      await ok('rm', 'early');
      await reaches('humble', 'RUNNING');

      await preempt('terminate');
      await create('late', 20, 1);
      await reaches('late', 'RUNNING');
      await reaches('humble', 'TERMINATED');
      const told = await obituary('humble');
      expect(told).toContain('PREEMPTED_BY_SCHEDULER');
      expect(told).toContain((await lifeOfLatest('early')).id);
      expect(told).toContain(`needed by session ${(await lifeOfLatest('late')).id}`);
      await ok('rm', 'late');
      await reaches('late', 'TERMINATED');
      expect(await checkAccounting(sql)).toEqual([]);
    },
    TIMEOUT_MS,
  );

  /** `backend.ai app` in a process of its own. @returns the greeting of the SSH server behind it. */
  async function connectApp(session: string) {
    const port = await freePort();
    const argv = ['app', session, SSH_SERVICE.name, '-b', String(port)];
    const child = Bun.spawn([process.execPath, PROGRAM, ...argv], {
      cwd: folder,
      env: { ...process.env, ...env },
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'inherit',
    });
    let said = '';
    const reading = (async () => {
      for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) said += text;
    })();
    await until(() => said.includes('is available at'), `${session} is offered`, TIMEOUT_MS);
    let greeting = '';
    const socket = await Bun.connect({
      ...{ hostname: '127.0.0.1', port },
      socket: {
        data(_socket, bytes) {
          greeting += bytes.toString();
        },
      },
    });
    await until(() => greeting.startsWith('SSH-'), 'the server greets', TIMEOUT_MS);
    return async () => {
      socket.end();
      child.kill('SIGINT');
      await child.exited;
      await reading;
    };
  }

  check(
    'one that nobody uses is ended for that, unless somebody is connected, until they leave',
    async () => {
      const { ctx } = cluster.manager;
      const { live } = ctx;
      // Small machines have no room for what an earlier test left running.
      await run('rm', '-f', 'templated');
      await ok('session', 'create', '-t', 'visited', ...size, image);
      const disconnect = await connectApp('visited');
      const { id } = await lifeOfLatest('visited');
      const connections = () =>
        live.sortedCount(`session.${id}.active_app_connections`, 0, Number.POSITIVE_INFINITY);
      await until(async () => (await connections()) === 1, 'the connection is noted');
      // Used after the other, so that the other has been silent for longer whenever this one is idle.
      await ok('session', 'create', '-t', 'lonely', ...size, image);

      await asAdmin(
        ...['admin', 'keypair-resource-policy', 'update', policy, '--idle-timeout', '1'],
      );
      await asAdmin('admin', 'etcd', 'set', 'config/idle/enabled', 'network_timeout');
      // The leader looks by itself too, but only every 15 seconds.
      const checks = createIdleChecks(ctx);
      const leaves = async (name: string) => {
        await checks.pass(new AbortController().signal);
        return (await lifeOfLatest(name)).status !== 'RUNNING';
      };
      await until(() => leaves('lonely'), 'lonely is ended', TIMEOUT_MS);
      await reaches('lonely', 'TERMINATED');
      expect(await lifeOfLatest('lonely')).toMatchObject({ info: 'idle-timeout' });
      expect(await obituary('lonely')).toContain('idle-timeout');
      await checks.pass(new AbortController().signal);
      expect(await lifeOfLatest('visited')).toMatchObject({ status: 'RUNNING' });
      expect(await connections()).toBe(1);

      await disconnect();
      await until(() => leaves('visited'), 'visited is ended', TIMEOUT_MS);
      await reaches('visited', 'TERMINATED');
      expect(await lifeOfLatest('visited')).toMatchObject({ info: 'idle-timeout' });
      await asAdmin('admin', 'etcd', 'delete', 'config/idle/enabled');
    },
    TIMEOUT_MS,
  );

  // The last one: every session of the keypair ends by it.
  check(
    'one that has lived for as long as its policy allows is ended for that',
    async () => {
      await ok('session', 'create', '-t', 'mortal', ...size, image);
      const limit = (seconds: string) =>
        asAdmin(
          ...['admin', 'keypair-resource-policy', 'update', policy],
          ...['--max-session-lifetime', seconds],
        );
      await limit('1');
      await reaches('mortal', 'TERMINATED');
      await limit('0');
      const told = await obituary('mortal');
      expect(told.match(/idle-session-lifetime/g)?.length).toBeGreaterThan(1);
    },
    TIMEOUT_MS,
  );

  /** Ends the session of an image, and removes it from the daemon that other tests use too. */
  async function forgetImage(canonical: string): Promise<void> {
    await ok('rm', 'from-image');
    await ends('from-image');
    const engine = new DockerEngine(daemon?.socketPath ?? '');
    await engine.call((docker) => docker.getImage(canonical.replace('local/', '')).remove());
  }
});
