/** `ssh`, `scp`, `ssh-config`, and `proxy-stdio`, by which they connect. */
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { relayTunnel } from '../../client/index.ts';
import {
  argument,
  defineCommand,
  flag,
  option,
  optionWithDefault,
  restArguments,
} from '../../common/command.ts';
import { errorCode, UserError } from '../../common/errors.ts';
import { printStatus } from '../../common/glyphs.ts';
import { connect } from '../connect.ts';
import {
  mergeEntries,
  readEntries,
  type SshEntry,
  sshEntry,
  writeEntries,
} from '../ssh/config-file.ts';
import { fetchKey, runSshClient, SESSION_USER, sshSettings } from '../ssh/key.ts';

/** Clients of upstream listen here; ours connect without a local port. */
const port = option(['-p', '--port'], 'PORT', 'Accepted for compatibility; no port is needed.');
const session = argument('SESSION_REF', 'Name or id of the session.');
const CONFIG_NAME = 'backend.ai.config';
const HOST_NAME = /^[\w][\w.-]*$/;

export const ssh = defineCommand({
  help: 'Open a shell in a session, or run a command. Everything else is passed to ssh.',
  positionals: { session, rest: restArguments('SSH_ARGS', 'Options and command for ssh.') },
  options: { port },
  passUnknown: true,
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    const key = await fetchKey(client, args.session, io.env);
    const isOption = (word: string) => word.startsWith('-');
    const at = args.rest.findIndex((word) => !isOption(word));
    const options = at === -1 ? args.rest : args.rest.slice(0, at);
    const command = at === -1 ? [] : args.rest.slice(at);
    const target = `${SESSION_USER}@${hostOf(args.session)}`;
    return await runSshClient('ssh', sshSettings(args.session, key), [
      ...options,
      target,
      ...command,
    ]);
  },
});

/** A name that ssh takes for a host; which one does not matter. */
const hostOf = (name: string): string => (HOST_NAME.test(name) ? name : 'localhost');

export const scp = defineCommand({
  help: 'Copy files to or from a session; paths in it are written work@localhost:PATH or :PATH.',
  positionals: {
    session,
    source: argument('SRC', 'From where.'),
    target: argument('DST', 'To where.'),
    rest: restArguments('SCP_ARGS', 'Options for scp.'),
  },
  options: { port, recursive: flag(['-r', '--recursive'], 'Copy directories.') },
  passUnknown: true,
  async run({ args, options, io, globals }) {
    const client = await connect({ io, globals });
    const key = await fetchKey(client, args.session, io.env);
    const place = (text: string) =>
      text.startsWith(':') ? `${SESSION_USER}@localhost${text}` : text;
    return await runSshClient('scp', sshSettings(args.session, key), [
      ...(options.recursive ? ['-r'] : []),
      ...args.rest,
      place(args.source),
      place(args.target),
    ]);
  },
});

export const proxyStdio = defineCommand({
  help: 'Connect standard input and output with an app of a session, as a ProxyCommand of ssh.',
  positionals: { session, app: argument('APP', 'The app, such as sshd.') },
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    const tunnel = await client.session.tunnel(args.session, { app: args.app });
    process.stdout.on('error', () => tunnel.close());
    await relayTunnel(tunnel, { input: process.stdin, output: process.stdout });
    // Standard input may never end.
    process.stdin.destroy();
    return 0;
  },
});

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    return '';
  }
}

async function replaceFile(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}`;
  await writeFile(draft, text, { mode: 0o600 });
  await chmod(draft, 0o600);
  await rename(draft, path);
}

export const sshConfig = defineCommand({
  help:
    'Write entries for ssh, so that `ssh NAME` and all that is built on it (scp, rsync, VS Code, ' +
    'PyCharm) reach sessions by name. Run it again for further sessions: entries of those that are ' +
    'gone are left out then.',
  positionals: { sessions: restArguments('SESSION', 'Names or ids of running sessions.') },
  options: {
    folder: optionWithDefault(['--folder'], 'PATH', "The client's settings.", '', String),
    print: flag(['--print'], 'Print the entries instead of writing them.'),
  },
  async run({ args, options, io, globals }) {
    if (args.sessions.length === 0) {
      throw new UserError('Name at least one session.', { exitCode: 2 });
    }
    const client = await connect({ io, globals });
    const endpoint = await client.endpoint();
    const entries: SshEntry[] = [];
    for (const name of args.sessions) {
      if (!HOST_NAME.test(name)) throw new UserError(`'${name}' can't be the name of a host.`);
      const key = await fetchKey(client, name, io.env);
      entries.push(sshEntry(name, endpoint, sshSettings(name, key)));
    }
    if (options.print) {
      io.stdout.write(writeEntries(entries));
      return 0;
    }
    const folder = options.folder || join(io.env.HOME || homedir(), '.ssh');
    const file = join(folder, CONFIG_NAME);
    const all = await mergeEntries(readEntries(await textOf(file)), entries, {
      endpoint,
      async isGone(host) {
        const live = await client.session.match(host);
        return !live.some(({ id, name }) => id === host || name === host);
      },
    });
    await replaceFile(file, writeEntries(all));
    const main = join(folder, 'config');
    const include = `Include ${file}`;
    const known = await textOf(main);
    // First, since entries for all hosts would else come before.
    if (!known.split('\n').includes(include)) await replaceFile(main, `${include}\n${known}`);
    printStatus(io.stderr, 'done', `Now \`ssh ${args.sessions[0]}\` works.`);
    return 0;
  },
});
