/** `proxy`: the API at a port of this machine, without signatures. */
import { defineCommand, integer, optionWithDefault } from '../../common/command.ts';
import { printStatus } from '../../common/glyphs.ts';
import { connect } from '../connect.ts';
import { startApiProxy } from '../proxy/server.ts';

export default defineCommand({
  help:
    'Pass requests to a port of this machine on to the API, signed with your keys, until interrupted. ' +
    'Whoever reaches that port, web pages that you visit included, acts as you: only for development.',
  options: {
    bind: optionWithDefault(['--bind'], 'HOST', 'Address to listen on.', 'localhost', String),
    port: optionWithDefault(
      ['-p', '--port'],
      'PORT',
      'Port to listen on.',
      8084,
      integer({ min: 0, max: 65_535 }),
    ),
  },
  async run({ options, io, globals }) {
    const client = await connect({ io, globals });
    const proxy = startApiProxy(client, { hostname: options.bind, port: options.port }, (message) =>
      printStatus(io.stderr, 'fail', message),
    );
    const target = await client.endpoint();
    printStatus(
      io.stdout,
      'info',
      `${target} is available, without signing, at ${proxy.url.origin}`,
    );
    await new Promise<void>((resolve) => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
    });
    await proxy.stop();
    return 0;
  },
});
