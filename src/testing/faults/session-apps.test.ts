/** Sessions' apps from the command line, on both backends: SSH and its kin, and the terminal's page. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, startBrowser } from '../browser.ts';
import { missingForDocker, sharedDocker, type TestDocker } from '../docker.ts';
import { importTestImage, missingForJupyter } from '../images.ts';
import { missingForSsh, runClient } from '../openssh.ts';
import { freePort, missingTool, requireOrSkip } from '../services.ts';
import { until } from '../until.ts';
import { mustRun, Program, runCli } from './programs.ts';

const TEST_TIMEOUT_MS = 90_000;
/** A daemon of the test's own has an image of ten thousand files to delete. */
const CLEAN_UP_MS = 240_000;
const READY = 'The cluster is ready at';
const SESSION = 'app-session';
const NOTEBOOK = 'notebook-session';
/** How long a step of Jupyter's page may take. */
const STEP_MS = 40_000;

interface Kind {
  readonly backend: 'process' | 'docker';
  readonly image: string;
  /** The session that has `rsync` and Jupyter. */
  readonly equipped: string;
  readonly missing: string | null;
}
const kinds: Kind[] = [
  { backend: 'process', image: 'bash', equipped: SESSION, missing: missingForJupyter() },
  // The barest image there is: no C library, no SSH, a shell of Busybox.
  {
    backend: 'docker',
    image: 'bare',
    equipped: NOTEBOOK,
    missing: missingForDocker() ?? missingForJupyter(),
  },
];

let browser: Browser;
const tools = requireOrSkip(missingForSsh() ?? missingTool('chromium', 'chromium'));
beforeAll(async () => {
  if (tools) browser = await startBrowser();
}, TEST_TIMEOUT_MS);
afterAll(() => browser?.close());

describe.each(kinds)('apps of a session ($backend)', ({ backend, image, equipped, missing }) => {
  const isReady = tools && requireOrSkip(missing);
  const it = (name: string, body: () => Promise<void>) =>
    test.skipIf(!isReady)(name, body, TEST_TIMEOUT_MS);
  let folder = '';
  let daemon: TestDocker | null = null;
  let cluster: Program;
  const at = () => ({
    cwd: folder,
    env: {
      BACKEND_DATA_DIR: join(folder, 'data'),
      ...(daemon === null ? {} : { DOCKER_HOST: `unix://${daemon.socketPath}` }),
    },
  });
  const cli = (...args: string[]) => runCli(args, at());
  /** A client of OpenSSH with the settings that `ssh-config` wrote. */
  const client = (program: string, ...args: string[]) =>
    runClient([program, '-F', join(folder, '.ssh/config'), ...args], {
      cwd: folder,
      env: { HOME: folder, ...at().env },
    });

  beforeAll(async () => {
    if (!isReady) return;
    folder = await mkdtemp(join(tmpdir(), `bai-apps-${backend}-`));
    // PostgreSQL runs under an account of its own, which has to get there.
    await chmod(folder, 0o755);
    if (backend === 'docker') {
      daemon = await sharedDocker();
      await importTestImage(daemon.socketPath, 'bare');
      await importTestImage(daemon.socketPath, 'jupyter');
    }
    cluster = new Program(['up', '--backend', backend], at());
    await cluster.says(READY, TEST_TIMEOUT_MS);
    await mustRun(['create', image, '-t', SESSION, '-r', 'mem=512m'], at());
    if (equipped === NOTEBOOK) await mustRun(['create', 'jupyter', '-t', NOTEBOOK], at());
    // Each adds to what is there.
    for (const name of new Set([SESSION, equipped])) await mustRun(['ssh-config', name], at());
    await writeFile(join(folder, 'big'), crypto.getRandomValues(new Uint8Array(65_536)));
  }, 2 * TEST_TIMEOUT_MS);

  afterAll(async () => {
    if (!isReady) return;
    await cli('down', '--sessions');
    await cluster?.kill();
    await daemon?.stop();
    await rm(folder, { recursive: true });
  }, CLEAN_UP_MS);

  it('apps are listed', async () => {
    expect((await cli('apps', SESSION, '-l')).stdout).toContain('sshd, ttyd');
    const json = JSON.parse((await cli('--output', 'json', 'apps', SESSION, 'ttyd')).stdout);
    expect(json).toMatchObject([{ name: 'ttyd', protocol: 'http' }]);
    expect((await cli('app', SESSION, 'nosuch')).code).toBe(1);
  });

  it('ssh runs a command and answers its exit code', async () => {
    const done = await cli('ssh', SESSION, 'echo in $HOME; exit 3');
    expect(done).toMatchObject({ code: 3, stdout: 'in /home/work\n' });
    const refused = await cli('ssh', 'no-such-session', 'true');
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain("'no-such-session'");
  });

  it('scp, and sftp by the name of the session', async () => {
    expect((await cli('scp', SESSION, 'big', 'work@localhost:copy')).code).toBe(0);
    expect((await cli('scp', SESSION, ':copy', 'back')).code).toBe(0);
    const sent = await readFile(join(folder, 'big'));
    expect(sent.equals(await readFile(join(folder, 'back')))).toBe(true);
    expect(await client('scp', `${SESSION}:copy`, 'again')).toMatchObject({ exitCode: 0 });
    await writeFile(join(folder, 'batch'), 'ls -l copy\nrename copy moved\n');
    const listed = await client('sftp', '-b', 'batch', SESSION);
    expect(listed.stdout).toMatch(/65536 .* copy/);
  });

  it('ssh by name: a terminal, and ports forwarded both ways', async () => {
    const shown = await client('ssh', '-tt', SESSION, 'test -t 0 && echo terminal');
    expect(shown.stdout).toContain('terminal');
    using server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: () => new Response('here'),
    });
    const [near, far] = [await freePort(), await freePort()];
    const tunnel = Bun.spawn(
      [
        ...['ssh', '-F', join(folder, '.ssh/config'), '-o', 'ExitOnForwardFailure=yes'],
        ...['-R', `${far}:127.0.0.1:${server.port}`, '-L', `${near}:127.0.0.1:${far}`],
        ...[SESSION, 'echo up; cat'],
      ],
      {
        ...{ stdin: 'pipe', stdout: 'pipe', stderr: 'ignore', cwd: folder },
        env: { PATH: process.env.PATH ?? '', HOME: folder, ...at().env },
      },
    );
    await tunnel.stdout.getReader().read();
    // There through one, and back through the other.
    const answer = await fetch(`http://127.0.0.1:${near}/`, { keepalive: false });
    expect(await answer.text()).toBe('here');
    tunnel.stdin.end();
    expect(await tunnel.exited).toBe(0);
  });

  it('run --terminal: typed into, resized, and left with the end of the input', async () => {
    const typed = [
      'cd; echo $((6*7))-$PWD',
      'stty size',
      'test -t 0 && echo is-a-$((0+1))-terminal',
    ];
    const run = ['run', image, '--terminal', '-q', '-t', SESSION, '-r', 'mem=512m'];
    const done = await runCli(run, { ...at(), input: `${typed.join('\n')}\n` });
    expect(done.code).toBe(0);
    expect(done.stdout).toContain('42-/home/work');
    expect(done.stdout).toMatch(/^24 80\r?$/m);
    expect(done.stdout).toContain('is-a-1-terminal');
    const both = await cli('run', image, '--terminal', '-c', 'true', '-t', SESSION);
    expect([both.code, both.stderr]).toEqual([4, expect.stringContaining('not both')]);
  });

  it('the terminal’s page is typed into', async () => {
    const port = await freePort();
    const proxy = new Program(['app', SESSION, 'ttyd', '-b', String(port)], at());
    try {
      await proxy.says(`http://127.0.0.1:${port}`);
      const page = await browser.newPage();
      await page.open(`http://127.0.0.1:${port}/`);
      await page.waitFor('the shell', `document.title.includes('(main1)')`);
      await page.type('textarea.xterm-helper-textarea', 'cd; echo $((6*7))-$PWD');
      await page.evaluate(`term.input('\\r')`);
      const text = `[...Array(term.buffer.active.length).keys()]
        .map((row) => term.buffer.active.getLine(row).translateToString(true)).join('\\n')`;
      await page.waitFor('the answer', `${text}.includes('42-/home/work')`);
    } finally {
      proxy.signal('SIGINT');
      expect(await proxy.ended()).toMatchObject({ code: 0 });
    }
  });

  it('rsync', async () => {
    const shell = `ssh -F ${join(folder, '.ssh/config')}`;
    const env = { HOME: folder, ...at().env };
    const options = { cwd: folder, env };
    const sync = (from: string, to: string) =>
      runClient(['rsync', '-a', '-e', shell, from, to], options);
    expect(await sync('big', `${equipped}:synced`)).toMatchObject({ exitCode: 0 });
    expect(await sync(`${equipped}:synced`, 'fetched')).toMatchObject({ exitCode: 0 });
    const sent = await readFile(join(folder, 'big'));
    expect(sent.equals(await readFile(join(folder, 'fetched')))).toBe(true);
  });

  /** Where the app proxy gives access to an app, as clients find it. */
  async function addressOf(session: string, app: string): Promise<string> {
    const command = (...args: string[]) => mustRun(['--output', 'json', ...args], at());
    const { stdout } = await command('session', 'start-service', session, app);
    const { token, wsproxy_addr } = JSON.parse(stdout);
    const info = JSON.parse((await command('session', 'info', session)).stdout);
    const path = `/v2/proxy/${token}/${info.items[0].session_id}/add?app=${app}&protocol=http`;
    const added = await fetch(new URL(path, wsproxy_addr));
    const answer = await added.text();
    expect([added.status, answer]).toEqual([200, expect.stringContaining('"url"')]);
    return JSON.parse(answer).url;
  }

  it('a notebook of Jupyter through the app proxy: opened, a cell run, its output read', async () => {
    const page = await browser.newPage();
    const url = await addressOf(equipped, 'jupyter');
    await page.evaluate(`location.assign(${JSON.stringify(url)})`);
    const menu = `document.querySelector('#new-dropdown-button')`;
    await page.click('the menu of new things', menu, STEP_MS);
    await page.click('a new notebook', `document.querySelector('#kernel-python3 a')`, STEP_MS);
    const meant = `${await page.evaluate('location.origin')}/notebooks/Untitled.ipynb`;
    const notebook = await browser.openedPage('the notebook', (address) =>
      address.startsWith(meant),
    );
    const isConnected = 'globalThis.Jupyter?.notebook?.kernel?.is_connected() === true';
    await notebook.waitFor('the kernel is connected', isConnected, STEP_MS);
    await notebook.type('.CodeMirror textarea', `print('cell', 6 * 7, __import__('os').getcwd())`);
    const run = `document.querySelector('[data-jupyter-action="jupyter-notebook:run-cell-and-select-next"]')`;
    await notebook.click('the button that runs a cell', run, STEP_MS);
    const output = `document.querySelector('.output_stdout')?.innerText ?? ''`;
    await notebook.waitFor('the output', `(${output}).includes('cell 42 /home/work')`, STEP_MS);
  });

  it('an app at an address that is taken says so', async () => {
    using server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response('') });
    const outcome = await cli('app', SESSION, 'ttyd', '-b', String(server.port));
    expect(outcome.code).not.toBe(0);
    expect(outcome.stderr).toContain('Choose another address with --bind');
  });

  it('a batch session’s log is read after its end', async () => {
    // A machine of two cores has no room for another one.
    await mustRun(['destroy', equipped], at());
    await mustRun(['vfolder', 'create', '.logs'], at());
    const job = ['create', image, '--type', 'batch', '-t', 'batch-job', '-r', 'mem=512m'];
    const loop = 'for i in 1 2 3; do echo line-$i; done';
    await mustRun([...job, '--enqueue-only', '-v', '.logs', '-c', loop], at());
    const log = 'line-1\nline-2\nline-3\n';
    await until(
      async () => (await cli('task-logs', 'batch-job')).stdout === log,
      'the log is whole',
      STEP_MS,
    );
    const over = async () =>
      (await cli('ps', '--dead', '--name-only')).stdout.includes('batch-job');
    await until(over, 'the session is over', STEP_MS);
    expect(await cli('task-logs', 'batch-job')).toMatchObject({ code: 0, stdout: log });
  });
});
