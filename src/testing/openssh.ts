/** Real clients of OpenSSH, and rsync, for tests. */
import { join } from 'node:path';
import { missingTool } from './services.ts';

const TIMEOUT_MS = 60_000;

/** Why the clients can't be used here; null when they can. */
export const missingForSsh = (): string | null =>
  missingTool('ssh', 'openssh-client') ?? missingTool('rsync', 'rsync');

export interface SshTarget {
  /** Folder with the private key `id_container`. */
  readonly keyFolder: string;
  /** A port of 127.0.0.1, or the command that connects (ProxyCommand). */
  readonly to: number | string;
}

/** Options of `ssh`, `scp` and `sftp` that reach a session and trust nothing of this machine. */
export const sshOptions = ({ keyFolder, to }: SshTarget): string[] =>
  [
    'StrictHostKeyChecking=no',
    'UserKnownHostsFile=/dev/null',
    'LogLevel=ERROR',
    'BatchMode=yes',
    'ConnectTimeout=20',
    'IdentitiesOnly=yes',
    `IdentityFile=${join(keyFolder, 'id_container')}`,
    typeof to === 'number' ? `Port=${to}` : `ProxyCommand=${to}`,
  ].flatMap((option) => ['-o', option]);

export interface Finished {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

/** Runs a client to its end. @param options.input what it reads; nothing without. */
export async function runClient(
  command: readonly string[],
  options: { input?: string | Blob; env?: Record<string, string>; cwd?: string } = {},
): Promise<Finished> {
  const child = Bun.spawn([...command], {
    stdin: options.input === undefined ? 'ignore' : new Blob([options.input]),
    stdout: 'pipe',
    stderr: 'pipe',
    // Whatever of this machine's settings could get in the way.
    env: { PATH: process.env.PATH ?? '', HOME: '/nonexistent', ...options.env },
    cwd: options.cwd ?? '/',
    timeout: TIMEOUT_MS,
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, exitCode };
}

/** Runs a command in the session by `ssh`. */
export const sshRun = (
  target: SshTarget,
  args: readonly string[],
  options: Parameters<typeof runClient>[1] = {},
): Promise<Finished> =>
  runClient(['ssh', '-F', '/dev/null', ...sshOptions(target), 'work@127.0.0.1', ...args], options);
