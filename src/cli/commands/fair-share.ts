/** `fair-share domain|project|user …` and `rg-…`: who is due what of a resource group, and weights. */
import * as v from 'valibot';
import type { Client } from '../../client/index.ts';
import { type Command, type CommandContext, defineCommand, option } from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { connectAdmin } from '../connect.ts';
import {
  decimalText,
  filterOf,
  filterOptions,
  jsonFlag,
  type Level,
  ownerField,
  ownerOptions,
  pageOptions,
} from '../fair-share/levels.ts';
import { domain, type Names, project, resourceGroup, user } from '../fair-share/owners.ts';
import {
  type Share,
  shareConnection,
  shareJson,
  shareSchema,
  shareSelection,
  sharesTable,
  shareTable,
} from '../fair-share/shares.ts';
import { itemsDocument, printJson } from '../output/json.ts';

type Where = Pick<CommandContext, 'io' | 'globals'>;

const quiet = { announces: false };

const weight = option(
  ['--weight'],
  'DECIMAL',
  "Its weight; without it the group's default counts.",
  decimalText,
);

function printShare({ io, globals }: Where, asJson: boolean, found: Share): void {
  if (asJson || globals.output === 'json') printJson(io, shareJson(found));
  else io.stdout.write(shareTable(found));
}

function printShares(
  { io, globals }: Where,
  asJson: boolean,
  level: Level,
  { count, edges }: v.InferOutput<typeof shareConnection>,
): void {
  const shares = edges.map(({ node }) => node);
  if (asJson || globals.output === 'json') {
    printJson(io, itemsDocument(shares.map(shareJson), count));
  } else if (shares.length === 0) {
    io.stdout.write('No fair shares found.\n');
  } else {
    io.stdout.write(sharesTable(level, shares));
  }
}

const ID_TYPES: Readonly<Record<string, string>> = {
  domainName: 'String!',
  projectId: 'UUID!',
  userUuid: 'UUID!',
};

/** One share by the names of its owner. @throws ApiError, ConnectionError. */
async function fetchShare(
  client: Client,
  level: Level,
  owner: Readonly<Record<string, string>>,
): Promise<Share> {
  const root = `admin${level}FairShare`;
  const names = Object.keys(owner);
  const typeOf = (name: string) => ID_TYPES[name] ?? 'String!';
  const document = `query(${names.map((name) => `$${name}: ${typeOf(name)}`).join(', ')}) {
    ${root}(${names.map((name) => `${name}: $${name}`).join(', ')}) { ${shareSelection(level)} } }`;
  const found = await client.graphql.field(root, v.nullable(shareSchema), document, owner);
  if (found !== null) return found;
  throw new UserError(`There is no such ${level.toLowerCase()}.`);
}

async function setWeight(
  client: Client,
  level: Level,
  input: Readonly<Record<string, string | null>>,
): Promise<Share> {
  const root = `adminUpsert${level}FairShareWeight`;
  const field = `${level.toLowerCase()}FairShare`;
  const document = `mutation($input: Upsert${level}FairShareWeightInput!) {
    ${root}(input: $input) { ${field} { ${shareSelection(level)} } } }`;
  const schema = v.record(v.string(), shareSchema);
  const answer = await client.graphql.field(root, schema, document, { input });
  return v.parse(shareSchema, answer[field]);
}

interface Paging {
  readonly limit: number;
  readonly offset: number;
  readonly orderBy: string;
  readonly order: string;
}

/** @param scope arguments of the root field beside the page: name, GraphQL type and value. */
function fetchShares(
  client: Client,
  level: Level,
  root: string,
  paging: Paging,
  scope: Readonly<Record<string, readonly [type: string, value: unknown]>>,
) {
  const named = Object.entries(scope);
  const document = `query($orderBy: [${level}FairShareOrderBy!], $limit: Int, $offset: Int${named
    .map(([name, [type]]) => `, $${name}: ${type}`)
    .join('')}) { ${root}(orderBy: $orderBy, limit: $limit, offset: $offset${named
    .map(([name]) => `, ${name}: $${name}`)
    .join('')}) { count edges { node { ${shareSelection(level)} } } } }`;
  return client.graphql.field(root, shareConnection, document, {
    ...Object.fromEntries(named.map(([name, [, value]]) => [name, value])),
    orderBy: [{ field: paging.orderBy.toUpperCase(), direction: paging.order.toUpperCase() }],
    limit: paging.limit,
    offset: paging.offset,
  });
}

const ORDERS: Readonly<Record<Level, readonly [string, ...string[]]>> = {
  Domain: ['fair_share_factor', 'domain_name', 'created_at', 'domain_is_active'],
  Project: ['fair_share_factor', 'project_name', 'created_at', 'project_is_active'],
  User: ['fair_share_factor', 'user_username', 'user_email', 'created_at'],
};

const connectQuietly = (where: Where) => connectAdmin(where, quiet);

/** Of all resource groups: the shares that are kept. */
const listKept = (level: Level): Command =>
  defineCommand({
    help: 'Shares of owners who have used something or have a weight of their own, in all resource groups.',
    options: { ...filterOptions, ...pageOptions(ORDERS[level]) },
    async run({ options, io, globals }) {
      const client = await connectQuietly({ io, globals });
      const filter = [`${level}FairShareFilter`, filterOf(level, options)] as const;
      const found = await fetchShares(client, level, `admin${level}FairShares`, options, {
        filter,
      });
      printShares({ io, globals }, options.json, level, found);
      return 0;
    },
  });

/** In one resource group: the shares of everybody who may use it. */
const listInGroup = (level: Level, positionals: Names): Command =>
  defineCommand({
    help: 'Shares of everybody who may use the resource group.',
    options: { ...ownerOptions(level), ...pageOptions(ORDERS[level]) },
    positionals: { resourceGroupName: resourceGroup, ...positionals },
    async run({ options, args, io, globals }) {
      const client = await connectQuietly({ io, globals });
      const scope = [`ResourceGroup${level}Scope!`, { ...args }] as const;
      const { only } = options;
      const wanted = only === undefined ? null : { [ownerField(level)]: { equals: only } };
      const filter = [`RG${level}FairShareFilter`, wanted] as const;
      const root = `rg${level}FairShares`;
      const found = await fetchShares(client, level, root, options, { scope, filter });
      printShares({ io, globals }, options.json, level, found);
      return 0;
    },
  });

const get = (level: Level, positionals: Names): Command =>
  defineCommand({
    options: { json: jsonFlag },
    positionals: { resourceGroupName: resourceGroup, ...positionals },
    async run({ options, args, io, globals }) {
      const client = await connectQuietly({ io, globals });
      // A project has one domain, so its name says no more; the server checks the ids.
      const given: Readonly<Record<string, string>> = args;
      const { domainName, ...ids } = given;
      const owner = level === 'Domain' ? given : ids;
      const found = await fetchShare(client, level, owner);
      if (domainName !== undefined && found.domainName !== domainName) {
        throw new UserError(`The ${level.toLowerCase()} is not in domain '${domainName}'.`);
      }
      printShare({ io, globals }, options.json, found);
      return 0;
    },
  });

const setWeightOf = (level: Level, positionals: Names): Command =>
  defineCommand({
    help: 'Set the weight of an owner; without --weight the default of the resource group counts again.',
    options: {
      weight,
      domain: option(['--domain'], 'NAME', 'Domain of the project. [default: looked up]'),
      json: jsonFlag,
    },
    positionals: { resourceGroupName: resourceGroup, ...positionals },
    async run({ options, args, io, globals }) {
      const client = await connectQuietly({ io, globals });
      const domainName = options.domain ?? (await fetchShare(client, level, args)).domainName;
      const input = { domainName, ...args, weight: options.weight ?? null };
      printShare({ io, globals }, options.json, await setWeight(client, level, input));
      return 0;
    },
  });

export const listDomains = listKept('Domain');
export const listProjects = listKept('Project');
export const listUsers = listKept('User');

export const listDomainsInGroup = listInGroup('Domain', {});
export const listProjectsInGroup = listInGroup('Project', { domainName: domain });
export const listUsersInGroup = listInGroup('User', { domainName: domain, projectId: project });

export const getDomain = get('Domain', { domainName: domain });
export const getProject = get('Project', { projectId: project });
export const getUser = get('User', { projectId: project, userUuid: user });

export const getProjectInGroup = get('Project', { domainName: domain, projectId: project });
export const getUserInGroup = get('User', {
  domainName: domain,
  projectId: project,
  userUuid: user,
});

export const setDomainWeight = setWeightOf('Domain', { domainName: domain });
export const setProjectWeight = setWeightOf('Project', { projectId: project });
export const setUserWeight = setWeightOf('User', { projectId: project, userUuid: user });
