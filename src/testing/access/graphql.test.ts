/**
 * Every GraphQL root field for every role: who is refused, whose rows the others see, and that asking
 * for what is somebody else's gives none of it and changes nothing.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { databaseState } from '../database-state.ts';
import { type TestFolders, testFolders } from '../folders.ts';
import { documentOf, type RootField, rootFields } from '../graphql-documents.ts';
import { signedHeaders } from '../manager.ts';
import {
  type Belongings,
  insertTenantRows,
  isOfOtherTenant,
  marksIn,
  type Owner,
  owners,
  rowNamed,
  type TenantRows,
} from '../tenant-rows.ts';
import { type Grant, graphqlAccess, ruleOf, rules } from './graphql-table.ts';

const TABLE = 'src/testing/access/graphql-table.ts';

const askers = [
  { who: 'user', role: 'user', as: 'user' },
  { who: 'otherUser', role: 'user', as: 'otherUser' },
  { who: 'admin', role: 'admin', as: 'admin' },
  { who: 'otherAdmin', role: 'admin', as: 'otherAdmin' },
  { who: 'superadmin', role: 'superadmin', as: 'user' },
  { who: 'monitor', role: 'monitor', as: 'user' },
] as const;
type Asker = (typeof askers)[number];

/** A manager, a storage proxy and rows of all kinds. */
const START_TIMEOUT_MS = 60_000;

let tenants: TestFolders;
let rows: TenantRows;
beforeAll(async () => {
  tenants = await testFolders();
  rows = await insertTenantRows(tenants);
}, START_TIMEOUT_MS);
afterAll(() => tenants.close());

/** A document whose required arguments, and those in `more`, name rows. */
const documentNaming = (
  root: RootField,
  belongings: Belongings,
  more: readonly string[] = [],
): string =>
  documentOf(root, (arg, required) =>
    required || more.includes(arg) ? rowNamed(belongings, root.name, arg) : undefined,
  );

interface Answer {
  readonly refused: boolean;
  readonly text: string;
}

async function ask(who: Asker['who'], document: string): Promise<Answer> {
  const { data, errors } = await tenants.ask(who, document);
  const text = JSON.stringify({ data, messages: errors?.map(({ message }) => message) });
  return {
    text,
    refused: errors !== null && /forbidden|permission|privilege|not allowed/i.test(text),
  };
}

/** Whose marks a caller may see. */
function visible(grant: Grant, asker: Asker): readonly string[] {
  if (grant === 'refused' || grant === 'shared') return [];
  const marks = (owner: Owner) => [...rows[owner].marks.person, ...rows[owner].marks.tenant];
  if (grant === 'all') return owners.flatMap(marks);
  const isOther = isOfOtherTenant(asker.as);
  if (grant === 'domain' || grant === 'domain if any') {
    return owners.filter((owner) => isOfOtherTenant(owner) === isOther).flatMap(marks);
  }
  // A monitor has no rows, but belongs to a tenant.
  return asker.role === 'monitor' ? rows[asker.as].marks.tenant : marks(asker.as);
}

/** The marks in an answer, apart from a value that the question already contained. */
const marksBesides = (text: string, asked = ''): string[] =>
  marksIn(rows, asked === '' ? text : text.replaceAll(asked, ''));

describe('the table', () => {
  test('has every root field once', () => {
    const missing = rootFields
      .filter(({ kind, name }) => ruleOf(kind, name) === null)
      .map(({ kind, name }) => `${kind}.${name}`);
    expect(missing, `add these fields to graphqlAccess in ${TABLE}`).toEqual([]);
    const listed = Object.entries(graphqlAccess).flatMap(([kind, byRule]) =>
      Object.values(byRule).flatMap((names) => names.map((name) => `${kind}.${name}`)),
    );
    const declared = rootFields.map(({ kind, name }) => `${kind}.${name}`);
    expect(listed.toSorted(), `${TABLE} lists fields twice, or ones that are gone`).toEqual(
      declared.toSorted(),
    );
  });
});

const tested = (kind: RootField['kind']) =>
  rootFields
    .filter((root) => root.kind === kind)
    .flatMap((root) => {
      const rule = ruleOf(kind, root.name);
      return rule === null ? [] : [{ name: root.name, rule, root }];
    });

describe('queries', () => {
  test.each(tested('query'))('$name: $rule', async ({ name, rule, root }) => {
    for (const asker of askers) {
      const grant = rules[rule][asker.role];
      const { refused, text } = await ask(asker.who, documentNaming(root, rows[asker.as]));
      const allowed = visible(grant, asker);
      const seen = marksBesides(text);
      expect({ who: asker.who, strange: seen.filter((mark) => !allowed.includes(mark)) }).toEqual({
        who: asker.who,
        strange: [],
      });
      if (grant === 'own if any' || grant === 'domain if any') continue;
      expect({ who: asker.who, refused, text }).toEqual({
        who: asker.who,
        refused: grant === 'refused',
        text,
      });
      if (grant === 'own' || grant === 'domain') {
        expect(
          seen.length,
          `${asker.who} sees nothing of its own; give ${name} rows in src/testing/tenant-rows.ts: ${text}`,
        ).toBeGreaterThan(0);
      }
    }
  });

  const scoped = tested('query').filter(({ rule }) => rules[rule].admin.startsWith('domain'));
  test.each(scoped)("$name gives nothing of others' rows", async ({ name, rule, root }) => {
    const before = await databaseState(tenants.db.sql);
    const names = root.field.args.map((arg) => arg.name);
    const naming = names.filter((arg) => rowNamed(rows.user, name, arg) !== undefined);
    let reached = rule === 'permitted' || naming.length === 0;
    for (const arg of naming) {
      for (const owner of owners) {
        const value = rowNamed(rows[owner], name, arg) ?? '';
        const document = documentNaming(root, rows[owner], [arg]);
        const { text } = await ask('superadmin', document);
        reached ||= marksBesides(text, value).length > 0;
        for (const asker of askers) {
          const grant = rules[rule][asker.role];
          if (asker.role === 'superadmin' || asker.as === owner) continue;
          const allowed = visible(grant, asker);
          const answer = await ask(asker.who, document);
          const strange = marksBesides(answer.text, value).filter(
            (mark) => !allowed.includes(mark),
          );
          expect({ who: asker.who, arg, owner, strange }).toEqual({
            ...{ who: asker.who, arg, owner },
            strange: [],
          });
        }
      }
    }
    expect(reached, `${name}: its arguments name no row, not even for superadmins`).toBe(true);
    expect(await databaseState(tenants.db.sql)).toEqual(before);
  });
});

const result = v.object({ ok: v.optional(v.boolean()) });

/** Whether a mutation says that it did something. */
function succeeded({ data, errors }: Awaited<ReturnType<TestFolders['ask']>>): boolean {
  if (errors !== null) return false;
  const parsed = v.safeParse(result, Object.values(data ?? {})[0]);
  return parsed.success && parsed.output.ok !== false;
}

describe('mutations', () => {
  const noPermission = (name: string) => `no permission to execute ${name}`;

  test.each(tested('mutation'))('$name: $rule', async ({ name, rule, root }) => {
    for (const asker of askers) {
      if (asker.role === 'superadmin') continue;
      const who = asker.who;
      const grant = rules[rule][asker.role];
      const foreign = isOfOtherTenant(asker.as) ? 'user' : 'otherUser';
      const document = documentOf(root, (arg) => rowNamed(rows[foreign], name, arg));
      const namesRows = document !== documentOf(root, () => undefined);
      if (grant !== 'refused' && !namesRows) continue;
      const before = await databaseState(tenants.db.sql);
      const answer = await tenants.ask(who, document);
      expect({ who, succeeded: succeeded(answer), answer }).toEqual({
        ...{ who, succeeded: false, answer },
      });
      const text = JSON.stringify(answer);
      if (grant === 'refused') expect(text).toMatch(/no permission|forbidden|privilege/i);
      else expect(text).not.toContain(noPermission(name));
      expect({ who, state: await databaseState(tenants.db.sql) }).toEqual({ who, state: before });
    }
  });

  // Last, because some of these begin work that goes on.
  test.each(tested('mutation'))('$name refuses no superadmin', async ({ name, root }) => {
    const answer = await tenants.ask(
      'superadmin',
      documentOf(root, () => undefined),
    );
    expect(JSON.stringify(answer)).not.toContain(noPermission(name));
  });
});

describe('subscriptions', () => {
  /** All that a subscription tells until it ends, which one that is refused does at once. */
  async function follow(who: Asker['who'], query: string): Promise<string> {
    const target = '/admin/gql';
    const signed = signedHeaders(tenants.people[who], {
      ...{ method: 'POST', target, host: new URL(tenants.url).host },
      contentType: 'application/json',
    });
    const response = await fetch(`${tenants.url}${target}`, {
      method: 'POST',
      headers: { ...signed, Accept: 'text/event-stream' },
      body: JSON.stringify({ query }),
      signal: AbortSignal.timeout(20_000),
    });
    return response.text();
  }

  test.each(tested('subscription'))(
    "$name gives nothing of others' rows",
    async ({ name, rule, root }) => {
      for (const asker of askers) {
        if (asker.role === 'superadmin') continue;
        const foreign = isOfOtherTenant(asker.as) ? 'user' : 'otherUser';
        const document = documentOf(root, (arg) => rowNamed(rows[foreign], name, arg));
        expect(document, `${rule}: a field that names no row needs a test of its own`).not.toBe(
          documentOf(root, () => undefined),
        );
        const text = await follow(asker.who, document);
        expect(text).toContain('"errors":[');
        const asked = rowNamed(rows[foreign], name, root.field.args[0]?.name ?? '');
        const strange = marksBesides(text, asked).filter(
          (mark) => !visible('own', asker).includes(mark),
        );
        expect({ who: asker.who, strange }).toEqual({ who: asker.who, strange: [] });
      }
    },
  );
});
