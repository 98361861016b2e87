/** Changes by GraphQL mutations of the form `{ok, msg, …}`, and how their outcome reads. */
import * as v from 'valibot';
import { ApiError, type Client, ConnectionError } from '../../client/index.ts';
import type { CommandContext } from '../../common/command.ts';
import { errorMessage } from '../../common/errors.ts';
import { printStatus } from '../../common/glyphs.ts';
import { describeFailure } from '../framework/failures.ts';
import { type Field, formatValue, type Item, isRecord, jsonItem, selection } from './fields.ts';
import { printJson } from './json.ts';
import { documentOf, type Variables } from './query.ts';
import { formatTable } from './table.ts';

type Where = Pick<CommandContext, 'io' | 'globals'>;

export interface Mutation {
  /** Name of the root field. */
  readonly root: string;
  readonly variables: Variables;
  /** What is changed and how, for messages: `user`, `add`. */
  readonly itemName: string;
  readonly actionName: string;
  /** What is shown of the answer's `itemName`; without it the answer has none. */
  readonly fields?: readonly Field[];
  /** Facts that a success prints beside the answer's own. */
  readonly extra?: Readonly<Record<string, unknown>>;
  /** As `extra`, made of the item. */
  readonly extraOf?: (item: Item) => Readonly<Record<string, unknown>>;
}

const payload = v.looseObject({
  ok: v.nullish(v.boolean(), null),
  msg: v.nullish(v.string(), null),
});

const HEADER = ['Field', 'Value'] as const;

function printSuccess({ io, globals }: Where, mutation: Mutation, msg: string, item: Item | null) {
  const { itemName, fields = [], extra = {}, extraOf } = mutation;
  const facts = { ...extra, ...(item === null ? {} : extraOf?.(item)) };
  if (globals.output === 'json') {
    const shown = item === null ? {} : { [itemName]: jsonItem(fields, item) };
    printJson(io, { ok: true, msg, ...facts, ...shown });
    return;
  }
  const rows = Object.entries({ ok: true, msg, ...facts }).map(([key, value]) => [
    key,
    formatValue({ key }, value),
  ]);
  const ofItem = fields.map((field) => [field.key, formatValue(field, item?.[field.key])]);
  io.stdout.write(formatTable(HEADER, [...rows, ...(item === null ? [] : ofItem)]));
}

function printFailure({ io, globals }: Where, mutation: Mutation, msg: string, error?: Error) {
  const { itemName, actionName } = mutation;
  if (globals.output === 'json') {
    const cause = error === undefined ? {} : { error: errorMessage(error) };
    printJson(io, { ok: false, msg, item_name: itemName, action_name: actionName, ...cause });
    return;
  }
  const rows = [
    ['Message', msg],
    ['Item', itemName],
    ['Action', actionName],
  ];
  io.stdout.write(formatTable(HEADER, rows));
  if (error !== undefined) printStatus(io.stderr, 'error', describeFailure(error));
}

/** Asks for a change and returns what it answers. @throws ApiError, ConnectionError. */
export async function askMutation(
  client: Client,
  { root, variables }: Pick<Mutation, 'root' | 'variables'>,
  body: string,
): Promise<v.InferOutput<typeof payload>> {
  const { document, values } = documentOf('mutation', root, variables, body);
  return await client.graphql.field(root, payload, document, values);
}

/** Runs it and prints what became of it. @returns the exit code. */
export async function runMutation(
  where: Where,
  client: Client,
  mutation: Mutation,
): Promise<number> {
  const { fields, itemName } = mutation;
  const body = fields === undefined ? 'ok msg' : `ok msg ${itemName} { ${selection(fields)} }`;
  let answer: v.InferOutput<typeof payload>;
  try {
    answer = await askMutation(client, mutation, body);
  } catch (error) {
    if (!(error instanceof ApiError || error instanceof ConnectionError)) throw error;
    printFailure(where, mutation, 'Failed', error);
    return 1;
  }
  const msg = answer.msg ?? '';
  if (answer.ok !== true) {
    printFailure(where, mutation, msg === '' ? 'Failed' : msg);
    return 1;
  }
  const item = answer[itemName];
  printSuccess(where, mutation, msg, fields !== undefined && isRecord(item) ? item : null);
  return 0;
}
