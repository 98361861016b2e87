/** What the containers of a session use, as last measured. */
import * as v from 'valibot';
import type { Client } from '../../client/index.ts';
import { formatSize } from '../../common/sizes.ts';
import { formatTable } from '../output/table.ts';

const figure = v.nullish(v.union([v.string(), v.number()]), null);
const metrics = v.record(
  v.string(),
  v.looseObject({ current: figure, pct: figure, unit_hint: v.nullish(v.string(), null) }),
);
type Metric = v.InferOutput<typeof metrics>[string];

const answer = v.object({
  compute_session: v.nullable(
    v.object({
      containers: v.array(
        v.object({
          cluster_hostname: v.nullable(v.string()),
          live_stat: v.nullable(v.pipe(v.string(), v.parseJson(), v.nullable(metrics))),
        }),
      ),
    }),
  ),
});

export interface ContainerStatistics {
  readonly container: string;
  readonly metrics: v.InferOutput<typeof metrics>;
}

/** @param id of the session. @returns those of its containers that were measured. */
export async function fetchStatistics(client: Client, id: string): Promise<ContainerStatistics[]> {
  const document =
    'query($id: UUID!) { compute_session(id: $id) { containers { cluster_hostname live_stat } } }';
  const { compute_session: found } = await client.graphql.query(answer, document, { id });
  return (found?.containers ?? []).flatMap(({ cluster_hostname: name, live_stat: measured }) =>
    measured === null ? [] : [{ container: name ?? '', metrics: measured }],
  );
}

function shownFigure({ current, pct, unit_hint: unit }: Metric): string | null {
  if (unit === 'percent' || unit === 'pct' || unit === '%') return pct === null ? null : `${pct} %`;
  if (current === null) return null;
  if (unit === 'bytes') return formatSize(Number(current));
  return ['msec', 'usec', 'sec'].includes(unit ?? '') ? `${current} ${unit}` : `${current}`;
}

/** A line per measure; null when nothing was measured. */
export function statisticsTable(found: readonly ContainerStatistics[]): string | null {
  const rows = found.flatMap(({ container, metrics: measured }) =>
    Object.entries(measured).flatMap(([name, metric]) => {
      const text = shownFigure(metric);
      return text === null ? [] : [[container, name, text]];
    }),
  );
  return rows.length === 0 ? null : formatTable(['Container', 'Measure', 'Value'], rows);
}
