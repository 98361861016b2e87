/** Every mutation of the schema: who is refused, and that a refusal leaves no trace. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import {
  type GraphQLArgument,
  type GraphQLInputType,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
  isObjectType,
  isRequiredInputField,
} from 'graphql';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { graphqlModules } from '../main.ts';
import { mergeModules } from './engine.ts';

/** Mutations that domain administrators may use, in their own domain. All others are superadmins'. */
const ADMINISTRATORS = new Set([
  'create_group',
  'modify_group',
  'delete_group',
  'purge_group',
  'modify_compute_session',
]);

/**
 * Mutations of the newer schema that are not only superadmins': on what is the caller's own, or
 * ruled by roles. Tests of their features say who may do what to what.
 */
const RULED_ELSEWHERE = new Set([
  'bulkDeleteVfoldersV2',
  'bulkPurgeVfoldersV2',
  'createVFolderInProject',
  'createVfolderV2',
  'deleteVfolderV2',
  'forget_image_by_id',
  'issueMyKeypair',
  'restoreVFolder',
  'terminateSessionsV2',
  'untag_image_from_registry',
  'updateUserV2',
]);

const SAMPLES: Readonly<Record<string, string>> = {
  UUID: '"00000000-0000-4000-8000-000000000000"',
  JSONString: '"{}"',
  BigInt: '1',
  Int: '1',
  Float: '1',
  Boolean: 'true',
  ContainerRegistryTypeField: '"docker"',
};

/** A literal of the type with whatever is required. */
function literal(type: GraphQLInputType): string {
  if (isNonNullType(type)) return literal(type.ofType);
  if (isListType(type)) return '[]';
  if (isInputObjectType(type)) {
    const fields = Object.values(type.getFields()).filter(isRequiredInputField);
    return `{ ${fields.map((field) => `${field.name}: ${literal(field.type)}`).join(', ')} }`;
  }
  if (isEnumType(type)) return type.getValues()[0]?.name ?? '';
  return SAMPLES[type.name] ?? '"nobody"';
}

const mutations = Object.values(
  mergeModules(graphqlModules).getMutationType()?.getFields() ?? {},
).map((field) => {
  const needed = (arg: GraphQLArgument) => isNonNullType(arg.type);
  const args = field.args.filter(needed).map((arg) => `${arg.name}: ${literal(arg.type)}`);
  const type = getNamedType(field.type);
  const names = isObjectType(type) ? Object.keys(type.getFields()) : [];
  const call = args.length > 0 ? `${field.name}(${args.join(', ')})` : field.name;
  const tellsOk = names.includes('ok');
  const selection = tellsOk ? 'ok msg' : '__typename';
  return { name: field.name, document: `mutation { ${call} { ${selection} } }`, tellsOk };
});

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
});
afterAll(() => tenants.close());

test.each(mutations.filter(({ name }) => !RULED_ELSEWHERE.has(name)))(
  '$name',
  async ({ name, document, tellsOk }) => {
    const count = async () =>
      (await tenants.db.sql`SELECT count(*)::int AS n FROM audit_logs`)[0]?.n;
    const before = await count();
    const refusal = { ok: false, msg: `no permission to execute ${name}` };
    const refused = ADMINISTRATORS.has(name)
      ? (['user', 'monitor', 'otherUser'] as const)
      : (['user', 'monitor', 'otherUser', 'admin', 'otherAdmin'] as const);
    for (const who of refused) {
      const answer = await tenants.ask(who, document);
      if (tellsOk) expect(answer).toEqual({ data: { [name]: refusal }, errors: null });
      else expect(answer).toMatchObject({ data: { [name]: null }, errors: [{ path: [name] }] });
    }
    if (ADMINISTRATORS.has(name)) {
      // What is named does not exist or is another tenant's: an answer, never a change.
      const { data, errors } = await tenants.ask('admin', document);
      expect(errors ?? data?.[name]).not.toMatchObject({ ok: true });
    }
    expect(await count()).toBe(before);
  },
);
