/** Fair shares as the server tells them, and as they are printed. */
import * as v from 'valibot';
import { snakeKeys } from '../output/json.ts';
import { formatTable } from '../output/table.ts';
import {
  type Level,
  OWNER_FIELDS,
  ownerCells,
  ownerTitles,
  slotEntries,
  slotText,
} from './levels.ts';

const decimal = v.union([v.string(), v.number()]);

const share = v.object({
  resourceGroupName: v.string(),
  domainName: v.string(),
  projectId: v.optional(v.string()),
  userUuid: v.optional(v.string()),
  spec: v.object({
    weight: decimal,
    usesDefault: v.boolean(),
    halfLifeDays: v.number(),
    lookbackDays: v.number(),
    decayUnitDays: v.number(),
  }),
  calculationSnapshot: v.object({
    fairShareFactor: decimal,
    normalizedUsage: decimal,
    totalDecayedUsage: slotEntries,
    lookbackStart: v.string(),
    lookbackEnd: v.string(),
    lastCalculatedAt: v.string(),
  }),
});
export type Share = v.InferOutput<typeof share>;
export { share as shareSchema };

export const shareConnection = v.object({
  count: v.number(),
  edges: v.array(v.object({ node: share })),
});

/** What is selected of a share. */
export const shareSelection = (level: Level): string =>
  `resourceGroupName ${OWNER_FIELDS[level].join(' ')}
   spec { weight usesDefault halfLifeDays lookbackDays decayUnitDays }
   calculationSnapshot { fairShareFactor normalizedUsage totalDecayedUsage { entries { resourceType quantity } }
     lookbackStart lookbackEnd lastCalculatedAt }`;

export function sharesTable(level: Level, shares: readonly Share[]): string {
  return formatTable(
    [
      'Resource Group',
      ...ownerTitles(level),
      'Weight',
      'Factor',
      'Normalized Usage',
      'Decayed Usage',
    ],
    shares.map((found) => [
      found.resourceGroupName,
      ...ownerCells(found),
      `${found.spec.weight}${found.spec.usesDefault ? ' (default)' : ''}`,
      String(found.calculationSnapshot.fairShareFactor),
      String(found.calculationSnapshot.normalizedUsage),
      slotText(found.calculationSnapshot.totalDecayedUsage) || '(none)',
    ]),
  );
}

/** One share with all its facts. */
export function shareTable(found: Share): string {
  const { spec, calculationSnapshot: taken } = found;
  return formatTable(
    ['Field', 'Value'],
    [
      ['Resource Group', found.resourceGroupName],
      ['Domain', found.domainName],
      ...(found.projectId === undefined ? [] : [['Project ID', found.projectId]]),
      ...(found.userUuid === undefined ? [] : [['User ID', found.userUuid]]),
      ['Weight', `${spec.weight}${spec.usesDefault ? ' (default)' : ''}`],
      ['Half Life', `${spec.halfLifeDays} days`],
      ['Lookback', `${spec.lookbackDays} days (${taken.lookbackStart} – ${taken.lookbackEnd})`],
      ['Decay Unit', `${spec.decayUnitDays} days`],
      ['Fair Share Factor', String(taken.fairShareFactor)],
      ['Normalized Usage', String(taken.normalizedUsage)],
      ['Decayed Usage', slotText(taken.totalDecayedUsage) || '(none)'],
      ['Last Calculated At', taken.lastCalculatedAt],
    ],
  );
}

export const shareJson = (found: Share): unknown => snakeKeys(found);
