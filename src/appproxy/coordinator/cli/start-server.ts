/** `app-proxy-coordinator start-server`: runs a coordinator until it is told to stop. */
import { systemClock } from '../../../common/clock.ts';
import type { Logger } from '../../../common/logger.ts';
import { systemRandom } from '../../../common/random.ts';
import { serverCommand } from '../../../logging/server-command.ts';
import { createMemoryLiveStore } from '../../../stores/live/memory.ts';
import { openRedisLiveStore } from '../../../stores/live/redis.ts';
import { openTracer } from '../../../tracing/open.ts';
import { type CoordinatorConfig, loadCoordinatorConfig } from '../config-file.ts';
import { startCoordinator } from '../main.ts';
import { migrateCoordinator } from '../schema.ts';
import { openCoordinatorDatabase } from './database.ts';

const openLive = async ({ redis }: CoordinatorConfig, log: Logger) =>
  redis === null
    ? createMemoryLiveStore({ clock: systemClock })
    : await openRedisLiveStore({ ...redis, log });

export default serverCommand({
  component: 'app-proxy-coordinator',
  title: 'the coordinator',
  configFile: 'app-proxy-coordinator.toml',
  section: '[proxy_coordinator]',
  load: loadCoordinatorConfig,
  async start(config, { log, opened }) {
    const tracer = openTracer('backend.ai-appproxy-coordinator', config.otel, { log });
    opened.defer(() => tracer.close());
    const sql = await openCoordinatorDatabase(config, log);
    opened.defer(() => sql.end({ timeout: 5 }));
    await migrateCoordinator(sql, log);
    const live = await openLive(config, log);
    opened.defer(() => live.close());
    const coordinator = await startCoordinator({
      ...{ settings: config.settings, listen: config.listen, sql, live, log, tracer },
      clock: systemClock,
      random: systemRandom,
    });
    opened.defer(() => coordinator.stop());
  },
});
