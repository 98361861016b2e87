/** Many small files, from the command line: a whole cluster beside rsync over SSH. */
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { sshOptions } from '../openssh.ts';
import { freePort, missingTool } from '../services.ts';
import { until } from '../until.ts';
import { scratch } from './executable.ts';
import { exec, printTable, sample } from './measure.ts';

const FILES = 10_000;
const FILE_BYTES = 2048;
const DIRECTORIES = 100;
const RUNS = 3;

interface SshServer {
  /** For rsync's `-e`. */
  readonly shell: string;
  stop(): Promise<void>;
}

/** An sshd of its own that lets this user in, with keys that nobody else has. */
async function startSshd(base: string): Promise<SshServer> {
  const port = await freePort();
  const keyFolder = join(base, 'ssh');
  mkdirSync(keyFolder, { mode: 0o700 });
  for (const name of ['host', 'id_container']) {
    await exec(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', join(keyFolder, name)]);
  }
  const config = join(keyFolder, 'config');
  writeFileSync(
    config,
    `Port ${port}
ListenAddress 127.0.0.1
HostKey ${keyFolder}/host
AuthorizedKeysFile ${keyFolder}/id_container.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
`,
  );
  // It separates privileges in this folder, which its service would make.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const sshd = Bun.which('sshd', { PATH: `${process.env.PATH}:/usr/sbin` }) ?? 'sshd';
  const child = Bun.spawn([sshd, '-D', '-f', config], {
    stdio: ['ignore', 'ignore', Bun.file(join(keyFolder, 'log'))],
  });
  const shell = ['ssh', ...sshOptions({ keyFolder, to: port })].join(' ');
  await until(
    () =>
      exec([...shell.split(' '), '127.0.0.1', 'true']).then(
        () => true,
        () => false,
      ),
    'sshd lets this user in',
  );
  return {
    shell,
    async stop() {
      child.kill();
      await child.exited;
    },
  };
}

function makeFiles(folder: string): void {
  for (let at = 0; at < FILES; at += 1) {
    const directory = join(folder, `d${at % DIRECTORIES}`);
    if (at < DIRECTORIES) mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, `file${at}`), Buffer.alloc(FILE_BYTES, `${at} `));
  }
}

type Env = Record<string, string | undefined>;

async function measure(executable: string, base: string, env: Env): Promise<void> {
  const source = join(base, 'many');
  makeFiles(source);
  const ours = (...argv: string[]) => exec([executable, 'vfolder', ...argv], env);
  const sshd = await startSshd(base);
  try {
    const rsync = (from: string, to: string) => exec(['rsync', '-a', '-e', sshd.shell, from, to]);
    const times = { up: [] as number[], down: [] as number[] };
    const peer = { up: [] as number[], down: [] as number[] };
    for (let run = 0; run < RUNS; run += 1) {
      const there = join(base, `rsync-up-${run}`);
      const [away, back] = [join(base, `away-${run}`), join(base, `rsync-down-${run}`)];
      mkdirSync(away);
      await ours('create', `many-${run}`);
      const timed = async (work: () => Promise<unknown>) =>
        await sample(1, async () => void (await work()));
      times.up.push(
        ...(await timed(() => ours('upload', `many-${run}`, '-r', '-b', base, 'many'))),
      );
      peer.up.push(...(await timed(() => rsync(`${source}/`, `127.0.0.1:${there}/`))));
      times.down.push(
        ...(await timed(() => ours('download', `many-${run}`, 'many', '-r', '-b', away))),
      );
      peer.down.push(...(await timed(() => rsync(`127.0.0.1:${there}/`, `${back}/`))));
      // What came back is what went, or the figures mean nothing.
      await exec(['diff', '-r', source, join(away, 'many')]);
      for (const folder of [there, away, back]) rmSync(folder, { recursive: true });
    }
    const row = (what: 'up' | 'down') => ({
      ...{ what: `${FILES} files ${what}`, unit: 'ms' as const, samples: times[what] },
      peer: { what: 'rsync -a over SSH', samples: peer[what] },
    });
    printTable(`Small files: ${FILES} of ${FILE_BYTES} bytes`, [row('up'), row('down')]);
  } finally {
    await sshd.stop();
  }
}

export async function run(executable: string): Promise<void> {
  const missing =
    missingTool('rsync', 'rsync') ??
    missingTool('ssh', 'openssh-client') ??
    missingTool('sshd', 'openssh-server');
  if (missing) throw new Error(missing);
  const base = scratch('files');
  mkdirSync(base, { recursive: true });
  chmodSync(dirname(base), 0o755);
  const env = {
    ...{ BACKEND_DATA_DIR: base, HOME: base },
    ...{ BACKEND_ENDPOINT: undefined, BACKEND_ACCESS_KEY: undefined },
  };
  await exec([executable, 'up', '--detach', '--quiet'], env);
  try {
    await measure(executable, base, env);
  } finally {
    await exec([executable, 'down', '--sessions'], env);
  }
}
