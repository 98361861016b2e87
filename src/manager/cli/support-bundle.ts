/** `mgr support-bundle`: what others need to see of a cluster in trouble, without its secrets. */
import { join, resolve } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { defineCommand, optionalArgument } from '../../common/command.ts';
import { printStatus } from '../../common/glyphs.ts';
import {
  configOptions,
  readConfig,
  timeInName,
  withConfigStore,
  withDatabase,
  withLiveStore,
} from './context.ts';

export default defineCommand({
  help:
    'Write what others need to see of a cluster in trouble to one file: configuration, logs, states, ' +
    'failures, metrics. Passwords, keys, tokens and addresses of people are taken out. Look at it ' +
    'before you send it.',
  options: configOptions,
  positionals: {
    file: optionalArgument('FILE', 'Where to write it. [default: named by the time]'),
  },
  async run({ options, args, io }) {
    const invocation = { io, configPath: options.config, logLevel: 'ERROR' };
    const { path, logging, internalAddr } = readConfig(invocation);
    const file = resolve(
      io.cwd,
      args.file ?? `backend.ai-support-${timeInName(systemClock.now())}.tar.gz`,
    );
    const { writeSupportBundle } = await import('../support/bundle.ts');
    const log = logging.file;
    const host = ['0.0.0.0', '::'].includes(internalAddr.host) ? '127.0.0.1' : internalAddr.host;
    const { entries, problems } = await writeSupportBundle(
      {
        clock: systemClock,
        configFile: path,
        logFile: log === null ? null : resolve(io.cwd, join(log.path, log.filename)),
        metricsUrl: `http://${host}:${internalAddr.port}/metrics`,
        withDatabase: (work) => withDatabase(invocation, work),
        withConfigStore: (work) => withConfigStore(invocation, work),
        pingRedis: () => withLiveStore(invocation, (live) => live.ping()),
      },
      file,
    );
    for (const [what, why] of Object.entries(problems)) {
      printStatus(io.stderr, 'warn', `Could not read ${what}: ${why}`);
    }
    io.stdout.write(`Wrote ${file} with ${entries.length} files.\n`);
    return 0;
  },
});
