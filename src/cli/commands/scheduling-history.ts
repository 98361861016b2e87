/** `scheduling-history session list`: what was tried with sessions, and what came of it. */
import * as v from 'valibot';
import {
  choice,
  defineCommand,
  flag,
  integer,
  option,
  optionWithDefault,
  repeated,
} from '../../common/command.ts';
import { connect } from '../connect.ts';
import { itemsDocument, printJson } from '../output/json.ts';
import { formatTable } from '../output/table.ts';

const RESULTS = [
  ...['SUCCESS', 'FAILURE', 'STALE', 'NEED_RETRY', 'EXPIRED', 'GIVE_UP', 'SKIPPED'],
] as const;
const MESSAGE_CHARS = 60;

const step = v.object({
  step: v.string(),
  result: v.string(),
  errorCode: v.nullable(v.string()),
  message: v.nullable(v.string()),
  startedAt: v.nullable(v.string()),
  endedAt: v.nullable(v.string()),
});
const entry = v.object({
  id: v.string(),
  sessionId: v.string(),
  phase: v.string(),
  fromStatus: v.nullable(v.string()),
  toStatus: v.nullable(v.string()),
  result: v.string(),
  errorCode: v.nullable(v.string()),
  message: v.nullable(v.string()),
  subSteps: v.array(step),
  attempts: v.number(),
  createdAt: v.string(),
  updatedAt: v.string(),
});
type Entry = v.InferOutput<typeof entry>;
const connection = v.object({
  count: v.number(),
  edges: v.array(v.object({ node: entry })),
});

const SELECTION = `count edges { node { ${Object.keys(entry.entries)
  .map((key) => (key === 'subSteps' ? `subSteps { ${Object.keys(step.entries).join(' ')} }` : key))
  .join(' ')} } }`;

const SHARED =
  '$filter: SessionSchedulingHistoryFilter, $orderBy: [SessionSchedulingHistoryOrderBy!], $limit: Int, $offset: Int';
const PASSED = 'filter: $filter, orderBy: $orderBy, limit: $limit, offset: $offset';

/** Superadmins see the history of all sessions; others name one. */
const documentOf = (one: boolean): readonly [root: string, document: string] =>
  one
    ? [
        'sessionScopedSchedulingHistories',
        `query ($scope: SessionScope!, ${SHARED}) {
          sessionScopedSchedulingHistories(scope: $scope, ${PASSED}) { ${SELECTION} } }`,
      ]
    : [
        'adminSessionSchedulingHistories',
        `query (${SHARED}) { adminSessionSchedulingHistories(${PASSED}) { ${SELECTION} } }`,
      ];

function tableOf(entries: readonly Entry[], verbose: boolean, withSession: boolean): string {
  const cut = (text: string) =>
    verbose || text.length <= MESSAGE_CHARS ? text : `${text.slice(0, MESSAGE_CHARS - 1)}…`;
  const rows = entries.flatMap((item) => [
    [
      ...(withSession ? [item.sessionId] : []),
      item.createdAt,
      item.phase,
      `${item.fromStatus ?? '-'} → ${item.toStatus ?? '-'}`,
      item.result,
      String(item.attempts),
      cut([item.errorCode, item.message].filter(Boolean).join(': ')),
    ],
    ...item.subSteps.map((sub) => [
      ...(withSession ? [''] : []),
      sub.startedAt ?? '',
      `  ${sub.step}`,
      '',
      sub.result,
      '',
      cut([sub.errorCode, sub.message].filter(Boolean).join(': ')),
    ]),
  ]);
  const titles = ['Created At', 'Phase', 'Status', 'Result', 'Attempts', 'Message'];
  return formatTable(withSession ? ['Session ID', ...titles] : titles, rows);
}

function grouped(entries: readonly Entry[]): Map<string, Entry[]> {
  const out = new Map<string, Entry[]>();
  for (const item of entries) {
    const list = out.get(item.sessionId);
    if (list) list.push(item);
    else out.set(item.sessionId, [item]);
  }
  return out;
}

export const session = defineCommand({
  help: 'Show what was tried with sessions. Without --session-id, of all of them (superadmins).',
  options: {
    sessionId: option(['--session-id'], 'UUID', 'Only this session.'),
    phase: option(['--phase'], 'NAME', 'Only this phase, e.g. schedule-sessions.'),
    from: repeated(['--from-status'], 'STATUS', 'Only from this status.'),
    to: repeated(['--to-status'], 'STATUS', 'Only to this status.'),
    result: option(['--result'], `[${RESULTS.join('|')}]`, 'Only this result.', choice(RESULTS)),
    errorCode: option(['--error-code'], 'CODE', 'Only this error.'),
    message: option(['--message'], 'TEXT', 'Only messages with this text in them.'),
    limit: optionWithDefault(['--limit'], 'INT', 'Most entries.', 20, integer({ min: 1 })),
    offset: optionWithDefault(['--offset'], 'INT', 'Entries to skip.', 0, integer({ min: 0 })),
    orderBy: optionWithDefault(
      ['--order-by'],
      '[created_at|updated_at]',
      'What to order by.',
      'created_at',
      choice(['created_at', 'updated_at']),
    ),
    order: optionWithDefault(
      ['--order'],
      '[ASC|DESC]',
      'Oldest or latest first.',
      'DESC',
      choice(['ASC', 'DESC']),
    ),
    json: flag(['--json'], 'Print JSON.'),
    group: flag(['--group'], 'A table for each session.'),
    verbose: flag(['-v', '--verbose'], 'Do not cut messages.'),
  },
  async run({ options, io, globals }) {
    const client = await connect({ io, globals });
    const { sessionId } = options;
    const filter = {
      ...(options.phase !== undefined && { phase: { equals: options.phase } }),
      ...(options.from.length > 0 && { fromStatus: options.from }),
      ...(options.to.length > 0 && { toStatus: options.to }),
      ...(options.result !== undefined && { result: { equals: options.result } }),
      ...(options.errorCode !== undefined && { errorCode: { equals: options.errorCode } }),
      ...(options.message !== undefined && { message: { iContains: options.message } }),
    };
    const [root, document] = documentOf(sessionId !== undefined);
    const { count, edges } = await client.graphql.field(root, connection, document, {
      ...(sessionId !== undefined && { scope: { sessionId } }),
      filter: Object.keys(filter).length > 0 ? filter : null,
      orderBy: [{ field: options.orderBy.toUpperCase(), direction: options.order }],
      limit: options.limit,
      offset: options.offset,
    });
    const entries = edges.map(({ node }) => node);
    if (options.json || globals.output === 'json') {
      printJson(io, itemsDocument(entries, count));
    } else if (entries.length === 0) {
      io.stdout.write('No session history found\n');
    } else if (options.group) {
      for (const [id, own] of grouped(entries)) {
        io.stdout.write(`Session ${id}\n${tableOf(own, options.verbose, false)}\n`);
      }
    } else {
      io.stdout.write(tableOf(entries, options.verbose, sessionId === undefined));
    }
    return 0;
  },
});
