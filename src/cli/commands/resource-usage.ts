/** `resource-usage domain|project|user list`: what was used of resource groups, day by day. */
import * as v from 'valibot';
import {
  type Command,
  type CommandContext,
  defineCommand,
  option,
  UsageError,
} from '../../common/command.ts';
import { connectAdmin } from '../connect.ts';
import {
  filterOf,
  filterOptions,
  type Level,
  OWNER_FIELDS,
  ownerCells,
  ownerField,
  ownerOptions,
  ownerTitles,
  pageOptions,
  slotEntries,
  slotText,
} from '../fair-share/levels.ts';
import { domain, type Names, project, resourceGroup } from '../fair-share/owners.ts';
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

type Where = Pick<CommandContext, 'io' | 'globals'>;

interface Page {
  readonly limit: number;
  readonly offset: number;
  readonly order: string;
  readonly json: boolean;
}

async function printUsage(
  { io, globals }: Where,
  level: Level,
  page: Page,
  filter: Readonly<Record<string, unknown>> | null,
): Promise<number> {
  const client = await connectAdmin({ io, globals }, { announces: false });
  const root = `admin${level}UsageBuckets`;
  const document = `query($filter: ${level}UsageBucketFilter,
      $orderBy: [${level}UsageBucketOrderBy!], $limit: Int, $offset: Int) {
    ${root}(filter: $filter, orderBy: $orderBy, limit: $limit, offset: $offset) {
      count edges { node { resourceGroupName ${OWNER_FIELDS[level].join(' ')}
        metadata { periodStart periodEnd } resourceUsage { entries { resourceType quantity } }
        averageDailyUsage { entries { resourceType quantity } } } } } }`;
  const { count, edges } = await client.graphql.field(root, connection, document, {
    filter,
    orderBy: [{ field: 'PERIOD_START', direction: page.order.toUpperCase() }],
    limit: page.limit,
    offset: page.offset,
  });
  const buckets = edges.map(({ node }) => node);
  if (page.json || globals.output === 'json') {
    printJson(io, itemsDocument(buckets.map(snakeKeys), count));
  } else if (buckets.length === 0) {
    io.stdout.write('No usage found.\n');
  } else {
    io.stdout.write(tableOf(level, buckets));
  }
  return 0;
}

const help =
  'Show what was used, the latest day first: slots times the seconds for which they were held.';

const list = (level: Level): Command =>
  defineCommand({
    help,
    options: { ...filterOptions, ...pageOptions(['period_start']) },
    run: ({ options, io, globals }) =>
      printUsage({ io, globals }, level, options, filterOf(level, options)),
  });

const DAY = /^\d{4}-\d\d-\d\d$/;
const DAY_MS = 86_400_000;

/** A day as the server takes it, `days` after the one that is given. @throws UsageError. */
const dayAfter = (days: number) => (text: string) => {
  const ms = DAY.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) throw new UsageError(`'${text}' is not a day such as 2026-01-31.`);
  return new Date(ms + days * DAY_MS).toISOString().slice(0, 10);
};

/** In one resource group: of all, or those of a domain, or of a project in it. */
const listInGroup = (level: Level, positionals: Names): Command =>
  defineCommand({
    help,
    options: {
      ...ownerOptions(level),
      // The server leaves out the day that it is told.
      after: option(['--period-start-after'], 'DATE', 'Only days from this one on.', dayAfter(-1)),
      before: option(['--period-start-before'], 'DATE', 'Only days up to this one.', dayAfter(1)),
      ...pageOptions(['period_start']),
    },
    positionals: { resourceGroup, ...positionals },
    run({ options, args, io, globals }) {
      const { only, after, before } = options;
      const names = { ...args, ...(only === undefined ? {} : { [ownerField(level)]: only }) };
      const filter = {
        ...Object.fromEntries(Object.entries(names).map(([key, equals]) => [key, { equals }])),
        periodStart: after || before ? { after, before } : undefined,
      };
      return printUsage({ io, globals }, level, options, filter);
    },
  });

export const domains = list('Domain');
export const projects = list('Project');
export const users = list('User');

export const domainsInGroup = listInGroup('Domain', {});
export const projectsInGroup = listInGroup('Project', { domainName: domain });
export const usersInGroup = listInGroup('User', { domainName: domain, projectId: project });
