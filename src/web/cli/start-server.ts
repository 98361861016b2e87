/** `web start-server`: runs a web server in front of managers until it is told to stop. */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { defineCommand, flag, option } from '../../common/command.ts';
import { errorMessage } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import { systemRandom } from '../../common/random.ts';
import { aborted, endRequested } from '../../common/server-process.ts';
import { serviceReady } from '../../common/service-manager.ts';
import { logLevelOption } from '../../logging/options.ts';
import { openServerLog } from '../../logging/server.ts';
import { createMemoryLiveStore } from '../../stores/live/memory.ts';
import type { LiveStore } from '../../stores/live/port.ts';
import { openRedisLiveStore } from '../../stores/live/redis.ts';
import { openTracer } from '../../tracing/open.ts';
import { loadWebConfig, type WebConfig } from '../config-file.ts';
import { startWebServer } from '../main.ts';

async function openSessions({ redis }: WebConfig, log: Logger): Promise<LiveStore> {
  if (redis !== null) return openRedisLiveStore({ ...redis, log });
  log.warn('sign-ins are kept in this process: they end with it, and managers cannot revoke them', {
    hint: 'Set addr in the [session.redis] section to the Redis that the managers use.',
  });
  return createMemoryLiveStore({ clock: systemClock });
}

export default defineCommand({
  options: {
    config: option(
      ['-f', '--config-path', '--config'],
      'FILE',
      'Configuration of the web server. [default: webserver.conf, looked for in the usual places]',
    ),
    debug: flag(['--debug'], 'Log more.'),
    logLevel: logLevelOption,
  },
  async run({ options, io }) {
    const load = () =>
      loadWebConfig({
        explicitPath: options.config === undefined ? undefined : resolve(io.cwd, options.config),
        places: { cwd: io.cwd, home: io.env.HOME || homedir() },
        env: io.env,
      });
    const config = load();
    const { log, close } = openServerLog({
      component: 'web',
      settings: config.logging,
      level: options.logLevel ?? (options.debug ? 'debug' : null),
      cwd: io.cwd,
      reread: () => load().logging,
    });
    await using opened = new AsyncDisposableStack();
    opened.defer(close);
    const tracer = openTracer('backend.ai-webserver', config.otel, { log });
    opened.defer(() => tracer.close());
    const stop = endRequested();
    const live = await openSessions(config, log);
    opened.defer(() => live.close());
    const { settings } = config;
    const server = await startWebServer({
      settings: {
        ...settings,
        staticPath: settings.staticPath && resolve(io.cwd, settings.staticPath),
      },
      live,
      clock: systemClock,
      random: systemRandom,
      log,
      listen: config.listen,
      serviceListen: config.serviceAddr ?? undefined,
      managerUrl: config.managerUrls,
      tracer,
    });
    opened.defer(() => server.stop());
    opened.use(serviceReady(io.env, systemClock));
    log.info('stopping', { because: errorMessage(await aborted(stop)) });
    return 0;
  },
});
