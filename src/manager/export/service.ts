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
/** Of these, those that anybody may begin: superadmins find room beside them. */
const MAX_PEOPLES = 6;
/** Of these, one person's. */
const MAX_PER_PERSON = 2;

const tooMany = (running: string): BackendError =>
  new BackendError(
    'TooManyConcurrentExports',
    `${running} are running. Try again when one of them has ended.`,
  );

/** The exports that run in this manager. */
export class ExportLoad {
  #running = 0;
  /** User → how many are theirs. */
  readonly #peoples = new Map<string, number>();

  /**
   * @param userId who exports as anybody may; null: superadmins, of all rows.
   * @returns what is to be called when it has ended.
   * @throws BackendError TooManyConcurrentExports.
   */
  begin(userId: string | null): () => void {
    if (this.#running >= MAX_CONCURRENT) throw tooMany(`${MAX_CONCURRENT} exports`);
    if (userId !== null) this.#count(userId);
    this.#running += 1;
    return () => {
      this.#running -= 1;
      if (userId === null) return;
      const left = (this.#peoples.get(userId) ?? 0) - 1;
      if (left > 0) this.#peoples.set(userId, left);
      else this.#peoples.delete(userId);
    };
  }

  #count(userId: string): void {
    const own = this.#peoples.get(userId) ?? 0;
    if (own >= MAX_PER_PERSON) throw tooMany(`${MAX_PER_PERSON} exports of yours`);
    const all = [...this.#peoples.values()].reduce((sum, each) => sum + each, 0);
    if (all >= MAX_PEOPLES) throw tooMany(`${MAX_PEOPLES} exports of people`);
    this.#peoples.set(userId, own + 1);
  }
}

/** An export that is not of all rows. */
export interface OwnedRows {
  readonly owner: Owner;
  /** Who exports them. */
  readonly userId: string;
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
  { sql }: Pick<ManagerContext, 'sql'>,
  report: Report,
  asked: ExportBody,
  load: ExportLoad,
  owned: OwnedRows | null,
): AsyncGenerator<Uint8Array, undefined> {
  const encoder = encoderOf(asked.encoding);
  const fields = fieldsOf(owned === null ? report : withoutInternal(report), asked.fields);
  const types = fields.map(([, , type]) => type);
  const end = load.begin(owned?.userId ?? null);
  try {
    const rows = readReport(sql, report, fields, asked, MAX_ROWS, owned?.owner ?? null);
    const head = headerLine(fields.map(([, title]) => title));
    let pending = Buffer.concat([encoder.mark, encoder.encode(head)]);
    for await (const batch of rows) {
      const lines = batch.map((values) => dataLine(values, types)).join('');
      yield Buffer.concat([pending, encoder.encode(lines)]);
      pending = Buffer.alloc(0);
    }
    const last = Buffer.concat([pending, encoder.end()]);
    if (last.length > 0) yield last;
  } finally {
    end();
  }
}

/**
 * The report as CSV; of one owner's rows without the fields that are only superadmins'. Rows are read as the client takes them; when it goes away, reading ends.
 * @throws BackendError InvalidExportFieldKeys, InvalidAPIParameters for an unknown encoding,
 *   TooManyConcurrentExports; what the database throws before the first rows.
 */
export async function exportCsv(
  ctx: Pick<ManagerContext, 'sql'>,
  report: Report,
  asked: ExportBody,
  load: ExportLoad,
  owned: OwnedRows | null = null,
): Promise<ReadableStream<Uint8Array>> {
  const chunks = toCsv(ctx, report, asked, load, owned);
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
