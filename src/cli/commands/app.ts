/** `app` and `apps`: apps of a session at a port of this machine, and what there is. */
import { createServer, type Server, type Socket } from 'node:net';
import { type Client, relaySocket, type SessionApp } from '../../client/index.ts';
import {
  argument,
  defineCommand,
  flag,
  optionWithDefault,
  repeated,
  restArguments,
  UsageError,
} from '../../common/command.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import { printStatus } from '../../common/glyphs.ts';
import { connect } from '../connect.ts';
import { printJson } from '../output/json.ts';

/** Connections at one time through one `app`. */
const MAX_CONNECTIONS = 256;

/** Where to listen: `[HOST:]PORT`. */
function parseBind(text: string): { host: string; port: number } {
  const [, host = '127.0.0.1', digits = ''] = /^(?:\[?([^\]]+?)\]?:)?(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === '' || port > 65_535)
    throw new UsageError(`'${text}' is not of the form [HOST:]PORT.`);
  return { host, port };
}

/** `name=value`, or just a name, which stands for null. */
function pairs(texts: readonly string[]): Record<string, string | null> {
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf('=');
      return at === -1 ? [text, null] : [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

interface Target {
  readonly session: string;
  readonly app: string;
  readonly envs: Record<string, string>;
  readonly arguments: Record<string, string | null>;
}

/** What a browser or other HTTP client is told in place of the app. */
function refuse(socket: Socket, message: string): void {
  const body = `${message}\n`;
  const head = `HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n`;
  const length = `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n`;
  socket.end(`${head}${length}${body}`);
}

async function serve(
  client: Client,
  { session, ...start }: Target,
  socket: Socket,
  isHttp: boolean,
): Promise<string | null> {
  try {
    const tunnel = await client.session.tunnel(session, start);
    await relaySocket(tunnel, socket);
    return null;
  } catch (error) {
    const message = errorMessage(error);
    if (isHttp && socket.bytesWritten === 0) refuse(socket, message);
    else socket.destroy();
    return message;
  }
}

function listening(server: Server, where: { host: string; port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new UserError(`${where.host}:${where.port} can't be listened on: ${error.message}`, {
          hint: 'Choose another address with --bind.',
        }),
      ),
    );
    server.listen(where, () => {
      const address = server.address();
      resolve(address !== null && typeof address === 'object' ? address.port : where.port);
    });
  });
}

function addressOf(app: SessionApp, host: string, port: number): string {
  const protocol = app.protocol === 'tcp' ? 'tcp' : 'http';
  return (app.url_template || '{protocol}://{host}:{port}')
    .replaceAll('{protocol}', protocol)
    .replaceAll('{host}', host)
    .replaceAll('{port}', String(port));
}

export const app = defineCommand({
  help: 'Make an app of a session available at a port of this machine, until interrupted.',
  positionals: {
    session: argument('SESSION_NAME', 'Name or id of the session.'),
    app: argument('APP', 'The app; `apps` lists them.'),
  },
  options: {
    bind: optionWithDefault(
      ['-b', '--bind'],
      '[HOST:]PORT',
      'Where to listen.',
      '127.0.0.1:8080',
      String,
    ),
    arguments: repeated(['--arg'], 'NAME=VALUE', 'An argument for the app.'),
    envs: repeated(['-e', '--env'], 'NAME=VALUE', 'A variable for the app.'),
  },
  async run({ args, options, io, globals }) {
    const bind = parseBind(options.bind);
    const client = await connect({ io, globals });
    const found = (await client.session.apps(args.session)).find(({ name }) => name === args.app);
    if (found === undefined) {
      printStatus(io.stderr, 'fail', `The app "${args.app}" is not supported by the session.`);
      return 1;
    }
    const envs = Object.entries(pairs(options.envs)).map(([name, value]) => [name, value ?? '']);
    const target: Target = {
      session: args.session,
      app: args.app,
      envs: Object.fromEntries(envs),
      arguments: pairs(options.arguments),
    };
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      void serve(client, target, socket, found.protocol !== 'tcp').then((failure) => {
        if (failure !== null) printStatus(io.stderr, 'fail', failure);
      });
    });
    server.maxConnections = MAX_CONNECTIONS;
    const port = await listening(server, bind);
    const address = addressOf(found, bind.host, port);
    printStatus(
      io.stdout,
      'info',
      `A local proxy to the application "${args.app}" provided by the session "${args.session}" ` +
        `is available at:\n${address}`,
    );
    await new Promise<void>((resolve) => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
    });
    server.close();
    printStatus(io.stdout, 'info', `The local proxy to "${args.app}" has terminated.`);
    return 0;
  },
});

export const apps = defineCommand({
  help: 'Show the apps of a session and what can be passed to them.',
  positionals: {
    session: argument('SESSION_NAME', 'Name or id of the session.'),
    names: restArguments('APP_NAME', 'Only these.'),
  },
  options: { listNames: flag(['-l', '--list-names'], 'Show names only.') },
  async run({ args, options, io, globals }) {
    const client = await connect({ io, globals });
    const all = await client.session.apps(args.session);
    const shown =
      args.names.length === 0 ? all : all.filter(({ name }) => args.names.includes(name));
    if (globals.output === 'json') printJson(io, shown);
    else if (options.listNames) {
      const names = shown.map(({ name }) => name).join(', ');
      io.stdout.write(`This session provides the following app services: ${names}\n`);
    } else for (const one of shown) io.stdout.write(describe(one));
    return 0;
  },
});

function describe({ name, protocol, ports, allowed_arguments, allowed_envs }: SessionApp): string {
  const lines = [`${name} (${protocol}, port ${ports.join(', ')})`];
  if (allowed_arguments) lines.push(`  Available arguments: ${allowed_arguments.join(', ')}`);
  if (allowed_envs) lines.push(`  Available environment variables: ${allowed_envs.join(', ')}`);
  return `${lines.join('\n')}\n`;
}
