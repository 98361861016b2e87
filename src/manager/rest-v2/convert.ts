/**
 * Values between the two spellings of one schema: GraphQL's (`fullName`, `BEFORE_VERIFICATION`, global
 * ids) and that of the newer HTTP operations (`full_name`, `before-verification`, plain ids).
 */
import {
  type GraphQLInputType,
  type GraphQLOutputType,
  getNamedType,
  getNullableType,
  isEnumType,
  isInputObjectType,
  isListType,
  isObjectType,
} from 'graphql';
import { BackendError } from '../../common/errors.ts';
import { rawIdOf } from '../graphql/global-id.ts';
import { camelCase } from '../http/parameters.ts';

/** The deepest that a filter nests. */
const MAX_DEPTH = 20;
const CONNECTIVES = new Set(['AND', 'OR', 'NOT']);

/** Enumerations whose members both spell in capitals, as the columns hold them. */
const IN_CAPITALS = new Set([
  'AgentStatus',
  'AgentStatusEnum',
  'SessionV2Status',
  'KernelV2Status',
  'SchedulingResult',
  'ImageV2Status',
]);

/** Enumerations whose members keep their underscores. */
const WITH_UNDERSCORES = new Set(['RBACElementType', 'LoginAttemptResult', 'AgentPermission']);

/** Members that the HTTP operations call by the words of the columns. */
const OTHER_WORDS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  VFolderMountPermission: { READ_ONLY: 'ro', READ_WRITE: 'rw', RW_DELETE: 'wd' },
  VFolderHostPermissionV2: { SET_USER_PERM: 'set-user-specific-permission' },
  RBACElementType: {
    DEPLOYMENT_TOKEN: 'deployment:token',
    DEPLOYMENT_POLICY: 'deployment:policy',
    DEPLOYMENT_REVISION: 'deployment:revision',
    IMAGE_ALIAS: 'image:alias',
    ROLE_ASSIGNMENT: 'role:assignment',
    VFOLDER_DATA: 'vfolder:data',
    SESSION_APP_SERVICE: 'session:app_service',
    USER_EMAIL: 'user:email',
  },
  OperationType: {
    GRANT_ALL: 'grant:all',
    GRANT_READ: 'grant:read',
    GRANT_UPDATE: 'grant:update',
    GRANT_SOFT_DELETE: 'grant:soft-delete',
    GRANT_HARD_DELETE: 'grant:hard-delete',
  },
};

const snakeCase = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A member as GraphQL spells it, whichever way it was written. */
function toMember(value: unknown, typeName: string): unknown {
  if (typeof value !== 'string') return value;
  const words = Object.entries(OTHER_WORDS[typeName] ?? {});
  const [member] = words.find(([, word]) => word === value) ?? [];
  return member ?? value.toUpperCase().replaceAll(/[-.: ]/g, '_');
}

/** `in_` is how Python's clients write `in`. */
const inputName = (name: string): string =>
  CONNECTIVES.has(name.toUpperCase()) ? name.toUpperCase() : camelCase(name.replace(/_$/, ''));

/**
 * A part of a request's body as the argument of a GraphQL field.
 * @param place names the part in failures.
 * @throws BackendError InvalidAPIParameters for a field that the argument has not.
 */
export function toArgument(
  value: unknown,
  type: GraphQLInputType,
  place: string,
  depth = 0,
): unknown {
  if (value === null || value === undefined) return null;
  if (depth > MAX_DEPTH) throw new BackendError('InvalidAPIParameters', `${place}: nests too deep`);
  const nullable = getNullableType(type);
  if (isListType(nullable)) {
    const items = Array.isArray(value) ? value : [value];
    return items.map((item) => toArgument(item, nullable.ofType, place, depth + 1));
  }
  if (isEnumType(nullable)) return toMember(value, nullable.name);
  if (!isInputObjectType(nullable)) return value;
  if (!isRecord(value)) {
    throw new BackendError('InvalidAPIParameters', `${place}: expected an object`);
  }
  const fields = nullable.getFields();
  const entries = Object.entries(value).flatMap(([written, inner]) => {
    if (inner === null) return [];
    const name = inputName(written);
    const field = fields[name];
    if (field === undefined) {
      throw new BackendError('InvalidAPIParameters', `${place}: there is no '${written}' here`);
    }
    return [[name, toArgument(inner, field.type, `${place}.${written}`, depth + 1)] as const];
  });
  return Object.fromEntries(entries);
}

/** A value of an answer in the spelling of the HTTP operations. */
export function fromAnswer(value: unknown, type: GraphQLOutputType): unknown {
  if (value === null || value === undefined) return null;
  const nullable = getNullableType(type);
  if (isListType(nullable)) {
    return Array.isArray(value) ? value.map((item) => fromAnswer(item, nullable.ofType)) : value;
  }
  const named = getNamedType(nullable);
  if (named.name === 'ID') return typeof value === 'string' ? rawIdOf(value) : value;
  if (isEnumType(named)) {
    if (typeof value !== 'string' || IN_CAPITALS.has(named.name)) return value;
    const word = OTHER_WORDS[named.name]?.[value];
    if (word !== undefined) return word;
    const lower = value.toLowerCase();
    return WITH_UNDERSCORES.has(named.name) ? lower : lower.replaceAll('_', '-');
  }
  if (!isObjectType(named) || !isRecord(value)) return value;
  const fields = named.getFields();
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, inner]) => {
      const field = fields[name];
      return field === undefined ? [] : [[snakeCase(name), fromAnswer(inner, field.type)] as const];
    }),
  );
}
