/** The sessions of a local cluster, as `status` and `down` look at them. */
import * as v from 'valibot';
import { readClientConfig } from '../client/config.ts';
import { Client } from '../client/index.ts';
import type { Clock } from '../common/clock.ts';
import { UserError } from '../common/errors.ts';
import type { LocalCluster } from '../common/local-cluster.ts';
import { liveSessionStatuses } from '../manager/session/status.ts';

/** More than a single machine runs; a larger number is still ended page by page. */
const PAGE = 100;
/** Longest wait for ended sessions to be gone, counted from the last one that was asked to end. */
const END_TIMEOUT_MS = 60_000;
const POLL_MS = 100;

const listing = v.object({
  compute_session_list: v.object({
    total_count: v.number(),
    items: v.array(
      v.object({
        session_id: v.string(),
        name: v.string(),
        status: v.string(),
        access_key: v.string(),
      }),
    ),
  }),
});
export type LiveSession = v.InferOutput<typeof listing>['compute_session_list']['items'][number];

function adminClient(cluster: LocalCluster): Client {
  const admin = cluster.accounts.find(({ role }) => role === 'superadmin');
  return new Client(
    readClientConfig({
      BACKEND_ENDPOINT: cluster.endpoint,
      BACKEND_ACCESS_KEY: admin?.accessKey,
      BACKEND_SECRET_KEY: admin?.secretKey,
    }),
  );
}

/** Up to a page of live sessions of all accounts, and how many there are. */
export async function liveSessions(
  cluster: LocalCluster,
): Promise<{ total: number; sessions: LiveSession[] }> {
  const { compute_session_list: list } = await adminClient(cluster).graphql.query(
    listing,
    `query($limit: Int!, $offset: Int!, $status: String) {
      compute_session_list(limit: $limit, offset: $offset, status: $status) {
        total_count items { session_id name status access_key }
      }
    }`,
    { limit: PAGE, offset: 0, status: liveSessionStatuses.join(',') },
  );
  return { total: list.total_count, sessions: list.items };
}

/**
 * Ends every live session and waits until none is left.
 * @returns how many there were.
 * @throws UserError naming sessions that do not end.
 */
export async function endAllSessions(cluster: LocalCluster, clock: Clock): Promise<number> {
  const client = adminClient(cluster);
  const ended = new Set<string>();
  let deadlineMs = clock.monotonicMs() + END_TIMEOUT_MS;
  for (;;) {
    const { total, sessions } = await liveSessions(cluster);
    if (total === 0) return ended.size;
    const fresh = sessions.filter(({ session_id }) => !ended.has(session_id));
    for (const { session_id, access_key } of fresh) {
      await client.session.destroy(session_id, { ownerAccessKey: access_key });
      ended.add(session_id);
    }
    if (fresh.length > 0) deadlineMs = clock.monotonicMs() + END_TIMEOUT_MS;
    else if (clock.monotonicMs() > deadlineMs) {
      const names = sessions.map(({ name }) => name).join(', ');
      throw new UserError(`${total} sessions do not end: ${names}.`, {
        hint: 'End them with `backend.ai session destroy --forced NAME`, then repeat.',
      });
    } else await clock.sleep(POLL_MS);
  }
}
