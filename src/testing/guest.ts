/**
 * A Linux kernel in a process (User-Mode Linux, from Debian), for tests of what the kernel of this
 * machine was built without. It sees this machine's files as its own root, and a disk beside them.
 */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { missingTool } from './services.ts';

const KERNEL = 'linux.uml';
const MEMORY = '1024M';
/** Booting takes a few seconds; the machine may be busy. */
const DEADLINE_MS = 300_000;

/** Why no guest can be started here; null when one can. */
export function missingGuest(): string | null {
  if (process.platform !== 'linux') return 'User-Mode Linux runs on Linux only';
  if (process.getuid?.() !== 0) return 'a guest that can mount needs root';
  return missingTool(KERNEL, 'user-mode-linux');
}

/** Single quotes for sh. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

const initOf = (
  folder: string,
  setup: string,
  command: readonly string[],
  env: string,
) => `#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin ${env}
mount -t proc proc /proc && mount -t tmpfs tmpfs /run
ip link set lo up
{ ${setup}
} && ${command.map(quoted).join(' ')}
echo $? >${quoted(join(folder, 'exit'))}
sync
halt -f
`;

export interface GuestRun {
  /** Shell commands with which the guest gets ready; its disk is /dev/ubda. */
  readonly setup: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Of the disk, which is empty and takes space only where it is written to. */
  readonly diskMib: number;
}

/** Runs a command as root in a guest of its own. @returns its exit code, and what the console showed. */
export async function runInGuest({ setup, command, env, diskMib }: GuestRun) {
  const folder = mkdtempSync(join(tmpdir(), 'bai-guest-'));
  try {
    const [init, disk] = [join(folder, 'init'), join(folder, 'disk')];
    const variables = Object.entries({ HOME: folder, ...env }).map(([k, v]) => `${k}=${quoted(v)}`);
    writeFileSync(init, initOf(folder, setup, command, variables.join(' ')), { mode: 0o755 });
    writeFileSync(disk, '');
    truncateSync(disk, diskMib * 1024 * 1024);
    const kernel = Bun.spawn(
      [
        ...[KERNEL, `mem=${MEMORY}`, 'quiet', `uml_dir=${folder}`, 'umid=guest'],
        ...['root=/dev/root', 'rootfstype=hostfs', 'rootflags=/', 'rw', `init=${init}`],
        ...[`ubda=${disk}`, 'con=null', 'con0=null,fd:1'],
      ],
      {
        stdin: 'ignore',
        stdout: 'pipe',
        stderr: 'pipe',
        timeout: DEADLINE_MS,
        killSignal: 'SIGKILL',
      },
    );
    const [console] = await Promise.all([
      new Response(kernel.stdout).text(),
      new Response(kernel.stderr).text(),
      kernel.exited,
    ]);
    const exit = await Bun.file(join(folder, 'exit'))
      .text()
      .catch(() => '');
    return { exitCode: exit === '' ? null : Number(exit), console };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
