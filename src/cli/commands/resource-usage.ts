/** `resource-usage domain|project|user list`: what was used of resource groups, day by day. */
import * as v from 'valibot';
import { type Command, defineCommand } from '../../common/command.ts';
import { connectAdmin } from '../connect.ts';
import {
  filterOf,
  filterOptions,
  type Level,
  OWNER_FIELDS,
  ownerCells,
  ownerTitles,
  pageOptions,
  slotEntries,
  slotText,
} from '../fair-share/levels.ts';
import { itemsDocument, printJson, snakeKeys } from '../output/json.ts';
import { formatTable } from '../output/table.ts';

const bucket = v.object({
  resourceGroupName: v.string(),
  domainName: v.string(),
  projectId: v.optional(v.string()),
  userUuid: v.optional(v.string()),
  metadata: v.object({ periodStart: v.string(), periodEnd: v.string() }),
  resourceUsage: slotEntries,
  averageDailyUsage: v.nullable(slotEntries),
});
type Bucket = v.InferOutput<typeof bucket>;
const connection = v.object({
  count: v.number(),
  edges: v.array(v.object({ node: bucket })),
});

function tableOf(level: Level, buckets: readonly Bucket[]): string {
  return formatTable(
    ['Period', 'Resource Group', ...ownerTitles(level), 'Slot-Seconds', 'Average'],
    buckets.map((found) => [
      `${found.metadata.periodStart} – ${found.metadata.periodEnd}`,
      found.resourceGroupName,
      ...ownerCells(found),
      slotText(found.resourceUsage),
      slotText(found.averageDailyUsage),
    ]),
  );
}

const list = (level: Level): Command =>
  defineCommand({
    help: 'Show what was used, the latest day first: slots times the seconds for which they were held.',
    options: { ...filterOptions, ...pageOptions(['period_start']) },
    async run({ options, io, globals }) {
      const client = await connectAdmin({ io, globals }, { announces: false });
      const root = `admin${level}UsageBuckets`;
      const document = `query($filter: ${level}UsageBucketFilter,
          $orderBy: [${level}UsageBucketOrderBy!], $limit: Int, $offset: Int) {
        ${root}(filter: $filter, orderBy: $orderBy, limit: $limit, offset: $offset) {
          count edges { node { resourceGroupName ${OWNER_FIELDS[level].join(' ')}
            metadata { periodStart periodEnd } resourceUsage { entries { resourceType quantity } }
            averageDailyUsage { entries { resourceType quantity } } } } } }`;
      const { count, edges } = await client.graphql.field(root, connection, document, {
        filter: filterOf(level, options),
        orderBy: [{ field: 'PERIOD_START', direction: options.order.toUpperCase() }],
        limit: options.limit,
        offset: options.offset,
      });
      const buckets = edges.map(({ node }) => node);
      if (options.json || globals.output === 'json') {
        printJson(io, itemsDocument(buckets.map(snakeKeys), count));
      } else if (buckets.length === 0) {
        io.stdout.write('No usage found.\n');
      } else {
        io.stdout.write(tableOf(level, buckets));
      }
      return 0;
    },
  });

export const domains = list('Domain');
export const projects = list('Project');
export const users = list('User');
