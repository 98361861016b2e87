/** Sessions in the shapes of the REST API. */
import type { ServicePort } from '../../common/protocol/kernel.ts';
import type { ServiceOffer } from '../../common/protocol/service.ts';
import { isoTime, isoTimeOrNull } from '../../common/time.ts';
import type { IdleReport } from '../idle/report.ts';
import type { SessionRecord } from './service.ts';

interface ServiceApp extends ServiceOffer {
  readonly name: string;
  readonly protocol: string;
  readonly ports: readonly number[];
}

/** The apps of a kernel as clients list them. */
export const serviceApps = (ports: readonly ServicePort[]): ServiceApp[] =>
  ports.map(({ name, protocol, container_ports, host_ports: _, is_inference: __, ...offer }) => ({
    ...{ name, protocol, ports: container_ports },
    ...offer,
  }));

/**
 * The legacy info object of `GET /session/{name}`. Maps are sent as JSON text and an absent
 * status_info as the word "None": clients of many years expect strings there.
 */
export function sessionInfo(
  session: SessionRecord,
  now: Date,
  idleChecks: IdleReport,
): Record<string, unknown> {
  const kernel = session.mainKernel;
  const image = kernel.image ?? session.images[0] ?? '';
  return {
    age: now.getTime() - session.createdAt.getTime(),
    domainName: session.domainName,
    groupId: session.groupId,
    userId: session.userId,
    lang: image,
    image,
    architecture: kernel.architecture,
    registry: kernel.registry,
    tag: session.tag,
    containerId: kernel.containerId,
    occupiedSlots: JSON.stringify(kernel.occupiedSlots),
    occupyingSlots: JSON.stringify(session.occupyingSlots),
    requestedSlots: JSON.stringify(session.requestedSlots),
    occupiedShares: JSON.stringify(kernel.occupiedShares),
    environ: JSON.stringify(session.environ),
    resourceOpts: JSON.stringify(kernel.resourceOpts),
    status: session.status,
    statusInfo: session.statusInfo ?? 'None',
    statusData: session.statusData,
    creationTime: isoTime(session.createdAt),
    terminationTime: isoTimeOrNull(session.terminatedAt),
    numQueriesExecuted: session.numQueries,
    lastStat: session.lastStat,
    idleChecks,
  };
}

/**
 * The status history by upper-case status, oldest first, and once more under `result` in lower case, which is
 * where the command line of upstream looks for it.
 */
export function statusHistoryReply(
  history: Readonly<Record<string, string>>,
): Record<string, unknown> {
  const entries = Object.entries(history).toSorted(([, a], [, b]) => a.localeCompare(b));
  const lower = entries.map(([status, at]) => [status.toLowerCase(), at]);
  return { ...Object.fromEntries(entries), result: Object.fromEntries(lower) };
}
