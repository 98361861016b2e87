/** How `ssh` and its like reach a session: through this program, with the key that lies in the session. */
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from '../../client/index.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import { selfCommand } from '../../common/executable.ts';
import { downloadFiles } from '../session/transfer.ts';
import { sshFolder } from '../state.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The user that sessions run as. */
export const SESSION_USER = 'work';
const KEY_FILE = 'id_container';

/** Fetches the private key that lets us into a session. @returns its path. @throws UserError. */
export async function fetchKey(client: Client, session: string, env: Environment): Promise<string> {
  const name = new Bun.CryptoHasher('sha256').update(session).digest('hex').slice(0, 16);
  const folder = join(sshFolder(env), name);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  try {
    await downloadFiles(client, session, [KEY_FILE], folder, () => undefined);
  } catch (error) {
    throw new UserError(
      `The SSH key of session '${session}' can't be had: ${errorMessage(error)}`,
      {
        hint: `It is the file ${KEY_FILE} in the session's home. Is the session running?`,
        cause: error,
      },
    );
  }
  const path = join(folder, KEY_FILE);
  await chmod(path, 0o600);
  return path;
}

const quoted = (word: string): string =>
  /^[\w./:@=+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** The command by which an SSH client connects. */
export const proxyCommand = (session: string): string =>
  // `%` begins what the client fills in.
  [...selfCommand(), 'proxy-stdio', session, 'sshd'].map(quoted).join(' ').replaceAll('%', '%%');

/**
 * Options of OpenSSH's clients for a session, by name. Whose host key it is need not be asked: the
 * manager has connected us with that very session.
 */
export const sshSettings = (session: string, key: string): [string, string][] => [
  ['ProxyCommand', proxyCommand(session)],
  ['IdentityFile', key],
  ['IdentitiesOnly', 'yes'],
  ['User', SESSION_USER],
  ['StrictHostKeyChecking', 'no'],
  ['UserKnownHostsFile', '/dev/null'],
  ['LogLevel', 'ERROR'],
];

/**
 * Runs a client of OpenSSH in the terminal of this program.
 * @returns its exit code. @throws UserError when it is not installed.
 */
export async function runSshClient(
  program: 'ssh' | 'scp',
  settings: readonly (readonly [string, string])[],
  args: readonly string[],
): Promise<number> {
  const path = Bun.which(program);
  if (path === null) {
    throw new UserError(`${program} is not installed.`, {
      hint: 'It is part of OpenSSH: `apt-get install openssh-client` or its like.',
    });
  }
  const options = settings.flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  const child = Bun.spawn([path, ...options, ...args], {
    stdin: 'inherit',
    stdout: 'inherit',
    stderr: 'inherit',
  });
  // Ctrl-C is for what runs in the session.
  process.on('SIGINT', () => undefined);
  return await child.exited;
}
