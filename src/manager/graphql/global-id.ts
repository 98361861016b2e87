/** Global ids: `base64("<TypeName>:<raw id>")`, and the raw ids that clients send in their place. */

import { isUuid } from '../../common/ids.ts';

/** Longest id in either form. Characters. */
const MAX_ID_LENGTH = 1024;

export interface GlobalId {
  /** GraphQL type name; null when the text was a raw id. */
  readonly typeName: string | null;
  readonly rawId: string;
}

/** The id of a node as clients see it. */
export const globalId = (typeName: string, rawId: string): string =>
  Buffer.from(`${typeName}:${rawId}`).toString('base64');

const TYPE_AND_ID = /^([A-Za-z_][A-Za-z0-9_]*):(.+)$/s;

/** Reads an id in either form: what does not decode to `Type:id` is a raw id. Never fails. */
export function parseGlobalId(text: string): GlobalId {
  const raw = { typeName: null, rawId: text };
  // UUIDs are made of base64's letters too, and one in a thousand would read as some type.
  if (text.length > MAX_ID_LENGTH || isUuid(text)) return raw;
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(text)) return raw;
  const bytes = Buffer.from(text, 'base64');
  const decoded = bytes.toString('utf8');
  // What is no UTF-8 was no id of ours.
  if (!Buffer.from(decoded, 'utf8').equals(bytes)) return raw;
  const [, typeName, rawId] = TYPE_AND_ID.exec(decoded) ?? [];
  return typeName === undefined || rawId === undefined ? raw : { typeName, rawId };
}

/** The raw id that a client means by either form. */
export const rawIdOf = (text: string): string => parseGlobalId(text).rawId;
