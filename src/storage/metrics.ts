/** What the storage proxy tells of its volumes: how large they are and how full. */
import type { Logger } from '../common/logger.ts';
import { lookedUpGauge } from '../metrics/looked-up.ts';
import type { MetricsRegistry } from '../metrics/registry.ts';
import type { Volumes } from './volumes/open.ts';

export function volumeGauges(registry: MetricsRegistry, volumes: Volumes, log: Logger): void {
  const place = { registry, log };
  lookedUpGauge(
    place,
    {
      name: 'backendai_storage_volume_bytes',
      help: 'Size of the file system behind a volume, and what of it is used.',
      labelNames: ['volume', 'kind'],
    },
    async () => {
      const found = await Promise.all(
        volumes.all().map(async (volume) => {
          const { capacityBytes, usedBytes } = await volume.capacity();
          return [
            { labels: { volume: volume.name, kind: 'capacity' }, value: capacityBytes },
            { labels: { volume: volume.name, kind: 'used' }, value: usedBytes },
          ];
        }),
      );
      return found.flat();
    },
  );
}
