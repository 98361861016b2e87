/** The SQL of statistics: whose kernels are reported, and what stays of them. */
import * as v from 'valibot';
import type { Metrics } from '../../common/protocol/statistics.ts';
import type { Db } from '../db/connect.ts';
import { jsonText } from '../db/json.ts';

/** Which of `kernelIds` are on this agent. */
export async function selectOwnKernels(
  sql: Db,
  agentId: string,
  kernelIds: readonly string[],
): Promise<Set<string>> {
  if (kernelIds.length === 0) return new Set();
  const rows = await sql`
    SELECT id FROM kernels WHERE id = ANY(${[...kernelIds]}::uuid[]) AND agent = ${agentId}`;
  return new Set(v.parse(v.array(v.object({ id: v.string() })), [...rows]).map(({ id }) => id));
}

/** Writes what kernels of this agent used at last. */
export async function saveLastStatistics(
  sql: Db,
  agentId: string,
  statistics: ReadonlyMap<string, Metrics>,
): Promise<void> {
  const values = Object.fromEntries(statistics);
  await sql`
    UPDATE kernels k SET last_stat = s.value
    FROM jsonb_each(${jsonText(values)}::text::jsonb) AS s(id, value)
    WHERE k.id = s.id::uuid AND k.agent = ${agentId}`;
}
