/** Operations about the server itself: versions and health. */
import { errorMessage } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { publicRoute } from './declare.ts';
import type { Route } from './route.ts';
import { LATEST_API_VERSION, MANAGER_VERSION } from './versions.ts';

/** Longest wait for a store to answer a health check. Milliseconds. */
const CHECK_TIMEOUT_MS = 3_000;

interface Check {
  readonly healthy: boolean;
  readonly message?: string;
}

async function check(ctx: ManagerContext, action: () => Promise<unknown>): Promise<Check> {
  const late = Promise.withResolvers<never>();
  const timer = ctx.clock.timer(CHECK_TIMEOUT_MS, () =>
    late.reject(new Error(`no answer within ${CHECK_TIMEOUT_MS / 1000} seconds`)),
  );
  try {
    await Promise.race([action(), late.promise]);
    return { healthy: true };
  } catch (error) {
    return { healthy: false, message: errorMessage(error) };
  } finally {
    timer.cancel();
  }
}

/** Whether the stores this manager depends on answer. */
async function connectivity(ctx: ManagerContext) {
  const [database, liveStore, configStore] = await Promise.all([
    check(ctx, () => ctx.sql`SELECT 1`),
    check(ctx, () => ctx.live.ping()),
    check(ctx, () => ctx.config.get('manager/status')),
  ]);
  return { database, live_store: liveStore, config_store: configStore };
}

const allHealthy = (checks: Readonly<Record<string, Check>>): boolean =>
  Object.values(checks).every(({ healthy }) => healthy);

const open = { method: 'GET', gate: 'any', takes: {} } as const;

/**
 * Health routes.
 * @param details whether `/health` tells which store fails and why: for the internal listener only.
 */
export function healthRoutes(ctx: ManagerContext, details: boolean): Route[] {
  const probe = async () => {
    const healthy = allHealthy(await connectivity(ctx));
    return new Response(null, { status: healthy ? 200 : 503 });
  };
  return [
    publicRoute({ ...open, path: '/health', summary: 'Tell how the manager is.' }, async () => {
      if (!details) return { json: { status: 'ok', version: MANAGER_VERSION } };
      const checks = await connectivity(ctx);
      const healthy = allHealthy(checks);
      return {
        status: healthy ? 200 : 503,
        json: {
          status: healthy ? 'ok' : 'degraded',
          version: MANAGER_VERSION,
          component: 'manager',
          connectivity: checks,
        },
      };
    }),
    // Alive means that requests are answered at all; a lost database is no reason to restart.
    publicRoute(
      { ...open, path: '/health/livez', summary: 'Tell that the manager runs.' },
      async () => new Response(null, { status: 200 }),
    ),
    publicRoute(
      {
        ...open,
        path: '/health/readyz',
        summary: 'Tell whether the stores of the manager answer.',
      },
      probe,
    ),
  ];
}

/** What clients ask first. */
export function versionRoutes(): Route[] {
  return [
    publicRoute(
      { ...open, path: '/', summary: 'Tell the versions of the API and of the manager.' },
      async () => ({ json: { version: LATEST_API_VERSION, manager: MANAGER_VERSION } }),
    ),
  ];
}
