/** What a node uses now, in few lines: its metrics in one, then those of each device. */
import * as v from 'valibot';
import { formatSize } from '../../common/sizes.ts';

const figure = v.nullish(v.union([v.string(), v.number()]), null);
const metric = v.object({
  current: figure,
  capacity: figure,
  pct: figure,
  unit_hint: v.nullish(v.string(), ''),
});
const metrics = v.record(v.string(), metric);
const statistics = v.pipe(
  v.union([v.pipe(v.string(), v.parseJson()), v.unknown()]),
  v.object({ node: metrics, devices: v.optional(v.record(v.string(), metrics), {}) }),
);
type Metric = v.InferOutput<typeof metric>;

const CPU = 'cpu_util';
/** Beyond so many cores one line each would bury the rest. */
const MAX_CORES_SHOWN = 8;
/** What stands for "no limit" as a capacity. */
const UNBOUNDED = '9223372036854775807';

const sizeOf = (text: string | number | null): string =>
  text === null ? '(unknown)' : formatSize(Number(text));
const capacityOf = ({ capacity }: Metric): string =>
  capacity === null || String(capacity) === UNBOUNDED ? '(unknown)' : String(capacity);

function inWords(value: Metric): string {
  const { current, pct, unit_hint: unit } = value;
  switch (unit) {
    case 'bytes': {
      const capacity = capacityOf(value);
      return `${sizeOf(current)} / ${capacity === '(unknown)' ? capacity : sizeOf(capacity)}`;
    }
    case 'Celsius':
      return `${current ?? '(unknown)'} C`;
    case 'bps':
      return `${sizeOf(current)}/s`;
    case 'pct':
    case 'percent':
    case '%':
      return `${pct ?? '(calculating...)'} %`;
    default:
      return `${current ?? '(unknown)'} / ${capacityOf(value)}${!unit || unit === 'count' ? '' : ` ${unit}`}`;
  }
}

/** @param value as the API gives it. @returns null when it is nothing that can be shown so. */
export function nodeStatisticsInWords(value: unknown): string | null {
  const parsed = v.safeParse(statistics, value);
  if (!parsed.success) return null;
  const { node, devices } = parsed.output;
  const cores = Object.keys(devices[CPU] ?? {}).length;
  const ofNode = Object.entries(node).map(
    ([name, found]) => `${name}: ${inWords(found)}${name === CPU ? ` (${cores} cores)` : ''}`,
  );
  const ofDevices = Object.entries(devices).flatMap(([name, byDevice]) => {
    const lines =
      name === CPU && cores > MAX_CORES_SHOWN
        ? [`  - (not shown one by one: there are ${cores} cores)`]
        : Object.entries(byDevice).map(([device, found]) => `  - ${device}: ${inWords(found)}`);
    return [`+ ${name}`, ...lines];
  });
  return [ofNode.join(', '), ...ofDevices].filter((line) => line !== '').join('\n');
}
