/** `login`, `logout`, `update-password`, `update-password-no-auth`: one's own account. */
import type { Client, LoginResult } from '../../client/index.ts';
import { argument, type CommandContext, defineCommand } from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { printStatus } from '../../common/glyphs.ts';
import { type Connection, connect, openConnection } from '../connect.ts';
import { askHiddenLine, askLine, LineReader } from '../framework/prompt.ts';
import { printJson } from '../output/json.ts';
import { rememberName } from '../state.ts';

type Where = Pick<CommandContext, 'io' | 'globals'>;

/** A connection to a web server, the only place where one signs in. */
async function webConnection(where: Where): Promise<Connection> {
  const connection = await openConnection(where);
  if (connection.client.config.endpointType === 'session') return connection;
  throw new UserError('Keypairs need no sign-in; signing in is for web servers.', {
    hint: 'Set BACKEND_ENDPOINT_TYPE=session and BACKEND_ENDPOINT to the address of a web server.',
  });
}

function printDone({ io, globals }: Where, text: string): void {
  if (globals.output === 'json') printJson(io, { ok: true });
  else printStatus(io.stderr, 'done', text);
}

async function signIn({ io }: Where, client: Client, lines: LineReader): Promise<LoginResult> {
  const username = (await askLine(io, lines, 'User ID: ')).trim();
  const password = await askHiddenLine(io, lines, 'Password: ');
  let result = await client.auth.login(username, password);
  if (result.kind === 'needs-otp') {
    const otp = await askLine(io, lines, 'One-time Password: ');
    result = await client.auth.login(username, password, otp.trim());
  }
  if (result.kind === 'signed-in') rememberName(io.env, username);
  return result;
}

export const login = defineCommand({
  help: 'Sign in at a web server. The commands that follow act in your name until `logout`.',
  async run({ io, globals }) {
    const { client, saveSignIns } = await webConnection({ io, globals });
    const result = await signIn({ io, globals }, client, new LineReader(io.input));
    if (result.kind !== 'signed-in') {
      const hint = result.kind === 'refused' ? result.reason : 'The one-time password is missing.';
      throw new UserError('Login failed.', { hint });
    }
    saveSignIns();
    printDone({ io, globals }, 'Login succeeded.');
    return 0;
  },
});

export const logout = defineCommand({
  help: 'Sign out of the web server.',
  async run({ io, globals }) {
    const { client, saveSignIns } = await webConnection({ io, globals });
    await client.auth.logout();
    rememberName(io.env, null);
    saveSignIns();
    printDone({ io, globals }, 'Logout done.');
    return 0;
  },
});

function refuse(reason: string | null): void {
  if (reason !== null) {
    throw new UserError('The password stays as it is.', { hint: reason });
  }
}

export const updatePassword = defineCommand({
  help: 'Replace your password.',
  positionals: {
    old: argument('OLD_PASSWORD', 'Your present password.'),
    fresh: argument('NEW_PASSWORD', 'The new one.'),
    again: argument('NEW_PASSWORD2', 'The new one again.'),
  },
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    refuse(await client.auth.updatePassword(args.old, args.fresh, args.again));
    printDone({ io, globals }, 'Password updated.');
    return 0;
  },
});

export const updatePasswordNoAuth = defineCommand({
  help: 'Replace a password that has expired, without being signed in.',
  positionals: {
    domain: argument('DOMAIN', 'The domain of the account.'),
    username: argument('USER_ID', 'E-mail address of the account.'),
    currentPassword: argument('CURRENT_PASSWORD', 'The expired password.'),
    newPassword: argument('NEW_PASSWORD', 'The new one.'),
  },
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    refuse(await client.auth.replaceExpiredPassword(args));
    printDone({ io, globals }, 'Password updated.');
    return 0;
  },
});
