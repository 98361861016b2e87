/** What the coordinator is, how it is, and what it counts. */
import * as v from 'valibot';
import { errorMessage } from '../../common/errors.ts';
import { VERSION } from '../../common/version.ts';
import { type ApiRoute, metricsRoute, openRoute, secretRoute } from '../shared/api-server.ts';
import { metricsText } from '../shared/metrics.ts';
import { API_VERSION } from '../shared/protocol.ts';
import { listCircuits } from './circuit-store.ts';
import type { CoordinatorService } from './service.ts';
import { listWorkers } from './store.ts';

const anything = v.unknown();

async function metrics({ ctx }: CoordinatorService): Promise<string> {
  const [workers, circuits] = [await listWorkers(ctx.sql), await listCircuits(ctx.sql)];
  const byProtocol = Map.groupBy(circuits, ({ protocol }) => protocol);
  return metricsText([
    {
      name: 'appproxy_alive_circuits',
      type: 'gauge',
      help: 'Circuits that workers serve',
      values: [...byProtocol].map(([protocol, list]) => ({
        labels: { protocol },
        value: list.length,
      })),
    },
    {
      name: 'appproxy_workers',
      type: 'gauge',
      help: 'Workers, by their state',
      values: (['ALIVE', 'LOST'] as const).map((status) => ({
        labels: { status },
        value: workers.filter((worker) => worker.status === status).length,
      })),
    },
  ]);
}

export function systemRoutes(service: CoordinatorService): ApiRoute[] {
  const { sql, settings } = service.ctx;
  const health = async () => {
    const document = { version: VERSION, component: 'appproxy-coordinator' };
    try {
      await sql`SELECT 1`;
      return { status: 'ok', ...document, connectivity: { database: 'ok' } };
    } catch (error) {
      const connectivity = { database: errorMessage(error) };
      return { status: 'error', ...document, connectivity };
    }
  };
  return [
    openRoute('GET', '/', anything, async () => ({ json: { api_version: API_VERSION } })),
    openRoute('GET', '/status', anything, async () => ({
      json: { api_version: API_VERSION, advertise_address: settings.advertisedUrl },
    })),
    openRoute('GET', '/health', anything, async () => ({ json: await health() })),
    openRoute('GET', '/health/livez', anything, async () => ({ json: { status: 'ok' } })),
    openRoute('GET', '/health/readyz', anything, async () => {
      const document = await health();
      return { status: document.status === 'ok' ? 200 : 503, json: document };
    }),
    secretRoute('GET', '/health/status', anything, async () => ({
      json: {
        coordinator_version: VERSION,
        appproxy_api_version: API_VERSION,
        workers: (await listWorkers(sql))
          .filter(({ status }) => status === 'ALIVE')
          .map(({ authority, available_slots, occupied_slots, nodes }) => ({
            ...{ authority, available_slots, occupied_slots, ha_setup: nodes > 1 },
          })),
      },
    })),
    metricsRoute(settings.metricsFrom, () => metrics(service)),
  ];
}
