/** What `install.sh` does on its way to the executable: machines, networks and folders of all kinds. */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { createHash, randomBytes } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import * as v from 'valibot';
import { missingTool, requireOrSkip } from '../src/testing/services.ts';
import { until } from '../src/testing/until.ts';

setDefaultTimeout(60_000);
const script = join(import.meta.dir, 'install.sh');
const home = mkdtempSync(join(tmpdir(), 'bai-script-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const platform = `${process.platform}-${process.arch}`;
const packed = `backend.ai-${platform}.gz`;

/** A release whose executable is a script of a megabyte that says what it was asked to do. */
const release = makeRelease(
  'release',
  `case $1 in --version) exit 0 ;; esac
echo "asked to $*"
[ ! -t 0 ] || { echo 'What now?'; read -r answer; echo "told to $answer"; }
exit 0
# ${randomBytes(500_000).toString('hex')}`,
);

function makeRelease(name: string, program: string): string {
  const folder = join(home, name);
  mkdirSync(folder);
  const content = Bun.gzipSync(Buffer.from(`#!/bin/sh\n${program}\n`));
  writeFileSync(join(folder, packed), content);
  const hash = createHash('sha256').update(content).digest('hex');
  writeFileSync(join(folder, 'SHA256SUMS'), `${hash}  ${packed}\n`);
  return folder;
}

const TOOLS = 'sh uname mktemp cp grep sed cut tr gzip chmod rm dirname sha256sum awk df sleep cat';

/** The environment of a machine with what the script always needs, these programs, and no more. */
function machineWith(...programs: string[]) {
  const PATH = mkdtempSync(join(home, 'machine-'));
  for (const name of [...TOOLS.split(' '), ...programs]) {
    symlinkSync(Bun.which(name) ?? '', join(PATH, name));
  }
  const temporary = mkdtempSync(join(home, 'tmp-'));
  return { PATH, HOME: home, LANG: 'C.UTF-8', TMPDIR: temporary };
}

async function install(args: readonly string[], env: Record<string, string> = machineWith()) {
  const argv = ['sh', script, ...args];
  const child = Bun.spawn(argv, {
    cwd: home,
    env,
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, code };
}

interface Answer {
  readonly status?: number;
  /** Of the first byte, where a part was asked for. */
  readonly from?: number;
  readonly content: Buffer;
  /** So many bytes are sent, then the connection ends, or stays as it is. */
  readonly cut?: { readonly after: number; readonly isOpen?: boolean };
}

const contentOf = (name: string): Buffer => readFileSync(join(release, name));

/** @param answer what the packed executable is answered with, given the range that is asked for. */
async function serve(answer: (range: string | undefined) => Answer) {
  const server = createServer((request, response) => {
    const name = basename(request.url ?? '');
    const {
      status = 200,
      from,
      content,
      cut,
    }: Answer = name === packed ? answer(request.headers.range) : { content: contentOf(name) };
    const size = (from ?? 0) + content.length;
    response.writeHead(status, {
      'content-length': content.length,
      ...(from === undefined ? {} : { 'content-range': `bytes ${from}-${size - 1}/${size}` }),
    });
    if (cut === undefined) response.end(content);
    else {
      response.write(content.subarray(0, cut.after), () => {
        if (cut.isOpen !== true) response.destroy();
      });
    }
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = v.parse(v.object({ port: v.number() }), server.address());
  return {
    address: `http://127.0.0.1:${port}/`,
    [Symbol.dispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

for (const program of ['curl', 'wget']) {
  test.if(requireOrSkip(missingTool(program, program)))(
    `${program} fetches through the proxy of the environment, and goes on where a connection broke`,
    async () => {
      const asked: string[] = [];
      using proxy = await serve((range) => {
        asked.push(range ?? 'all');
        const content = contentOf(packed);
        if (range === undefined) return { content, cut: { after: 100_000 } };
        const from = Number(/^bytes=(\d+)-$/.exec(range)?.[1]);
        return { status: 206, from, content: content.subarray(from) };
      });
      const machine = { ...machineWith(program), http_proxy: proxy.address };
      const { code, stdout, stderr } = await install(
        ['--from', 'http://releases.example/', '--mode', 'join'],
        machine,
      );
      expect(stderr).toContain('once more (2 of 3)');
      expect(asked[0]).toBe('all');
      expect(asked[1]).toMatch(/^bytes=[1-9]/);
      expect(stdout).toBe('asked to install --mode join\n');
      expect(code).toBe(0);
      expect(readdirSync(machine.TMPDIR)).toEqual([]);
    },
  );
}

const withCurl = test.if(requireOrSkip(missingTool('curl', 'curl')));

withCurl('a server that knows no parts of files sends all of it again', async () => {
  let count = 0;
  using server = await serve(() => {
    count += 1;
    return { content: contentOf(packed), ...(count === 1 ? { cut: { after: 100_000 } } : {}) };
  });
  const { code, stderr } = await install(['--from', server.address], machineWith('curl'));
  expect(stderr).toContain('once more (3 of 3)');
  expect(code).toBe(0);
});

withCurl('an address with nothing there is said to be so, at once', async () => {
  let count = 0;
  using server = await serve(() => {
    count += 1;
    return { status: 404, content: Buffer.from('no') };
  });
  const { code, stderr } = await install(['--from', server.address], machineWith('curl'));
  expect(stderr).toContain(`${packed} could not be fetched`);
  expect(stderr).toContain('Check the address');
  expect(code).toBe(1);
  expect(count).toBe(1);
});

withCurl('interrupted, it leaves nothing', async () => {
  let isAsked = false;
  using server = await serve(() => {
    isAsked = true;
    return { content: contentOf(packed), cut: { after: 1000, isOpen: true } };
  });
  const machine = machineWith('curl');
  const child = Bun.spawn(['sh', script, '--from', server.address], {
    cwd: home,
    env: machine,
    stdio: ['ignore', 'ignore', 'ignore'],
    detached: true,
  });
  await until(() => isAsked, 'the file is asked for');
  process.kill(-child.pid, 'SIGTERM');
  expect(await child.exited).toBe(130);
  expect(readdirSync(machine.TMPDIR)).toEqual([]);
});

test('without curl and wget it says what to install', async () => {
  const { code, stderr } = await install(['--from', 'http://127.0.0.1:1']);
  expect(stderr).toContain('Neither curl nor wget is installed.');
  expect(code).toBe(1);
});

test('a folder that is no release is said to be so', async () => {
  const { code, stderr } = await install(['--from', join(home, 'nowhere')]);
  expect(stderr).toContain('Is that the folder of a release');
  expect(code).toBe(1);
});

test('no release is said to be missing', async () => {
  const { code, stderr } = await install([]);
  expect(stderr).toContain('install.sh --from ADDRESS');
  expect(code).toBe(1);
});

test('a script that comes from a pipe and ends early does nothing', async () => {
  const text = readFileSync(script, 'utf8');
  for (const part of [0.3, 0.6, 0.9, 0.99]) {
    const child = Bun.spawn(['sh', '-s', '--', '--from', release], {
      cwd: home,
      env: machineWith(),
      stdin: Buffer.from(text.slice(0, text.length * part)),
      stdout: 'pipe',
      stderr: 'pipe',
    });
    expect(await new Response(child.stderr).text()).not.toContain('fetching');
    expect(await new Response(child.stdout).text()).toBe('');
    await child.exited;
  }
});

test('from a pipe, questions are asked at the terminal', async () => {
  let output = '';
  const child = Bun.spawn(['sh', '-c', `cat '${script}' | sh -s -- --from '${release}'`], {
    cwd: home,
    env: machineWith(),
    terminal: {
      data(_terminal, data) {
        output += Buffer.from(data).toString();
      },
    },
  });
  await until(() => output.includes('What now?'), 'it asks');
  child.terminal?.write('go on\r');
  await until(() => output.includes('told to go on'), 'it is told');
  expect(await child.exited).toBe(0);
});

test('platforms without a build are named, with those there are', async () => {
  const machine = machineWith();
  const pretend = (processor: string) => {
    rmSync(join(machine.PATH, 'uname'));
    writeFileSync(
      join(machine.PATH, 'uname'),
      `#!/bin/sh\ncase $1 in -s) echo Linux ;; *) echo ${processor} ;; esac\n`,
      { mode: 0o755 },
    );
  };
  pretend(process.arch === 'arm64' ? 'x86_64' : 'aarch64');
  const other = await install(['--from', release], machine);
  expect(other.stderr).toContain('no build for this platform: backend.ai-linux-');
  expect(other.stderr).toContain(`It has: ${platform}`);
  expect(other.code).toBe(1);
  pretend('riscv64');
  const unknown = await install(['--from', release], machine);
  expect(unknown.stderr).toContain('type riscv64 are not supported');
  expect(unknown.code).toBe(1);
});

test('without a usable folder for temporary files the home folder is used', async () => {
  const machine = { ...machineWith(), TMPDIR: join(home, 'nowhere') };
  const { code, stdout } = await install(['--from', release], machine);
  expect(stdout).toBe('asked to install\n');
  expect(code).toBe(0);
  expect(readdirSync(home).filter((name) => name.startsWith('backend.ai-install'))).toEqual([]);
});

test.each([
  [132, 'lacks instructions'],
  [127, 'a library is missing'],
  [3, 'does not run on this machine: exit code 3'],
])('an executable that cannot run here (%p) is said to be so', async (exitCode, sentence) => {
  const { code, stderr } = await install([
    '--from',
    makeRelease(`broken-${exitCode}`, `exit ${exitCode}`),
  ]);
  expect(stderr).toContain(sentence);
  expect(code).toBe(1);
});
