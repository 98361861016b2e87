/** `app-proxy-worker start-server`: runs a worker until it is told to stop. */
import { systemClock } from '../../../common/clock.ts';
import { systemRandom } from '../../../common/random.ts';
import { serverCommand } from '../../../logging/server-command.ts';
import { openTracer } from '../../../tracing/open.ts';
import { loadWorkerConfig } from '../config-file.ts';
import { startWorker } from '../main.ts';

export default serverCommand({
  component: 'app-proxy-worker',
  title: 'the worker',
  configFile: 'app-proxy-worker.toml',
  section: '[proxy_worker]',
  load: loadWorkerConfig,
  async start({ settings, otel }, { log, opened }) {
    const tracer = openTracer('backend.ai-appproxy-worker', otel, { log });
    opened.defer(() => tracer.close());
    const worker = await startWorker({
      ...{ settings, tracer, log },
      ...{ clock: systemClock, random: systemRandom },
    });
    opened.defer(() => worker.stop());
  },
});
