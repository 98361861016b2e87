/** `app-proxy-worker start-server`: runs a worker until it is told to stop. */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { systemClock } from '../../../common/clock.ts';
import { defineCommand, flag, option } from '../../../common/command.ts';
import { errorMessage } from '../../../common/errors.ts';
import { systemRandom } from '../../../common/random.ts';
import { aborted, endRequested, pidFile } from '../../../common/server-process.ts';
import { serviceReady } from '../../../common/service-manager.ts';
import { logLevelOption } from '../../../logging/options.ts';
import { openServerLog } from '../../../logging/server.ts';
import { loadWorkerConfig } from '../config-file.ts';
import { startWorker } from '../main.ts';

export default defineCommand({
  options: {
    config: option(
      ['-f', '--config-path', '--config'],
      'FILE',
      'Configuration of the worker. [default: app-proxy-worker.toml, looked for in the usual places]',
    ),
    debug: flag(['--debug'], 'Log more.'),
    logLevel: logLevelOption,
  },
  async run({ options, io }) {
    const load = () =>
      loadWorkerConfig({
        explicitPath: options.config === undefined ? undefined : resolve(io.cwd, options.config),
        places: { cwd: io.cwd, home: io.env.HOME || homedir() },
        env: io.env,
      });
    const config = load();
    const { log, close } = openServerLog({
      component: 'app-proxy-worker',
      settings: config.logging,
      level: options.logLevel ?? (options.debug ? 'debug' : null),
      cwd: io.cwd,
      reread: () => load().logging,
    });
    await using opened = new AsyncDisposableStack();
    opened.defer(close);
    for (const key of config.withoutEffect) log.debug('a setting has no effect', { key });
    const stop = endRequested();
    const worker = await startWorker({
      settings: config.settings,
      clock: systemClock,
      random: systemRandom,
      log,
    });
    opened.defer(() => worker.stop());
    if (config.pidFile !== null) {
      opened.use(await pidFile(resolve(io.cwd, config.pidFile), '[proxy_worker]'));
    }
    opened.use(serviceReady(io.env, systemClock));
    log.info('stopping', { because: errorMessage(await aborted(stop)) });
    return 0;
  },
});
