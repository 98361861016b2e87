/** Exports: which reports there are, and one of them as a stream of CSV. */
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { dataLine, encoderOf, headerLine } from './csv.ts';
import type { ExportBody } from './filter.ts';
import type { Field, Owner, Report } from './report.ts';
import { reports } from './report-store.ts';
import { readReport } from './store.ts';

/** Most rows of one export, as upstream. */
const MAX_ROWS = 100_000;
/** Exports at a time; each takes a connection to the database. */
const MAX_CONCURRENT = 8;

/** How many exports run in this manager. */
export interface ExportLoad {
  running: number;
}

const describe = (report: Report) => ({
  report_key: report.key,
  name: report.name,
  description: report.description,
  fields: report.fields.map(([key, name, type, , relation]) => ({
    key,
    name,
    description: `${relation === undefined ? report.subject : report.relations[relation]?.subject}: ${name}`,
    field_type: type,
  })),
});

export const listReports = () => [...reports.values()].map(describe);

/** @throws BackendError ExportReportNotFound. */
export function getReport(key: string) {
  const report = reports.get(key);
  if (report !== undefined) return describe(report);
  throw new BackendError(
    'ExportReportNotFound',
    `There is no report '${key}', but ${[...reports.keys()].join(', ')}.`,
  );
}

/** The wanted fields in their order; all when none are named. */
function fieldsOf(report: Report, keys: readonly string[] | null): readonly Field[] {
  if (keys === null || keys.length === 0) return report.fields;
  const known = new Map(report.fields.map((field) => [field[0], field]));
  const unknown = keys.filter((key) => !known.has(key));
  if (unknown.length > 0) {
    throw new BackendError(
      'InvalidExportFieldKeys',
      `Report '${report.key}' has no fields ${unknown.slice(0, 10).join(', ')}.`,
    );
  }
  return [...new Set(keys)].flatMap((key) => {
    const field = known.get(key);
    return field === undefined ? [] : [field];
  });
}

const withoutInternal = (report: Report): Report => ({
  ...report,
  fields: report.fields.filter(([key]) => !report.internal?.includes(key)),
});

async function* toCsv(
  { sql }: ManagerContext,
  report: Report,
  asked: ExportBody,
  load: ExportLoad,
  owner: Owner | null,
): AsyncGenerator<Uint8Array, undefined> {
  const { mark, encode } = encoderOf(asked.encoding);
  const fields = fieldsOf(owner === null ? report : withoutInternal(report), asked.fields);
  const types = fields.map(([, , type]) => type);
  if (load.running >= MAX_CONCURRENT) {
    throw new BackendError(
      'TooManyConcurrentExports',
      `${MAX_CONCURRENT} exports are running. Try again when one of them has ended.`,
    );
  }
  load.running += 1;
  try {
    const rows = readReport(sql, report, fields, asked, MAX_ROWS, owner);
    const head = headerLine(fields.map(([, title]) => title));
    let pending = Buffer.concat([mark, encode(head)]);
    for await (const batch of rows) {
      const lines = batch.map((values) => dataLine(values, types)).join('');
      yield Buffer.concat([pending, encode(lines)]);
      pending = Buffer.alloc(0);
    }
    if (pending.length > 0) yield pending;
  } finally {
    load.running -= 1;
  }
}

/**
 * The report as CSV; of one owner's rows without the fields that are only superadmins'. Rows are read as the client takes them; when it goes away, reading ends.
 * @throws BackendError InvalidExportFieldKeys, InvalidAPIParameters for an unknown encoding,
 *   TooManyConcurrentExports; what the database throws before the first rows.
 */
export async function exportCsv(
  ctx: ManagerContext,
  report: Report,
  asked: ExportBody,
  load: ExportLoad,
  owner: Owner | null = null,
): Promise<ReadableStream<Uint8Array>> {
  const chunks = toCsv(ctx, report, asked, load, owner);
  // What goes wrong at the start is told with a status; and a generator that has begun cleans up.
  const first = await chunks.next();
  let next: Uint8Array | undefined = first.value;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const chunk = next ?? (await chunks.next()).value;
        next = undefined;
        if (chunk === undefined) controller.close();
        else controller.enqueue(chunk);
      },
      cancel: async () => {
        await chunks.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
}
