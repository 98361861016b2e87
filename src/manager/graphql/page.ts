/** Pages of lists, whatever style of arguments asked for them: which rows, and what about them. */
import {
  type FieldNode,
  type FragmentDefinitionNode,
  GraphQLIncludeDirective,
  type GraphQLResolveInfo,
  GraphQLSkipDirective,
  getDirectiveValues,
  Kind,
  type SelectionSetNode,
} from 'graphql';

/** Which rows of a list in its order. */
export type PageRequest =
  | { readonly mode: 'offset'; readonly limit: number; readonly offset: number }
  | {
      /** Forward: the rows after the cursor; backward: the last rows before it. */
      readonly mode: 'forward' | 'backward';
      readonly limit: number;
      /** Raw id of the row at the cursor; null is the list's start, or its end. */
      readonly cursor: string | null;
    };

export interface PageWish {
  readonly page: PageRequest;
  /** Whether the number of all matching rows is asked for. */
  readonly count: boolean;
  /** Whether rows or their bounds are asked for. */
  readonly rows: boolean;
}

export interface Listed<Row> {
  readonly rows: readonly Row[];
  /** All rows that match, on whatever page; null when nobody asked. */
  readonly total: number | null;
  readonly hasNext: boolean;
  readonly hasPrevious: boolean;
}

/** The page's row type changed; everything else stays. */
export const mapListed = <From, To>(listed: Listed<From>, each: (row: From) => To): Listed<To> => ({
  ...listed,
  rows: listed.rows.map(each),
});

/** Most rows of one page when nothing is configured. */
export const MAX_PAGE_ROWS = 10_000;

function isIncluded(
  node: FieldNode | SelectionSetNode['selections'][number],
  info: GraphQLResolveInfo,
) {
  const skip = getDirectiveValues(GraphQLSkipDirective, node, info.variableValues);
  const include = getDirectiveValues(GraphQLIncludeDirective, node, info.variableValues);
  return skip?.if !== true && include?.if !== false;
}

function collect(
  set: SelectionSetNode | undefined,
  info: GraphQLResolveInfo,
  names: Set<string>,
  seen: Set<FragmentDefinitionNode>,
): void {
  for (const selection of set?.selections ?? []) {
    if (!isIncluded(selection, info)) continue;
    if (selection.kind === Kind.FIELD) names.add(selection.name.value);
    else if (selection.kind === Kind.INLINE_FRAGMENT) {
      collect(selection.selectionSet, info, names, seen);
    } else {
      const fragment = info.fragments[selection.name.value];
      if (!fragment || seen.has(fragment)) continue;
      seen.add(fragment);
      collect(fragment.selectionSet, info, names, seen);
    }
  }
}

/** Names of the fields that the document selects on the result of the field being resolved. */
export function selectedFields(info: GraphQLResolveInfo): ReadonlySet<string> {
  const names = new Set<string>();
  const seen = new Set<FragmentDefinitionNode>();
  for (const node of info.fieldNodes) collect(node.selectionSet, info, names, seen);
  return names;
}

/** The wish for a page of a connection, by what the document selects of it. */
export function pageWish(page: PageRequest, info: GraphQLResolveInfo): PageWish {
  const selected = selectedFields(info);
  return {
    page,
    count: selected.has('count'),
    rows: page.limit > 0 && (selected.has('edges') || selected.has('pageInfo')),
  };
}
