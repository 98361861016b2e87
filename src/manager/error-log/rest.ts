/** Operations on the errors that clients report. */
import * as v from 'valibot';
import { storableText } from '../auth/text.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import { lenientBoolean, lenientInteger, uuidText } from '../http/parameters.ts';
import type { Route } from '../http/route.ts';
import * as service from './service.ts';

/** Bounds of what is kept of a report. Characters. */
const MAX_SHORT_TEXT = 1024;
const MAX_LONG_TEXT = 64 * 1024;
const MAX_STATUS = 2 ** 31 - 1;
const MAX_PAGE = 1_000_000;

const plainObject = v.pipe(
  v.unknown(),
  // A list would pass as a record by its indices.
  v.check((value) => !Array.isArray(value), 'an object is expected'),
  v.record(v.string(), v.unknown()),
);

const shortText = storableText(MAX_SHORT_TEXT);
const longText = storableText(MAX_LONG_TEXT);

/** An object, or JSON text of one, as older clients send it. */
const environment = v.pipe(
  v.union([
    plainObject,
    v.pipe(v.string(), v.maxLength(MAX_LONG_TEXT), v.parseJson(), plainObject),
  ]),
  v.check((value) => JSON.stringify(value).length <= MAX_LONG_TEXT, 'it is too large'),
);

const reportBody = v.object({
  severity: v.pipe(
    v.string(),
    v.examples([...service.severities]),
    v.transform((word) => word.toLowerCase()),
    v.picklist(service.severities),
  ),
  source: shortText,
  message: longText,
  context_lang: shortText,
  context_env: environment,
  request_url: v.nullish(longText, null),
  request_status: v.nullish(
    v.pipe(lenientInteger, v.minValue(-MAX_STATUS), v.maxValue(MAX_STATUS)),
    null,
  ),
  traceback: v.nullish(longText, null),
});

const listQuery = v.object({
  mark_read: v.optional(lenientBoolean, false),
  page_size: v.optional(v.pipe(lenientInteger, v.minValue(1), v.maxValue(100)), 20),
  page_no: v.optional(v.pipe(lenientInteger, v.minValue(1), v.maxValue(MAX_PAGE)), 1),
});
const pathParameters = v.object({ log_id: uuidText });

const common = { gate: 'read', auth: 'user' } as const;

export function errorLogRoutes({ sql }: ManagerContext): Route[] {
  return [
    route(
      {
        ...common,
        method: 'POST',
        path: '/logs/error',
        summary: 'Report an error that a client met.',
        takes: { body: reportBody },
      },
      async ({ caller }, { body: given }) => {
        await service.reportError(sql, caller, {
          severity: given.severity,
          source: given.source,
          message: given.message,
          contextLang: given.context_lang,
          contextEnv: given.context_env,
          requestUrl: given.request_url,
          requestStatus: given.request_status,
          traceback: given.traceback,
        });
        return { json: { success: true } };
      },
    ),
    route(
      {
        ...common,
        method: 'GET',
        path: '/logs/error',
        summary: 'List reported errors.',
        takes: { query: listQuery },
      },
      async ({ caller }, { query }) => {
        const { mark_read: markRead, page_size: size, page_no: page } = query;
        const { entries, total } = await service.listErrors(sql, caller, { page, size, markRead });
        const logs = entries.map(({ id, created_at: createdAt, ...entry }) => ({
          log_id: id,
          created_at: createdAt.getTime() / 1000,
          ...entry,
        }));
        return { json: { logs, count: total } };
      },
    ),
    route(
      {
        ...common,
        method: 'POST',
        path: '/logs/error/:log_id/clear',
        summary: 'Put a reported error away.',
        takes: { params: pathParameters },
      },
      async ({ caller }, { params }) => {
        await service.clearError(sql, caller, params.log_id);
        return { json: { success: true } };
      },
    ),
  ];
}
