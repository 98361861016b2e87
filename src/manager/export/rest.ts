/** `/export`: reports for superadmins, as CSV. */
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import type { Route } from '../http/route.ts';
import { exportBody } from './filter.ts';
import { reports } from './report-store.ts';
import * as service from './service.ts';

const FILENAME_HEADER = 'x-export-filename';

/** `users-20260102030405.csv` unless the client names it; only characters that need no quoting. */
function fileName(key: string, given: string | null, now: Date): string {
  const wanted = given?.replace(/[^\w.\- ]/g, '_').slice(0, 128);
  if (wanted) return wanted;
  return `${key}-${now.toISOString().slice(0, 19).replace(/[-:T]/g, '')}.csv`;
}

const open = { gate: 'any', auth: 'superadmin' } as const;

export function exportRoutes(ctx: ManagerContext): Route[] {
  const load: service.ExportLoad = { running: 0 };
  return [
    route(
      { ...open, method: 'GET', path: '/export/reports', summary: 'List the reports.', takes: {} },
      async () => ({ json: { reports: service.listReports() } }),
    ),
    route(
      {
        ...open,
        method: 'GET',
        path: '/export/reports/:report_key',
        summary: 'Tell the fields of a report.',
        takes: { params: v.object({ report_key: v.string() }) },
      },
      async (_, { params }) => ({ json: { report: service.getReport(params.report_key) } }),
    ),
    ...[...reports.values()].map((report) =>
      route(
        {
          ...open,
          method: 'POST',
          path: `/export/${report.key}/csv`,
          summary: `Export as CSV: ${report.name.toLowerCase()}.`,
          takes: { body: exportBody(report) },
        },
        async ({ request }, { body }) => {
          const stream = await service.exportCsv(ctx, report, body, load);
          const name = fileName(report.key, request.headers.get(FILENAME_HEADER), ctx.clock.now());
          return new Response(stream, {
            headers: {
              'Content-Type': `text/csv; charset=${body.encoding}`,
              'Content-Disposition': `attachment; filename="${name}"`,
            },
          });
        },
      ),
    ),
  ];
}
