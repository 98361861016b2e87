/** Volumes, quota scopes, and whether the proxy is well. */
import * as v from 'valibot';
import { VERSION } from '../../common/version.ts';
import type { StorageContext } from '../context.ts';
import { quotaScopeId } from '../ids.ts';
import { StorageError } from '../problems.ts';
import type { Volume } from '../volumes/volume.ts';
import { type ManagerRoute, noContent, ok, openRoute, route } from './route.ts';

const volumeOnly = v.object({ volume: v.string() });
const scopeParams = v.object({ volume: v.string(), qsid: quotaScopeId });
const limit = v.object({
  limit_bytes: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER)),
});

function deprecated(): never {
  throw new StorageError(
    'InvalidParameters',
    'Quotas of single folders are no more. Use the quota scope of their owner: /quota-scope.',
  );
}

/** Paths and names of servers are not for everybody, who may ask for this. */
async function lookAt(volume: Volume): Promise<string | null> {
  const [capacity, { status }] = await Promise.all([
    volume.capacity().catch(() => null),
    volume.backend.hardware(),
  ]);
  if (capacity === null) return 'the file system does not answer';
  return ['offline', 'unavailable'].includes(status) ? `the storage is ${status}` : null;
}

/** Volumes that are looked at; everybody may ask, and some start a program for it. */
const looking = new WeakMap<Volume, Promise<string | null>>();

function complaintOf(volume: Volume): Promise<string | null> {
  const running = looking.get(volume);
  if (running) return running;
  const look = lookAt(volume).finally(() => looking.delete(volume));
  looking.set(volume, look);
  return look;
}

/** Which volumes answer. */
async function health({ volumes }: StorageContext) {
  const checks = await Promise.all(
    volumes.all().map(async (volume) => {
      const problem = await complaintOf(volume);
      return {
        component_id: `volume:${volume.name}`,
        is_healthy: problem === null,
        error: problem,
      };
    }),
  );
  const isWell = checks.every(({ is_healthy }) => is_healthy);
  return {
    isWell,
    document: {
      status: isWell ? 'ok' : 'degraded',
      version: VERSION,
      component: 'storage-proxy',
      connectivity: { overall_healthy: isWell, connectivity_checks: checks },
    },
  };
}

export function volumeRoutes(context: StorageContext): ManagerRoute[] {
  const { volumes } = context;
  const status = async () => ok({ status: 'ok', type: 'manager-facing', 'storage-proxy': VERSION });
  const probe = async () => {
    const { isWell, document } = await health(context);
    return { status: isWell ? 200 : 503, json: document };
  };
  return [
    openRoute('/', status),
    openRoute('/status', status),
    openRoute('/health', async () => ok((await health(context)).document)),
    openRoute('/livez', probe),
    openRoute('/readyz', probe),
    route('GET', '/volumes', v.object({}), async () =>
      ok({
        volumes: volumes.all().map(({ name, backend, path, fsprefix, capabilities }) => ({
          ...{ name, backend: backend.name, path, fsprefix, capabilities },
        })),
      }),
    ),
    route('GET', '/volume/hwinfo', volumeOnly, async (params) => {
      const { status, statusInfo, metadata } = await volumes
        .require(params.volume)
        .backend.hardware();
      return ok({ status, status_info: statusInfo, metadata });
    }),
    route('GET', '/volume/performance-metric', volumeOnly, async (params) => {
      const volume = volumes.require(params.volume);
      const { performance, name } = volume.backend;
      if (performance === null) {
        throw new StorageError(
          'UnsupportedOperation',
          `The volume ${volume.name} has no performance metrics: its backend is ${name}.`,
        );
      }
      const metric = await performance();
      return ok({
        metric: {
          iops_read: metric.iopsRead,
          iops_write: metric.iopsWrite,
          io_bytes_read: metric.ioBytesRead,
          io_bytes_write: metric.ioBytesWrite,
          io_usec_read: metric.ioUsecRead,
          io_usec_write: metric.ioUsecWrite,
        },
        observed_at: context.clock.now().toISOString(),
      });
    }),
    route('GET', '/volume/quota', v.unknown(), async () => deprecated()),
    route('PATCH', '/volume/quota', v.unknown(), async () => deprecated()),
    ...scopeRoutes(context),
  ];
}

function scopeRoutes({ volumes }: StorageContext): ManagerRoute[] {
  return [
    route(
      'POST',
      '/quota-scope',
      v.object({ ...scopeParams.entries, options: v.nullish(limit) }),
      async ({ volume, qsid, options }) => {
        try {
          await volumes.require(volume).createScope(qsid, options?.limit_bytes ?? null);
        } catch (error) {
          if (!(error instanceof StorageError) || error.problem !== 'QuotaScopeExists') throw error;
          return { status: 409, json: { msg: error.message } };
        }
        return noContent;
      },
    ),
    route('GET', '/quota-scope', scopeParams, async ({ volume, qsid }) => {
      const { usedBytes, limitBytes } = await volumes.require(volume).scopeUsage(qsid);
      return ok({ used_bytes: usedBytes, limit_bytes: limitBytes });
    }),
    route(
      'PATCH',
      '/quota-scope',
      v.object({ ...scopeParams.entries, options: limit }),
      async ({ volume, qsid, options }) => {
        await volumes.require(volume).setLimit(qsid, options.limit_bytes);
        return noContent;
      },
    ),
    route('DELETE', '/quota-scope/quota', scopeParams, async ({ volume, qsid }) => {
      await volumes.require(volume).unsetLimit(qsid);
      return noContent;
    }),
  ];
}
