/**
 * `bun run contract`: how much of upstream's GraphQL surface there is, by how much clients need it.
 * Fails when a field that was there is gone, or when one is there that upstream does not have.
 */
import { mergeModules } from '../src/manager/graphql/engine.ts';
import { graphqlModules } from '../src/manager/main.ts';
import covered from '../src/testing/contract/graphql-covered.json';
import tiers from '../src/testing/contract/graphql-root-fields.json';

/** All root fields as `query.agent`. */
function presentFields(): ReadonlySet<string> {
  const schema = mergeModules(graphqlModules);
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

const promised = new Set<string>(covered);
const complaints: readonly [string, readonly string[]][] = [
  ['Gone, though covered before', covered.filter((field) => !present.has(field))],
  ["Not upstream's", [...present].filter((field) => !known.has(field))],
  [
    'Present: add to src/testing/contract/graphql-covered.json',
    [...present].filter((field) => known.has(field) && !promised.has(field)),
  ],
];
const wrong = complaints.filter(([, fields]) => fields.length > 0);
for (const [complaint, fields] of wrong) console.error(`${complaint}: ${fields.join(', ')}`);
process.exit(wrong.length === 0 ? 0 : 1);
