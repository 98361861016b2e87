/**
 * `bun run contract`: how much of upstream's GraphQL surface there is, by how much clients need it,
 * and of what the WebUI asks, by group of its pages. Fails when a field that was there is gone, when
 * one is there that upstream does not have, or when a group has less than `webui-floor.json` says.
 * `--missing` lists what the WebUI would miss; `--raise` writes today's counts as the new floor.
 */
import { join } from 'node:path';
import * as v from 'valibot';
import { mergeModules } from '../src/manager/graphql/engine.ts';
import { graphqlModules } from '../src/manager/main.ts';
import { clientUsage, coverageOf, type GroupCoverage } from '../src/testing/contract/coverage.ts';
import covered from '../src/testing/contract/graphql-covered.json';
import tiers from '../src/testing/contract/graphql-root-fields.json';
import floor from '../src/testing/contract/webui-floor.json';
import usage from '../src/testing/contract/webui-usage.json';

const FLOOR = join(import.meta.dir, '../src/testing/contract/webui-floor.json');
const KINDS = ['roots', 'args', 'selections'] as const;
type Counts = Record<(typeof KINDS)[number], number>;

const schema = mergeModules(graphqlModules);

/** All root fields as `query.agent`. */
function presentFields(): ReadonlySet<string> {
  const roots = {
    query: schema.getQueryType(),
    mutation: schema.getMutationType(),
    subscription: schema.getSubscriptionType(),
  };
  return new Set(
    Object.entries(roots).flatMap(([operation, type]) =>
      Object.keys(type?.getFields() ?? {}).map((field) => `${operation}.${field}`),
    ),
  );
}

const present = presentFields();
const known = new Set<string>();
for (const [tier, halves] of Object.entries(tiers)) {
  const counts = Object.entries(halves).map(([half, fields]) => {
    for (const field of fields) known.add(field);
    return `${half} ${fields.filter((field) => present.has(field)).length} of ${fields.length}`;
  });
  console.log(`GraphQL root fields, ${tier}: ${counts.join(', ')}`);
}
const needed = [...tiers.tier1.legacy, ...tiers.tier1.v2];
const missing = needed.filter((field) => !present.has(field));
if (missing.length > 0) console.log(`Missing of tier1: ${missing.join(', ')}`);

const there = (group: GroupCoverage): Counts => ({
  roots: group.roots.total - group.roots.missing.length,
  args: group.args.total - group.args.missing.length,
  selections: group.selections.total - group.selections.missing.length,
});
const webui = coverageOf(schema, v.parse(clientUsage, usage));
const floors: Readonly<Record<string, Counts>> = floor;
const fallen: string[] = [];
for (const [name, group] of webui) {
  const counts = there(group);
  const shown = KINDS.map((kind) => `${counts[kind]} of ${group[kind].total} ${kind}`);
  console.log(`WebUI, ${name}: ${shown.join(', ')}`);
  if (process.argv.includes('--missing')) {
    for (const kind of KINDS) {
      if (group[kind].missing.length > 0)
        console.log(`  ${kind}: ${group[kind].missing.join(' ')}`);
    }
  }
  const least = floors[name];
  for (const kind of KINDS) {
    if (least && counts[kind] >= least[kind]) continue;
    fallen.push(`${name}: ${counts[kind]} ${kind} instead of ${least?.[kind] ?? 'a known number'}`);
  }
}
if (process.argv.includes('--raise')) {
  const counts = Object.fromEntries([...webui].map(([name, group]) => [name, there(group)]));
  await Bun.write(FLOOR, `${JSON.stringify(counts, null, 2)}\n`);
  console.log(`Written: ${FLOOR}`);
  process.exit(0);
}

/** Our own: upstream answers these over REST only (`POST /v2/sessions/my/search`). */
const OWN = new Set(['query.agentV2', 'query.mySessionsV2']);

const promised = new Set<string>(covered);
const complaints: readonly [string, readonly string[]][] = [
  ['Gone, though covered before', covered.filter((field) => !present.has(field))],
  ['Less of what the WebUI needs than before (see `bun run contract --missing`)', fallen],
  ["Not upstream's", [...present].filter((field) => !known.has(field) && !OWN.has(field))],
  [
    'Present: add to src/testing/contract/graphql-covered.json',
    [...present].filter((field) => known.has(field) && !promised.has(field)),
  ],
];
const wrong = complaints.filter(([, fields]) => fields.length > 0);
for (const [complaint, fields] of wrong) console.error(`${complaint}: ${fields.join(', ')}`);
process.exit(wrong.length === 0 ? 0 : 1);
