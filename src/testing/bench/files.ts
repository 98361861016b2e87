/** Many small files, from the command line: a whole cluster beside rsync over SSH. */
import { appendFileSync, chmodSync, cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { sshOptions } from '../openssh.ts';
import { freePort, missingTool } from '../services.ts';
import { until } from '../until.ts';
import { scratch } from './executable.ts';
import { exec, printTable, sample } from './measure.ts';

const FILES = 10_000;
const FILE_BYTES = 2048;
const DIRECTORIES = 100;
const CHANGED = 100;
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

/** Some files get another length. */
function change(folder: string): void {
  for (let at = 0; at < FILES; at += FILES / CHANGED) {
    appendFileSync(join(folder, `d${at % DIRECTORIES}`, `file${at}`), 'changed');
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
    const times = new Map<string, { ours: number[]; peer: number[] }>();
    /** Ours and rsync one after the other, of the same work. */
    const timed = async (
      what: string,
      mine: () => Promise<unknown>,
      its: () => Promise<unknown>,
    ) => {
      const samples = times.get(what) ?? { ours: [], peer: [] };
      times.set(what, samples);
      samples.ours.push(...(await sample(1, async () => void (await mine()))));
      samples.peer.push(...(await sample(1, async () => void (await its()))));
    };
    // Nothing is deleted before the end: a file system is slow to make files where some went just now.
    for (let run = 0; run < RUNS; run += 1) {
      const there = join(base, `rsync-up-${run}`);
      const [away, back] = [join(base, `away-${run}`), join(base, `rsync-down-${run}`)];
      const remote = `127.0.0.1:${there}/`;
      mkdirSync(away);
      await ours('create', `many-${run}`);
      await timed(
        'up',
        () => ours('upload', `many-${run}`, '-r', '-b', base, 'many'),
        () => rsync(`${source}/`, remote),
      );
      await timed(
        'down',
        () => ours('download', `many-${run}`, 'many', '-r', '-b', away),
        () => rsync(remote, `${back}/`),
      );
      // What came back is what went, or the figures mean nothing.
      await exec(['diff', '-r', source, join(away, 'many')]);
      const [mine, its] = [join(base, `sync-${run}`), join(base, `rsync-sync-${run}`)];
      const [itsRemote, name] = [`127.0.0.1:${its}-there/`, `sync-${run}`];
      for (const folder of [mine, its]) cpSync(source, folder, { recursive: true });
      await ours('create', name);
      const sync = (what: string, folder: string, from: string, to: string) =>
        timed(
          what,
          () => ours('sync', folder, name),
          () => rsync(from, to),
        );
      await sync('synced up', mine, `${its}/`, itsRemote);
      await sync('the same still', mine, `${its}/`, itsRemote);
      for (const folder of [mine, its]) change(folder);
      await sync(`of which ${CHANGED} changed, synced up`, mine, `${its}/`, itsRemote);
      await sync('synced down', `${mine}-back`, itsRemote, `${its}-back/`);
      await exec(['diff', '-r', mine, `${mine}-back`]);
    }
    printTable(
      `Small files: ${FILES} of ${FILE_BYTES} bytes`,
      [...times].map(([what, samples]) => ({
        ...{ what: `${FILES} files ${what}`, unit: 'ms' as const, samples: samples.ours },
        peer: { what: 'rsync -a over SSH', samples: samples.peer },
      })),
    );
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
