/** `fair-share resource-group …`: how a resource group's usage turns into shares. */
import * as v from 'valibot';
import type { Client } from '../../client/index.ts';
import {
  argument,
  type CommandContext,
  defineCommand,
  integer,
  option,
  repeated,
  UsageError,
} from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { connectAdmin } from '../connect.ts';
import { decimalText, jsonFlag } from '../fair-share/levels.ts';
import { itemsDocument, printJson, snakeKeys } from '../output/json.ts';
import { formatTable } from '../output/table.ts';

type Where = Pick<CommandContext, 'io' | 'globals'>;

const connectQuietly = (where: Where) => connectAdmin(where, { announces: false });

const decimal = v.union([v.string(), v.number()]);
const groupSpec = v.object({
  name: v.string(),
  fairShareSpec: v.nullable(
    v.object({
      halfLifeDays: v.number(),
      lookbackDays: v.number(),
      decayUnitDays: v.number(),
      defaultWeight: decimal,
      resourceWeights: v.array(
        v.object({ resourceType: v.string(), weight: decimal, usesDefault: v.boolean() }),
      ),
    }),
  ),
});
type GroupSpec = v.InferOutput<typeof groupSpec>;
const GROUP_SELECTION = `name fairShareSpec { halfLifeDays lookbackDays decayUnitDays defaultWeight
  resourceWeights { resourceType weight usesDefault } }`;
const groupPage = v.object({ edges: v.array(v.object({ node: groupSpec })) });
const MAX_GROUPS = 500;

async function fetchSpecs(client: Client, name?: string): Promise<GroupSpec[]> {
  const root = 'adminResourceGroups';
  const document = `query($filter: ResourceGroupFilter, $limit: Int) {
    ${root}(filter: $filter, limit: $limit) { edges { node { ${GROUP_SELECTION} } } } }`;
  const filter = name === undefined ? null : { name: { equals: name } };
  const limit = name === undefined ? MAX_GROUPS : 1;
  const found = await client.graphql.field(root, groupPage, document, { filter, limit });
  return found.edges.map(({ node }) => node);
}

function printSpecs({ io, globals }: Where, asJson: boolean, groups: readonly GroupSpec[]): void {
  if (asJson || globals.output === 'json') {
    printJson(io, itemsDocument(groups.map(snakeKeys), groups.length));
    return;
  }
  const rows = groups.map(({ name, fairShareSpec: rules }) => [
    name,
    rules === null ? '' : `${rules.halfLifeDays} days`,
    rules === null ? '' : `${rules.lookbackDays} days`,
    rules === null ? '' : `${rules.decayUnitDays} days`,
    String(rules?.defaultWeight ?? ''),
    rules?.resourceWeights
      .map(({ resourceType, weight: of }) => `${resourceType}=${of}`)
      .join(' ') ?? '',
  ]);
  const header = [
    'Resource Group',
    'Half Life',
    'Lookback',
    'Decay Unit',
    'Default Weight',
    'Weights',
  ];
  io.stdout.write(formatTable(header, rows));
}

const groupName = argument('NAME', 'Name of the resource group.');

export const spec = defineCommand({
  options: { json: jsonFlag },
  positionals: { name: groupName },
  async run({ options, args, io, globals }) {
    const found = await fetchSpecs(await connectQuietly({ io, globals }), args.name);
    if (found.length === 0) {
      throw new UserError(`There is no resource group '${args.name}'.`, {
        hint: 'See `backend.ai fair-share resource-group specs`.',
      });
    }
    printSpecs({ io, globals }, options.json, found);
    return 0;
  },
});

export const specs = defineCommand({
  options: { json: jsonFlag },
  async run({ options, io, globals }) {
    printSpecs(
      { io, globals },
      options.json,
      await fetchSpecs(await connectQuietly({ io, globals })),
    );
    return 0;
  },
});

/** `cpu=2`; `cpu=` takes a weight away. */
function weightEntry(text: string) {
  const [, resourceType, value] = /^([^=\s]+)=(.*)$/.exec(text) ?? [];
  if (resourceType === undefined) throw new UsageError(`'${text}' is not of the form cpu=2.`);
  return { resourceType, weight: value === '' ? null : decimalText(value ?? '') };
}

const days = (flags: readonly string[], text: string) =>
  option(flags, 'DAYS', text, integer({ min: 1, max: 365 }));

export const updateSpec = defineCommand({
  help: 'Change how usage turns into shares; what is not named stays. Shares are calculated anew at once.',
  options: {
    halfLifeDays: days(['--half-life-days'], 'After so long usage counts half.'),
    lookbackDays: days(['--lookback-days'], 'Older usage does not count.'),
    decayUnitDays: days(['--decay-unit-days'], 'Usage is added up over so long.'),
    defaultWeight: option(['--default-weight'], 'DECIMAL', 'Of owners without one.', decimalText),
    resourceWeights: repeated(
      ['--resource-weight'],
      'SLOT=DECIMAL',
      'How much a slot counts; SLOT= takes its weight away. Others stay.',
    ),
    json: jsonFlag,
  },
  positionals: { name: groupName },
  async run({ options, args, io, globals }) {
    const { json, resourceWeights: texts, ...changes } = options;
    const wished = texts.map(weightEntry);
    const given = Object.entries(changes).filter(([, value]) => value !== undefined);
    if (given.length === 0 && wished.length === 0) {
      throw new UsageError('Name what to change, e.g. --half-life-days 7.');
    }
    const client = await connectQuietly({ io, globals });
    const [present] = await fetchSpecs(client, args.name);
    const kept = (present?.fairShareSpec?.resourceWeights ?? [])
      .filter(({ usesDefault }) => !usesDefault)
      .map(({ resourceType, weight: of }) => ({ resourceType, weight: String(of) }));
    const others = kept.filter(
      ({ resourceType }) => !wished.some((wish) => wish.resourceType === resourceType),
    );
    const root = 'adminUpdateResourceGroupFairShareSpec';
    const document = `mutation($input: UpdateResourceGroupFairShareSpecInput!) {
      ${root}(input: $input) { resourceGroup { ${GROUP_SELECTION} } } }`;
    const input = {
      resourceGroupName: args.name,
      ...Object.fromEntries(given),
      ...(wished.length > 0 && { resourceWeights: [...others, ...wished] }),
    };
    const schema = v.object({ resourceGroup: groupSpec });
    const changed = await client.graphql.field(root, schema, document, { input });
    printSpecs({ io, globals }, json, [changed.resourceGroup]);
    return 0;
  },
});
