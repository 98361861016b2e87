/** `up` under faults: killed, started twice, beside another one, on a disk that is full. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { requireOrSkip } from '../services.ts';
import { until } from '../until.ts';
import { processesNaming } from './leftovers.ts';
import { expectClearFailure, mustRun, type Outcome, Program, runCli } from './programs.ts';

const TEST_TIMEOUT_MS = 60_000;
const READY = 'The cluster is ready at';

let folder = '';
let data = '';
const started: Program[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bai-up-'));
  data = join(folder, 'data');
  // PostgreSQL runs under an account of its own, which has to get there.
  await chmod(folder, 0o755);
});
afterAll(async () => {
  for (const env of ['one', 'two']) await cli(env, 'down', '--sessions');
  await Promise.all(started.map((program) => program.kill()));
  await rm(folder, { recursive: true });
}, TEST_TIMEOUT_MS);

const at = (env: string) => ({
  cwd: folder,
  env: { BACKEND_DATA_DIR: data, BACKEND_ENV_ID: env },
});
const cli = (env: string, ...args: string[]): Promise<Outcome> => runCli(args, at(env));

/** Starts `up` in the foreground, as a child of this test. */
function launch(env: string, ...args: string[]): Program {
  const program = new Program(['up', ...args], at(env));
  started.push(program);
  return program;
}

async function up(env: string, ...args: string[]): Promise<Program> {
  const program = launch(env, ...args);
  await program.says(READY);
  return program;
}

/** Runs Python in the session of that name, which is made when there is none. */
const python = async (env: string, name: string, code: string): Promise<string> =>
  (await mustRun(['run', '-q', '-t', name, '-c', code, 'python'], at(env))).stdout;

const listing = v.object({
  items: v.array(
    v.looseObject({
      name: v.string(),
      id: v.optional(v.string()),
      status: v.string(),
      status_info: v.optional(v.nullable(v.string())),
    }),
  ),
});

/** All sessions of an environment, ended ones as well, as the command line shows them. */
async function sessions(env: string) {
  const { stdout } = await mustRun(['--output', 'json', 'ps', '--all'], at(env));
  return v.parse(listing, JSON.parse(stdout)).items;
}

const statusOf = async (env: string, name: string) =>
  (await sessions(env)).find((item) => item.name === name);

const endpointIn = (output: string): string | undefined =>
  /ready at (http:\S+?)\.?\s/.exec(output)?.[1];

const postgresPid = async (env: string): Promise<number> =>
  Number((await readFile(join(data, env, 'postgres/data/postmaster.pid'), 'utf8')).split('\n')[0]);

/** Ends the programs of one kernel, as the system does when memory is short. */
async function killKernel(env: string, kernelId: string): Promise<void> {
  const kernel = join(data, env, 'agent/kernels', kernelId);
  for (const { pid } of await processesNaming([kernel])) process.kill(pid, 'SIGKILL');
}

describe('a running cluster', () => {
  let one: Program;
  beforeAll(async () => {
    one = await up('one');
  }, TEST_TIMEOUT_MS);

  test('`status` says what sessions are not kept from, and no secrets', async () => {
    expect(one.stderr).toContain('Sessions on this machine: ');
    const shown = await mustRun(['status'], at('one'));
    expect(shown.stdout).toContain('The network is shared with the host.');
    const { stdout } = await mustRun(['--output', 'json', 'status'], at('one'));
    expect(JSON.parse(stdout)).toMatchObject({ running: true, envId: 'one', backend: 'process' });
    const secrets = v.parse(
      v.array(v.object({ password: v.string(), secretKey: v.string() })),
      JSON.parse(await readFile(join(data, 'one', 'accounts.json'), 'utf8')),
    );
    expect(secrets.length).toBe(5);
    for (const { password, secretKey } of secrets) {
      expect(stdout).not.toContain(password);
      expect(stdout).not.toContain(secretKey);
    }
  });

  test('its web page signs in with a password', async () => {
    const { stdout } = await mustRun(['--output', 'json', 'status'], at('one'));
    const { webUrl } = v.parse(v.object({ webUrl: v.string() }), JSON.parse(stdout));
    expect(await (await fetch(webUrl)).text()).toContain('<title>Backend.AI</title>');
    const [account] = v.parse(
      v.array(v.object({ email: v.string(), password: v.string() })),
      JSON.parse(await readFile(join(data, 'one', 'accounts.json'), 'utf8')),
    );
    const signIn = async (password: string | undefined) =>
      await fetch(`${webUrl}/server/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ username: account?.email, password }),
      });
    expect(await (await signIn(account?.password)).json()).toMatchObject({ authenticated: true });
    expect((await signIn('wrong')).status).toBe(401);
  });

  test('a second one on the same data is refused and does no harm', async () => {
    const endpoint = endpointIn(one.stderr);
    const second = await cli('one', 'up');
    expectClearFailure(second, 'already running', `process ${one.pid}`, 'backend.ai down');
    expect(one.isRunning).toBe(true);
    expect((await fetch(`${endpoint}/health`)).ok).toBe(true);
    expect((await cli('one', 'status')).code).toBe(0);
  });

  test(
    'a taken port is said, another one is used, and neighbours do not see each other',
    async () => {
      const taken = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response() });
      const two = await up('two', '--backend', 'dummy', '--port', String(taken.port));
      expect(two.stderr).toContain(`Port ${taken.port} is in use`);
      expect(endpointIn(two.stderr)).not.toEndWith(`:${taken.port}`);
      await taken.stop(true);

      await python('one', 'mine-alone', 'print(1)');
      expect(await sessions('two')).toEqual([]);
      expect((await sessions('one')).map(({ name }) => name)).toEqual(['mine-alone']);
      // It would else hold a core that the next tests need.
      await mustRun(['session', 'destroy', 'mine-alone'], at('one'));
      const foreign = await cli('two', 'session', 'info', 'mine-alone');
      expectClearFailure(foreign, 'mine-alone');

      const stopped = await two.stop();
      expect(stopped.code).toBe(0);
      expect(stopped.stderr).toContain('Stopped.');
      expect(await processesNaming([join(data, 'two')])).toEqual([]);
      expect((await cli('one', 'status')).code).toBe(0);
    },
    TEST_TIMEOUT_MS,
  );

  test(
    'PostgreSQL killed: it is back by itself, and sessions go on',
    async () => {
      expect(await python('one', 'kept-state', 'x = 41 + 1')).toBe('');
      const pid = await postgresPid('one');
      process.kill(pid, 'SIGKILL');
      await until(
        async () => (await postgresPid('one').catch(() => pid)) !== pid,
        'PostgreSQL runs again',
        20_000,
      );
      await until(async () => (await cli('one', 'ps')).code === 0, 'the API answers', 20_000);
      expect(await python('one', 'kept-state', 'print(x)')).toBe('42\n');
      expect(one.isRunning).toBe(true);
    },
    TEST_TIMEOUT_MS,
  );

  test(
    'killed and started again: running sessions are adopted, dead ones end with a reason',
    async () => {
      await python('one', 'kept-state', 'y = "still here"');
      const before = await readdir(join(data, 'one/agent/kernels'));
      await python('one', 'lost-session', 'print(1)');
      const kernels = await readdir(join(data, 'one/agent/kernels'));
      const lost = kernels.filter((id) => !before.includes(id));
      expect(lost).toHaveLength(1);

      const endpoint = endpointIn(one.stderr);
      await one.kill();
      await killKernel('one', lost[0] ?? '');
      expectClearFailure(await cli('one', 'status'), 'No cluster is running');
      one = await up('one');
      expect(endpointIn(one.stderr)).toBe(endpoint);

      expect(await python('one', 'kept-state', 'print(y)')).toBe('still here\n');
      expect((await statusOf('one', 'kept-state'))?.status).toBe('RUNNING');
      await until(
        async () => (await statusOf('one', 'lost-session'))?.status === 'TERMINATED',
        'the dead session is known to be dead',
      );
      expect((await statusOf('one', 'lost-session'))?.status_info).toBeTruthy();
    },
    TEST_TIMEOUT_MS,
  );

  test(
    '`down` ends it and leaves the sessions; `down --sessions` leaves nothing',
    async () => {
      const down = await mustRun(['down'], at('one'));
      expect(down.stderr).toContain('stopped');
      expect((await one.ended()).code).toBe(0);
      expect((await processesNaming([join(data, 'one/agent/kernels')])).length).toBeGreaterThan(0);

      one = await up('one');
      expect(await python('one', 'kept-state', 'print(x)')).toBe('42\n');
      await mustRun(['down', '--sessions'], at('one'));
      expect((await one.ended()).code).toBe(0);
      await until(
        async () => (await processesNaming([join(data, 'one')])).length === 0,
        'no process of the cluster is left',
      );
      expect(await readdir(join(data, 'one/agent/kernels'))).toEqual([]);
      expect((await mustRun(['down'], at('one'))).stderr).toContain('No cluster is running');
    },
    TEST_TIMEOUT_MS,
  );
});

describe('a place that can not be used', () => {
  test('the data folder can not be made', async () => {
    const file = join(folder, 'a-file');
    await writeFile(file, '');
    const outcome = await cli('one', 'up', '--data-dir', join(file, 'inside'));
    expectClearFailure(outcome, file, '--data-dir');
  });

  const isRoot = process.getuid?.() === 0;
  test('the data folder of a background start can not be made', async () => {
    const file = join(folder, 'another-file');
    await writeFile(file, '');
    const outcome = await cli('one', 'up', '--detach', '--data-dir', join(file, 'inside'));
    expectClearFailure(outcome, file, '--data-dir');
  });

  const canMount = requireOrSkip(isRoot ? null : 'mounting a small disk needs root');

  async function withDisk(sizeMiB: number, work: (disk: string) => Promise<void>): Promise<void> {
    const disk = await mkdtemp(join(folder, 'disk-'));
    const mount = ['mount', '-t', 'tmpfs', '-o', `size=${sizeMiB}m,mode=755`, 'tmpfs', disk];
    expect(Bun.spawnSync(mount).exitCode).toBe(0);
    try {
      await work(disk);
    } finally {
      Bun.spawnSync(['umount', '-l', disk]);
    }
  }

  test('the data folder may not be written', async () => {
    const check = async (sealed: string) => {
      expectClearFailure(await cli('one', 'up', '--data-dir', sealed), sealed, '--data-dir');
      expect(await readdir(sealed)).toEqual([]);
    };
    // Nothing but a mount keeps root from writing.
    if (isRoot) {
      await withDisk(1, async (disk) => {
        expect(Bun.spawnSync(['mount', '-o', 'remount,ro', disk]).exitCode).toBe(0);
        await check(disk);
      });
      return;
    }
    const sealed = join(folder, 'sealed');
    await mkdir(sealed, { mode: 0o555 });
    await check(sealed);
  });

  const grow = (disk: string, sizeMiB: number) =>
    expect(Bun.spawnSync(['mount', '-o', `remount,size=${sizeMiB}m`, disk]).exitCode).toBe(0);

  test.skipIf(!canMount).each([
    ['for the programs of PostgreSQL', 20],
    ['for its data', 58],
    ['for its tables', 75],
  ])(
    'a disk too small %s: it says so, leaves nothing half-done, and works once there is room',
    (_, sizeMiB) =>
      withDisk(sizeMiB, async (disk) => {
        const failed = await cli('small', 'up', '--data-dir', disk);
        expectClearFailure(failed, /space/i, /disk/i);
        expect(await processesNaming([disk])).toEqual([]);
        // Not even a lock: the next one is told about the disk, not about a neighbour.
        const again = await cli('small', 'up', '--data-dir', disk);
        expectClearFailure(again, /space/i);

        grow(disk, 600);
        const program = launch('small', '--data-dir', disk, '--backend', 'dummy');
        await program.says(READY);
        expect((await program.stop()).code).toBe(0);
        expect(await processesNaming([disk])).toEqual([]);
      }),
    TEST_TIMEOUT_MS,
  );
});
