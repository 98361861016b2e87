/** Workers as the API tells of them. */
import type { CircuitInfo } from '../shared/protocol.ts';
import type { WorkerRow } from './store.ts';

/** A place of a worker where a circuit is or could be. */
export interface Slot {
  readonly frontend_mode: string;
  readonly in_use: boolean;
  readonly port: number | null;
  readonly subdomain: string | null;
  readonly circuit_id: string | null;
}

/** @param onlyUsed leaves free ports out. */
export function slotsOf(
  worker: WorkerRow,
  circuits: readonly CircuitInfo[],
  onlyUsed: boolean,
): Slot[] {
  const { frontend_mode, port_range } = worker;
  const used = circuits.map(({ id, port, subdomain }) => ({
    ...{ frontend_mode, in_use: true, port, subdomain, circuit_id: id },
  }));
  if (frontend_mode === 'wildcard' || port_range === null || onlyUsed) return used;
  const byPort = new Map(used.map((slot) => [slot.port, slot]));
  const [first, last] = port_range;
  return Array.from({ length: last - first + 1 }, (_none, index) => {
    const port = first + index;
    return (
      byPort.get(port) ?? {
        ...{ frontend_mode, in_use: false, port, subdomain: null, circuit_id: null },
      }
    );
  });
}

export const workerDocument = (worker: WorkerRow, circuits: readonly CircuitInfo[]) => ({
  id: worker.id,
  authority: worker.authority,
  frontend_mode: worker.frontend_mode,
  protocol: worker.protocol,
  hostname: worker.hostname,
  tls_listen: worker.tls_listen,
  tls_advertised: worker.tls_advertised,
  api_port: worker.api_port,
  port_range: worker.port_range,
  wildcard_domain: worker.wildcard_domain,
  wildcard_traffic_port: worker.wildcard_traffic_port,
  filtered_apps_only: worker.filtered_apps_only,
  traefik_last_used_marker_path: worker.traefik_last_used_marker_path,
  created_at: worker.created_at.toISOString(),
  updated_at: worker.updated_at.toISOString(),
  available_slots: worker.available_slots,
  occupied_slots: worker.occupied_slots,
  nodes: worker.nodes,
  status: worker.status,
  accepted_traffics: worker.accepted_traffics,
  app_filters: worker.filters,
  slots: slotsOf(worker, circuits, false),
});
