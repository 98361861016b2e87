/** A worker of the app proxy by itself, for benchmarks: its settings, its circuits, and who tells it of them. */
import type { CircuitInfo, SyncReply } from '../../appproxy/shared/protocol.ts';
import { systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';

/** What seals permits. */
export const SECRET = 'bench';

/** What a coordinator tells a worker: one circuit for each application. */
export function fakeCoordinator(circuits: CircuitInfo[]) {
  const reply: SyncReply = { version: 1, circuits };
  return Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 120,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname.endsWith('/sync')) {
        const { version } = Object(await request.json());
        if (version === 1) await systemClock.sleep(20_000, request.signal).catch(() => {});
        return Response.json(reply);
      }
      return Response.json({ id: systemRandom.uuid(), slots: [] });
    },
  });
}

export function circuitTo(
  appPort: number,
  port: number,
  protocol: 'http' | 'h2' = 'http',
): CircuitInfo {
  const session = systemRandom.uuid();
  return {
    ...{ id: systemRandom.uuid(), app: 'app', protocol, worker: systemRandom.uuid() },
    ...{ app_mode: 'interactive', frontend_mode: 'port', envs: {}, arguments: null },
    ...{ open_to_public: false, allowed_client_ips: null, port, subdomain: null },
    ...{ user_id: systemRandom.uuid(), endpoint_id: null, runtime_variant: null },
    session_ids: [session],
    route_info: [
      {
        ...{ route_id: null, session_id: session, session_name: null, kernel_host: '127.0.0.1' },
        ...{ kernel_port: appPort, protocol, traffic_ratio: 1 },
      },
    ],
    ...{ created_at: '2026-01-01T00:00:00Z', updated_at: '2026-01-01T00:00:00Z' },
  };
}

export const workerToml = (
  coordinator: string,
  ports: readonly [number, number],
  api: number,
  protocol: 'http' | 'h2' = 'http',
) => `
[proxy_worker]
coordinator_endpoint = "${coordinator}"
authority = "bench"
protocol = "${protocol}"
accepted_traffics = ["interactive"]
frontend_mode = "port"
api_bind_addr = "127.0.0.1:${api}"
[proxy_worker.port_proxy]
bind_host = "127.0.0.1"
bind_port_range = [${ports[0]}, ${ports[1]}]
[secrets]
api_secret = "${SECRET}"
jwt_secret = "${SECRET}"
[permit_hash]
secret = "${SECRET}"
`;
