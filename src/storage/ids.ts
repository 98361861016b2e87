/** How managers name folders and quota scopes, and where those lie on a volume (layout version 3). */
import * as v from 'valibot';

const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;

const hexOf = (uuid: string): string => uuid.replaceAll('-', '').toLowerCase();

/** Whose quota counts: a user's or a project's. */
export interface QuotaScopeId {
  readonly kind: 'user' | 'project';
  /** 32 hexadecimal digits. */
  readonly hex: string;
}

export interface FolderId {
  /** Null in volumes of layout version 2, where folders are not sorted by owner. */
  readonly scope: QuotaScopeId | null;
  /** 32 hexadecimal digits. */
  readonly hex: string;
}

function parseScope(text: string): QuotaScopeId | null {
  const [kind, uuid, ...rest] = text.split(':');
  if ((kind !== 'user' && kind !== 'project') || rest.length > 0) return null;
  return uuid !== undefined && UUID.test(uuid) ? { kind, hex: hexOf(uuid) } : null;
}

function parseFolder(text: string): FolderId | null {
  const parts = text.split('/');
  const uuid = parts.at(-1) ?? '';
  if (!UUID.test(uuid) || parts.length > 2) return null;
  if (parts.length === 1) return { scope: null, hex: hexOf(uuid) };
  const scope = parseScope(parts[0] ?? '');
  return scope && { scope, hex: hexOf(uuid) };
}

/** `user:<uuid>` or `project:<uuid>`. */
export const quotaScopeId = v.pipe(
  v.string(),
  v.rawTransform<string, QuotaScopeId>(({ dataset, addIssue, NEVER }) => {
    const scope = parseScope(dataset.value);
    if (scope) return scope;
    addIssue({ message: 'expected a quota scope such as "user:<uuid>"' });
    return NEVER;
  }),
);

/** `user:<uuid>/<hex>`, `project:<uuid>/<hex>`, or `<hex>` alone. */
export const folderId = v.pipe(
  v.string(),
  v.rawTransform<string, FolderId>(({ dataset, addIssue, NEVER }) => {
    const folder = parseFolder(dataset.value);
    if (folder) return folder;
    addIssue({ message: 'expected a folder such as "user:<uuid>/<folder id>"' });
    return NEVER;
  }),
);

const dashed = (hex: string): string =>
  hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

export const formatScope = ({ kind, hex }: QuotaScopeId): string => `${kind}:${dashed(hex)}`;

/** The spelling that `folderId` reads. */
export const formatFolder = ({ scope, hex }: FolderId): string =>
  scope === null ? hex : `${formatScope(scope)}/${hex}`;

/** The names of the folders between a volume's root and a folder, and the folder's own. */
export function layoutOf({ scope, hex }: FolderId): string[] {
  const fanOut = [hex.slice(0, 2), hex.slice(2, 4), hex.slice(4)];
  return scope === null ? fanOut : [scope.hex, ...fanOut];
}
