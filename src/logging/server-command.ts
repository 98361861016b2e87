/** `start-server` of a component: its options, its log and the life of its process are the same for all. */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { systemClock } from '../common/clock.ts';
import { type Command, type CommandIo, defineCommand, flag, option } from '../common/command.ts';
import type { LoggingSettings } from '../common/config/sections.ts';
import { errorMessage } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import { aborted, endRequested, pidFile } from '../common/server-process.ts';
import { serviceReady } from '../common/service-manager.ts';
import { logLevelOption } from './options.ts';
import { openServerLog } from './server.ts';

/** What every configuration file has. */
interface ServerConfig {
  readonly logging: LoggingSettings;
  /** null: none is written. */
  readonly pidFile?: string | null;
  /** What the file sets and nothing reads. */
  readonly withoutEffect?: readonly string[];
}

/** Where a configuration file is looked for. */
interface ConfigSource {
  /** Given on the command line, absolute. */
  readonly explicitPath: string | undefined;
  readonly places: { readonly cwd: string; readonly home: string };
  readonly env: CommandIo['env'];
}

interface ServerParts {
  readonly io: CommandIo;
  readonly log: Logger;
  /** What is put here is closed in reverse order when the server is told to stop. */
  readonly opened: AsyncDisposableStack;
}

interface Server<C extends ServerConfig> {
  /** As its records are marked. */
  readonly component: string;
  /** As people call it, for help: `the web server`. */
  readonly title: string;
  readonly configFile: string;
  /** Its own section of that file, with brackets: what hints name. */
  readonly section: string;
  /** @throws UserError when there is no usable configuration. */
  load(source: ConfigSource): C;
  /** Resolves once it serves. */
  start(config: C, parts: ServerParts): Promise<void>;
}

/** A command that runs a server until it is told to stop. */
export const serverCommand = <C extends ServerConfig>(server: Server<C>): Command =>
  defineCommand({
    options: {
      config: option(
        ['-f', '--config-path', '--config'],
        'FILE',
        `Configuration of ${server.title}. [default: ${server.configFile}, looked for in the usual places]`,
      ),
      debug: flag(['--debug'], 'Log more.'),
      logLevel: logLevelOption,
    },
    async run({ options, io }) {
      const load = () =>
        server.load({
          explicitPath: options.config === undefined ? undefined : resolve(io.cwd, options.config),
          places: { cwd: io.cwd, home: io.env.HOME || homedir() },
          env: io.env,
        });
      const config = load();
      const { log, close } = openServerLog({
        component: server.component,
        settings: config.logging,
        level: options.logLevel ?? (options.debug ? 'debug' : null),
        cwd: io.cwd,
        reread: () => load().logging,
      });
      await using opened = new AsyncDisposableStack();
      opened.defer(close);
      for (const key of config.withoutEffect ?? []) log.debug('a setting has no effect', { key });
      const stop = endRequested();
      await server.start(config, { io, log, opened });
      if (config.pidFile) {
        opened.use(await pidFile(resolve(io.cwd, config.pidFile), server.section));
      }
      opened.use(serviceReady(io.env, systemClock));
      log.info('stopping', { because: errorMessage(await aborted(stop)) });
      return 0;
    },
  });
