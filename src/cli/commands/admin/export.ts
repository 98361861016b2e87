/** `admin export`: reports as CSV, to a file or to standard output. */
import { open, rename, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import {
  type Command,
  type CommandContext,
  defineCommand,
  option,
  optionWithDefault,
  repeated,
  UsageError,
} from '../../../common/command.ts';
import { errorCode, errorMessage, UserError } from '../../../common/errors.ts';
import { printStatus, WaitingLine } from '../../../common/glyphs.ts';
import { formatSize } from '../../../common/sizes.ts';
import {
  contains,
  type ExportFilter,
  equals,
  filterOf,
  isFalse,
  isTrue,
  period,
  word,
} from '../../admin/export-filters.ts';
import { connectAdmin } from '../../connect.ts';
import { commaList } from '../../framework/values.ts';
import { itemsDocument, printJson } from '../../output/json.ts';

export const listReports = defineCommand({
  help: 'List the reports with their fields.',
  async run({ io, globals }) {
    const client = await connectAdmin({ io, globals });
    const reports = await client.report.list();
    if (globals.output === 'json') {
      printJson(io, itemsDocument(reports, reports.length));
      return 0;
    }
    for (const { report_key: key, name, description, fields } of reports) {
      const lines = [
        `${key}: ${name}`,
        `  ${description}`,
        '  Fields:',
        ...fields.map((field) => `    - ${field.key}: ${field.name} (${field.field_type})`),
      ];
      io.stdout.write(`\n${lines.join('\n')}\n`);
    }
    return 0;
  },
});

/** `field`, `field:asc` or `field:desc`. */
function readOrder(text: string): { field: string; direction: 'ASC' | 'DESC' } {
  const [field = '', direction = 'asc', ...rest] = text.split(':');
  const upper = direction.toUpperCase();
  if (field === '' || rest.length > 0 || (upper !== 'ASC' && upper !== 'DESC')) {
    throw new UsageError(`'${text}' is not of the form FIELD[:asc|desc].`);
  }
  return { field, direction: upper };
}

const common = {
  output: option(['-o', '--output'], 'PATH', 'The file to write; standard output when absent.'),
  fields: option(['--fields'], 'A,B', 'Keys of the fields to include; all when absent.', commaList),
  order: repeated(['--order', '-O'], 'FIELD[:asc|desc]', 'Order of the rows.', readOrder),
  encoding: optionWithDefault(
    ['--encoding'],
    'NAME',
    'How the text is written, e.g. euc-kr.',
    'utf-8',
    String,
  ),
};

/** Writes all of it, or leaves what is there as it is; tells how far it is. */
async function save(
  { io }: Pick<CommandContext, 'io'>,
  path: string,
  csv: AsyncIterable<Uint8Array>,
): Promise<number> {
  const waiting = new WaitingLine(io.stderr);
  const target = resolve(io.cwd, path);
  const staging = `${target}.partial`;
  let size = 0;
  try {
    await using file = await open(staging, 'w');
    for await (const chunk of csv) {
      await file.write(chunk);
      size += chunk.length;
      if (io.stderr.isTTY) waiting.show(`Exporting... (${formatSize(size)})`);
    }
    await rename(staging, target);
  } catch (error) {
    await rm(staging, { force: true });
    if (errorCode(error) === '') throw error;
    throw new UserError(`Cannot write ${path}: ${errorMessage(error)}`, { cause: error });
  } finally {
    waiting.clear();
  }
  return size;
}

function exporting(
  report: string,
  what: string,
  filters: Readonly<Record<string, ExportFilter>>,
): Command {
  const filterOptions = Object.fromEntries(
    Object.entries(filters).map(([key, { spec }]) => [key, spec]),
  );
  return defineCommand({
    help: `Export ${what} as CSV.`,
    options: { ...filterOptions, ...common },
    async run({ options, io, globals }) {
      const { output, fields, order, encoding } = options;
      const client = await connectAdmin({ io, globals });
      const csv = client.report.csv(report, {
        fields,
        filter: filterOf(filters, options),
        order: order.length === 0 ? undefined : order,
        encoding,
      });
      if (output === undefined) {
        for await (const chunk of csv) io.stdout.write(chunk);
        return 0;
      }
      const size = await save({ io }, output, csv);
      if (globals.output === 'json') printJson(io, { ok: true, path: output, size_bytes: size });
      else printStatus(io.stderr, 'done', `Exported to ${output}`);
      return 0;
    },
  });
}

const created = period('--filter-after', '--filter-before', 'created_at');

export const users = exporting('users', 'users', {
  username: contains('--filter-username', 'username'),
  email: contains('--filter-email', 'email'),
  domain: contains('--filter-domain', 'domain_name'),
  role: word('--filter-role', 'role'),
  status: word('--filter-status', 'status'),
  ...created,
});

export const sessions = exporting('sessions', 'sessions', {
  name: contains('--filter-name', 'name'),
  type: word('--filter-type', 'session_type'),
  domain: contains('--filter-domain', 'domain_name'),
  accessKey: contains('--filter-access-key', 'access_key'),
  status: word('--filter-status', 'status'),
  scalingGroup: contains('--filter-scaling-group', 'scaling_group_name'),
  ...period('--filter-created-after', '--filter-created-before', 'created_at'),
  ...period('--filter-terminated-after', '--filter-terminated-before', 'terminated_at'),
});

export const keypairs = exporting('keypairs', 'keypairs', {
  accessKey: contains('--filter-access-key', 'access_key'),
  user: contains('--filter-user-id', 'user_id'),
  active: isTrue('--filter-active', 'is_active'),
  inactive: isFalse('--filter-inactive', 'is_active'),
  admin: isTrue('--filter-admin', 'is_admin'),
  nonAdmin: isFalse('--filter-non-admin', 'is_admin'),
  ...created,
});

export const projects = exporting('projects', 'projects', {
  name: contains('--filter-name', 'name'),
  domain: contains('--filter-domain', 'domain_name'),
  active: isTrue('--filter-active', 'is_active'),
  inactive: isFalse('--filter-inactive', 'is_active'),
  ...created,
});

export const auditLogs = exporting('audit-logs', 'the audit log', {
  entityType: equals('--filter-entity-type', 'entity_type'),
  entityId: contains('--filter-entity-id', 'entity_id'),
  operation: equals('--filter-operation', 'operation'),
  status: word('--filter-status', 'status'),
  triggeredBy: contains('--filter-triggered-by', 'triggered_by'),
  requestId: contains('--filter-request-id', 'request_id'),
  ...created,
});
