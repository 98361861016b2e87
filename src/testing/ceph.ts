/**
 * A real CephFS of one machine for tests: a monitor, a manager, an object store in memory and a metadata
 * server, all private and on loopback, and the file system of them mounted through FUSE. The programs are
 * those that scripts/fetch-ceph.sh unpacked.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { statfs } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { hireJanitor } from './janitor.ts';
import { allStopped, freePort } from './services.ts';
import { until } from './until.ts';

const FSID = '4f0c7d3e-5a52-4c6b-9c1d-0b6f7a1f5a11';
const STORE_ID = '9a1de1c5-2f2e-4a53-8f0c-6a3b1d2e7c22';
const STORE_BYTES = 1024 ** 3;
/** Of the ports among which the servers find theirs. */
const PORTS = 500;
/** It takes five seconds when nothing else runs. */
const DEADLINE_MS = 90_000;

const folderOfPrograms = (): string => {
  const cache = process.env.XDG_CACHE_HOME || join(process.env.HOME || homedir(), '.cache');
  return join(cache, 'backend.ai/test-tools/ceph/usr');
};

/** Why no CephFS can be had here; null when one can. */
export function missingForCeph(): string | null {
  if (process.platform !== 'linux') return 'CephFS is mounted on Linux only';
  if (process.getuid?.() !== 0) return 'mounting a CephFS needs root';
  if (!existsSync('/dev/fuse')) return 'mounting a CephFS needs /dev/fuse';
  if (existsSync(join(folderOfPrograms(), 'bin/ceph-fuse'))) return null;
  return "Ceph's programs are missing: run scripts/fetch-ceph.sh";
}

export interface TestCeph {
  /** Where it is mounted. */
  readonly path: string;
  /** Stops the metadata server (SIGSTOP): nothing is answered until `resume`. Resolves once it stands still. */
  pause(): Promise<void>;
  resume(): void;
  stop(): Promise<void>;
}

/** Nobody is asked for a key; one copy of everything is enough; every server reports each second. */
const configuration = (folder: string, monitorPort: number, firstPort: number): string => `[global]
fsid = ${FSID}
mon host = [v2:127.0.0.1:${monitorPort}]
public network = 127.0.0.0/8
ms bind port min = ${firstPort}
ms bind port max = ${firstPort + PORTS}
ms bind msgr1 = false
auth cluster required = none
auth service required = none
auth client required = none
run dir = ${folder}
admin socket =
log file =
mon cluster log file =
log to stderr = true
mon cluster log to stderr = true
mon data = ${folder}/mon/data
mon data avail warn = 0
mon data avail crit = 0
paxos propose interval = 0.05
mon allow pool size one = true
osd data = ${folder}/osd/data
osd objectstore = memstore
memstore device bytes = ${STORE_BYTES}
osd erasure code plugins =
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg autoscale mode = off
mgr data = ${folder}/mgr/data
mgr module path = ${folder}/mgr/modules
mgr stats period = 1
mgr tick period = 1
mds data = ${folder}/mds/data
mds beacon interval = 1
mds beacon grace = 600
mds tick interval = 0.2
mds scatter nudge interval = 0.2
mds dirstat min interval = 0
client mount timeout = 60
client tick interval = 0.2
client caps release delay = 0.2
fuse require active mds = false
rados mon op timeout = 60
[mon.a]
public addrv = [v2:127.0.0.1:${monitorPort}]
`;

const FILE_SYSTEM = [
  { prefix: 'osd new', uuid: STORE_ID },
  { prefix: 'osd pool create', pool: 'data', pg_num: 4, size: 1 },
  { prefix: 'osd pool create', pool: 'metadata', pg_num: 4, size: 1 },
  { prefix: 'fs new', fs_name: 'test', metadata: 'metadata', data: 'data' },
];

const hasPython = (usr: string): boolean =>
  readdirSync(join(usr, 'lib')).some((name) => existsSync(join(usr, 'lib', name, 'encodings')));

class Cluster implements TestCeph {
  readonly path: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'bai-ceph-'));
  readonly #configFile = join(this.#folder, 'ceph.conf');
  readonly #environment: Record<string, string>;
  readonly #servers = new Map<string, { child: Bun.Subprocess; dismiss: () => void }>();

  constructor() {
    this.path = join(this.#folder, 'fuse/mount');
    const usr = folderOfPrograms();
    const libraries = [join(usr, 'lib'), join(usr, '../lib')]
      .filter((folder) => existsSync(folder))
      .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
      .filter((folder) => folder.endsWith('-linux-gnu'));
    this.#environment = {
      PATH: `${join(usr, 'bin')}:${process.env.PATH ?? '/usr/bin:/bin'}`,
      LD_LIBRARY_PATH: [...libraries, ...libraries.map((folder) => join(folder, 'ceph'))].join(':'),
      // Where the library of the manager's Python was unpacked, so was what it runs on.
      ...(hasPython(usr) ? { PYTHONHOME: usr } : {}),
    };
  }

  #log = (name: string): string => join(this.#folder, `${name}.log`);

  /** Runs a program to its end. */
  async #run(name: string, command: readonly string[]): Promise<void> {
    const log = openSync(this.#log(name), 'a');
    const child = Bun.spawn([...command], {
      ...{ stdin: 'ignore', stdout: log, stderr: log, env: this.#environment },
      ...{ timeout: DEADLINE_MS, killSignal: 'SIGKILL' },
    });
    closeSync(log);
    if ((await child.exited) !== 0) throw new Error(`${command[0]} ended with ${child.exitCode}`);
  }

  /** @param mount of the server that mounts the file system, whose janitor removes everything. */
  #start(name: string, command: readonly string[], mount = ''): void {
    const log = openSync(this.#log(name), 'a');
    const child = Bun.spawn([...command, '-f', '-c', this.#configFile], {
      ...{ stdin: 'ignore', stdout: log, stderr: log, env: this.#environment },
    });
    closeSync(log);
    const folder = mount === '' ? join(this.#folder, name) : this.#folder;
    const janitor = hireJanitor(child.pid, folder, 'KILL', mount);
    this.#servers.set(name, { child, dismiss: () => janitor.dismiss() });
  }

  async #up(): Promise<void> {
    const data = ['mon', 'osd', 'mgr', 'mds'].map((name) => `${name}/data`);
    for (const name of [...data, 'mgr/modules', 'fuse/mount']) {
      mkdirSync(join(this.#folder, name), { recursive: true });
    }
    writeFileSync(
      this.#configFile,
      configuration(this.#folder, await freePort(), await freePort()),
    );
    const make = ['--mkfs', '-c', this.#configFile];
    await this.#run('mon', ['ceph-mon', '-i', 'a', ...make]);
    this.#start('mon', ['ceph-mon', '-i', 'a']);
    this.#start('mgr', ['ceph-mgr', '-i', 'a']);
    const commands = FILE_SYSTEM.map((command) => JSON.stringify(command));
    const monitor = join(import.meta.dir, 'ceph-monitor.ts');
    await this.#run('monitor', [process.execPath, monitor, this.#configFile, ...commands]);
    await this.#run('osd', ['ceph-osd', '-i', '0', '--osd-uuid', STORE_ID, ...make]);
    this.#start('osd', ['ceph-osd', '-i', '0']);
    this.#start('mds', ['ceph-mds', '-i', 'a']);
    this.#start('fuse', ['ceph-fuse', this.path], this.path);
  }

  /** Mounted, and the manager has told how much room there is. */
  async #isReady(): Promise<boolean> {
    for (const [name, { child }] of this.#servers) {
      if (child.exitCode !== null) throw new Error(`the server ${name} ended at once`);
    }
    if (!readFileSync('/proc/mounts', 'utf8').includes(` ${this.path} `)) return false;
    return (await statfs(this.path)).blocks > 0;
  }

  async start(): Promise<void> {
    try {
      await this.#up();
      await until(() => this.#isReady(), 'the CephFS is mounted', DEADLINE_MS);
    } catch (error) {
      const logs = readdirSync(this.#folder).filter((name) => name.endsWith('.log'));
      const tails = logs.map((name) => {
        const text = readFileSync(join(this.#folder, name), 'utf8').slice(-1500);
        return `${name}:\n${text}`;
      });
      await this.stop();
      throw new Error(`the CephFS did not start:\n${tails.join('\n')}`, { cause: error });
    }
  }

  async pause(): Promise<void> {
    const child = this.#servers.get('mds')?.child;
    if (!child) throw new Error('the metadata server is not running');
    child.kill('SIGSTOP');
    await until(() => allStopped(child.pid), 'all of the metadata server stands still');
  }

  resume(): void {
    this.#servers.get('mds')?.child.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    Bun.spawnSync(['umount', '--lazy', this.path]);
    for (const { child } of this.#servers.values()) child.kill('SIGKILL');
    await Promise.all([...this.#servers.values()].map(({ child }) => child.exited));
    for (const { dismiss } of this.#servers.values()) dismiss();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Starts a cluster with an empty file system; needs root. */
export async function startTestCeph(): Promise<TestCeph> {
  const cluster = new Cluster();
  await cluster.start();
  return cluster;
}
