/** The control API: workers, circuits, slots, sessions; for managers, workers and administrators. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { type ApiRoute, secretRoute } from '../shared/api-server.ts';
import {
  type CircuitInfo,
  heartbeatBody,
  syncBody,
  workerRegistration,
} from '../shared/protocol.ts';
import { circuitsOf, findCircuit, listCircuits, sessionPlaces } from './circuit-store.ts';
import type { CoordinatorService } from './service.ts';
import { slotsOf, workerDocument } from './shape.ts';
import { listWorkers } from './store.ts';

const uuid = v.pipe(v.string(), v.uuid('expected a UUID'), v.toLowerCase());
const anything = v.unknown();
const idList = v.pipe(v.array(uuid), v.maxLength(10_000, 'at most 10000 at a time'));
/** A list, or text with commas. */
const ids = v.union([
  idList,
  v.pipe(
    v.string(),
    v.transform((text) => text.split(',').map((id) => id.trim())),
    idList,
  ),
]);

/** @throws BackendError ObjectNotFound */
function idOf(params: Readonly<Record<string, string>>, what: string): string {
  const parsed = v.safeParse(uuid, params.id);
  if (parsed.success) return parsed.output;
  throw new BackendError('ObjectNotFound', `E00002: No such ${what} ${params.id}.`);
}

async function circuitOf(service: CoordinatorService, id: string): Promise<CircuitInfo> {
  const circuit = await findCircuit(service.ctx.sql, id);
  if (circuit !== null) return circuit;
  throw new BackendError('ObjectNotFound', `E00002: No such circuit ${id}.`);
}

const workerRoutes = (service: CoordinatorService): ApiRoute[] => {
  const { sql } = service.ctx;
  const document = async (id: string) => {
    const worker = await service.worker(id);
    return workerDocument(worker, (await circuitsOf(sql, id))?.circuits ?? []);
  };
  return [
    secretRoute('GET', '/api/worker', anything, async () => {
      const circuits = Map.groupBy(await listCircuits(sql), ({ worker }) => worker);
      const workers = await listWorkers(sql);
      return {
        json: { workers: workers.map((one) => workerDocument(one, circuits.get(one.id) ?? [])) },
      };
    }),
    secretRoute('PUT', '/api/worker', workerRegistration, async (registration) => {
      const { id } = await service.register(registration);
      return { json: await document(id) };
    }),
    secretRoute('GET', '/api/worker/:id', anything, async (_input, { params }) => ({
      json: await document(idOf(params, 'worker')),
    })),
    secretRoute('PATCH', '/api/worker/:id', heartbeatBody, async ({ uses }, { params }) => {
      const { id } = await service.heartbeat(idOf(params, 'worker'), uses);
      return { json: await document(id) };
    }),
    secretRoute('DELETE', '/api/worker/:id', anything, async (_input, { params }) => {
      await service.leave(idOf(params, 'worker'));
      return { json: { success: true } };
    }),
    secretRoute('GET', '/api/worker/:id/circuits', anything, async (_input, { params }) => {
      const { id } = await service.worker(idOf(params, 'worker'));
      return { json: { circuits: (await circuitsOf(sql, id))?.circuits ?? [] } };
    }),
    // Ours: a worker waits for changes of its circuits, and says which it has taken up.
    secretRoute('POST', '/api/worker/:id/sync', syncBody, async (given, { params, signal }) => ({
      json: await service.sync(idOf(params, 'worker'), {
        version: given.version,
        failed: given.failed,
        waitMs: given.wait_sec * 1000,
        signal,
      }),
    })),
  ];
};

const circuitRoutes = (service: CoordinatorService): ApiRoute[] => {
  const { sql, live, clock } = service.ctx;
  return [
    secretRoute('GET', '/api/circuit/:id', anything, async (_input, { params }) => ({
      json: await circuitOf(service, idOf(params, 'circuit')),
    })),
    secretRoute('GET', '/api/circuit/:id/statistics', anything, async (_input, { params }) => {
      const circuit = await circuitOf(service, idOf(params, 'circuit'));
      const [seconds, requests] = await live.getMany([
        `circuit.${circuit.id}.last_access`,
        `circuit.${circuit.id}.requests`,
      ]);
      const lastAccessMs =
        seconds == null ? Date.parse(circuit.created_at) : Math.round(Number(seconds) * 1000);
      const isCollected = circuit.app_mode === 'interactive' && circuit.protocol !== 'tcp';
      const unusedMs = clock.now().getTime() - lastAccessMs;
      const ttl = Math.max(0, Math.ceil((service.ctx.settings.unusedCircuitMs - unusedMs) / 1000));
      return {
        json: {
          ...circuit,
          requests: Number(requests ?? 0),
          last_access: lastAccessMs,
          ttl: isCollected ? ttl : null,
        },
      };
    }),
    secretRoute(
      'DELETE',
      '/api/circuit/_/bulk',
      v.object({ circuit_ids: ids }),
      async ({ circuit_ids }) => {
        await service.close({ ids: circuit_ids });
        return { json: { success: true } };
      },
    ),
    secretRoute('DELETE', '/api/circuit/:id', anything, async (_input, { params }) => {
      const { id } = await circuitOf(service, idOf(params, 'circuit'));
      await service.close({ ids: [id] });
      return { json: { success: true } };
    }),
    secretRoute(
      'GET',
      '/api/slots',
      v.object({
        wsproxy_host: v.optional(v.string()),
        in_use: v.optional(v.string(), 'false'),
      }),
      async ({ wsproxy_host, in_use }) => {
        const byWorker = Map.groupBy(await listCircuits(sql), ({ worker }) => worker);
        const workers = (await listWorkers(sql)).filter(
          ({ authority }) => wsproxy_host === undefined || authority === wsproxy_host,
        );
        const onlyUsed = /^(true|1)$/i.test(in_use);
        return {
          json: {
            slots: workers.flatMap((one) => slotsOf(one, byWorker.get(one.id) ?? [], onlyUsed)),
          },
        };
      },
    ),
  ];
};

const movedBody = v.object({
  sessions: v.pipe(
    v.array(
      v.object({
        session_id: uuid,
        kernel_host: v.pipe(v.string(), v.nonEmpty(), v.maxLength(255)),
      }),
    ),
    v.maxLength(1_000, 'at most 1000 at a time'),
  ),
});

/** Ours: managers tell which sessions are over or elsewhere, and ask which ones there are. */
const sessionRoutes = (service: CoordinatorService): ApiRoute[] => [
  secretRoute('GET', '/api/session', anything, async () => {
    const places = await sessionPlaces(service.ctx.sql);
    return { json: { session_ids: places.map(({ session_id }) => session_id), places } };
  }),
  secretRoute('POST', '/api/session/_/moved', movedBody, async ({ sessions }) => ({
    json: { circuit_ids: await service.moveSessions(sessions) },
  })),
  secretRoute(
    'POST',
    '/api/session/_/ended',
    v.object({ session_ids: idList }),
    async ({ session_ids }) => ({
      json: { circuit_ids: await service.closeSessions(session_ids) },
    }),
  ),
];

export const controlRoutes = (service: CoordinatorService): ApiRoute[] => [
  ...workerRoutes(service),
  ...circuitRoutes(service),
  ...sessionRoutes(service),
];
