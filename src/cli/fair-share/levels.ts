/** Domains, projects and users as owners of fair shares and of usage: how they are named and filtered. */
import * as v from 'valibot';
import {
  choice,
  flag,
  integer,
  option,
  optionWithDefault,
  UsageError,
} from '../../common/command.ts';

export type Level = 'Domain' | 'Project' | 'User';

/** Fields that name the owner. */
export const OWNER_FIELDS: Readonly<Record<Level, readonly string[]>> = {
  Domain: ['domainName'],
  Project: ['domainName', 'projectId'],
  User: ['domainName', 'projectId', 'userUuid'],
};

/** Titles of the columns that name the owner. */
export const ownerTitles = (level: Level): string[] =>
  ({
    Domain: ['Domain'],
    Project: ['Domain', 'Project ID'],
    User: ['Domain', 'Project ID', 'User ID'],
  })[level];

/** What stands in these columns. */
export const ownerCells = ({
  domainName,
  projectId,
  userUuid,
}: {
  readonly domainName: string;
  readonly projectId?: string | undefined;
  readonly userUuid?: string | undefined;
}): string[] => [domainName, projectId, userUuid].filter((part) => part !== undefined);

/** Amounts of resources by slot, as the server tells them. */
export const slotEntries = v.object({
  entries: v.array(
    v.object({ resourceType: v.string(), quantity: v.union([v.string(), v.number()]) }),
  ),
});

/** `cpu=7200 mem=…`; empty when there is nothing. */
export const slotText = (found: v.InferOutput<typeof slotEntries> | null): string =>
  found?.entries.map(({ resourceType, quantity }) => `${resourceType}=${quantity}`).join(' ') ?? '';

/** A weight as the server takes it. @throws UsageError. */
export function decimalText(text: string): string {
  if (/^\d{1,6}(\.\d{1,4})?$/.test(text)) return text;
  throw new UsageError(`'${text}' is not a weight such as 1, 0.5 or 2.25.`);
}

export const jsonFlag = flag(['--json'], 'Print JSON.');

/** @param orders what may be ordered by, the default first. */
export const pageOptions = (orders: readonly [string, ...string[]]) => ({
  limit: optionWithDefault(['--limit'], 'INT', 'Most entries.', 20, integer({ min: 1 })),
  offset: optionWithDefault(['--offset'], 'INT', 'Entries to skip.', 0, integer({ min: 0 })),
  orderBy: optionWithDefault(
    ['--order-by'],
    `[${orders.join('|')}]`,
    'What to order by.',
    orders[0],
    choice(orders),
  ),
  order: optionWithDefault(
    ['--order'],
    '[asc|desc]',
    'Smallest or largest first.',
    'desc',
    (text) => choice(['asc', 'desc'])(text.toLowerCase()),
  ),
  json: jsonFlag,
});

/** Options that leave some owners out. */
export const filterOptions = {
  resourceGroup: option(['--resource-group'], 'NAME', 'Only of this resource group.'),
  domainName: option(['--domain-name'], 'NAME', 'Only of this domain.'),
  projectId: option(['--project-id'], 'UUID', 'Only of this project.'),
  userUuid: option(['--user-uuid'], 'UUID', 'Only of this user.'),
};

/** Options that leave some owners out, of all in a resource group; one per level. */
export const ownerOptions = (level: Level) => {
  const { domainName, projectId, userUuid } = filterOptions;
  return { only: { Domain: domainName, Project: projectId, User: userUuid }[level] };
};

/** The field of the owner itself. */
export const ownerField = (level: Level): string => OWNER_FIELDS[level].at(-1) ?? '';

const kebab = (name: string): string =>
  name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** The filter that a level's query takes; null when nothing is left out. @throws UsageError. */
export function filterOf(
  level: Level,
  {
    resourceGroup,
    domainName,
    projectId,
    userUuid,
  }: Readonly<Record<keyof typeof filterOptions, string | undefined>>,
): Record<string, unknown> | null {
  const wanted = { resourceGroup, domainName, projectId, userUuid };
  const names = ['resourceGroup', ...OWNER_FIELDS[level]];
  const given = Object.entries(wanted).filter(([, value]) => value !== undefined);
  const stranger = given.find(([name]) => !names.includes(name));
  if (stranger) {
    throw new UsageError(`--${kebab(stranger[0])} does not tell ${level.toLowerCase()}s apart.`);
  }
  const filters = given.map(([name, value]) => [name, { equals: value }]);
  return filters.length === 0 ? null : Object.fromEntries(filters);
}
