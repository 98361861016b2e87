/** What of a type of the schema the newer HTTP operations tell: everything that is the row's own. */
import {
  type GraphQLField,
  type GraphQLOutputType,
  getNamedType,
  isInterfaceType,
  isLeafType,
  isObjectType,
  isUnionType,
} from 'graphql';

/** Descriptions of descriptions of a row nest less deeply. */
const MAX_DEPTH = 6;

/** A row of its own, or a list of them, which has an operation of its own. */
function isRelation(type: GraphQLOutputType): boolean {
  const named = getNamedType(type);
  if (isInterfaceType(named) || isUnionType(named)) return true;
  if (!isObjectType(named)) return false;
  return (
    named.name.endsWith('Connection') ||
    named.getInterfaces().some((each) => each.name === 'Node') ||
    Object.hasOwn(named.getFields(), 'id')
  );
}

const isOwn = (field: GraphQLField<unknown, unknown>): boolean =>
  field.args.length === 0 && !isRelation(field.type);

/** The selection set of a type's own fields, without what leads to other rows. */
export function selectionOf(type: GraphQLOutputType, depth = 0): string {
  const named = getNamedType(type);
  if (!isObjectType(named)) return '';
  const fields = Object.values(named.getFields()).flatMap((field) => {
    if (!isOwn(field)) return [];
    if (isLeafType(getNamedType(field.type))) return [field.name];
    const inner = depth < MAX_DEPTH ? selectionOf(field.type, depth + 1) : '';
    return inner === '' ? [] : [`${field.name} ${inner}`];
  });
  return fields.length === 0 ? '' : `{ ${fields.join(' ')} }`;
}

const isPayload = (type: GraphQLOutputType): boolean => getNamedType(type).name.endsWith('Payload');

/** The selection set of a payload: the rows that it tells, each with its own fields. */
function payloadSelectionOf(type: GraphQLOutputType): string {
  const named = getNamedType(type);
  if (!isObjectType(named)) return '';
  const fields = Object.values(named.getFields()).map((field) =>
    isLeafType(getNamedType(field.type))
      ? field.name
      : `${field.name} ${wholeSelectionOf(field.type)}`,
  );
  return `{ ${fields.join(' ')} }`;
}

/** The selection set of what a root field tells: a payload, or a row alone. */
export const wholeSelectionOf = (type: GraphQLOutputType): string =>
  isPayload(type) ? payloadSelectionOf(type) : selectionOf(type);
