/** `web start-server`: runs a web server in front of managers until it is told to stop. */
import { resolve } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import type { Logger } from '../../common/logger.ts';
import { systemRandom } from '../../common/random.ts';
import { serverCommand } from '../../logging/server-command.ts';
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

export default serverCommand({
  component: 'web',
  title: 'the web server',
  configFile: 'webserver.conf',
  section: '[service]',
  load: loadWebConfig,
  async start(config, { io, log, opened }) {
    const tracer = openTracer('backend.ai-webserver', config.otel, { log });
    opened.defer(() => tracer.close());
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
  },
});
