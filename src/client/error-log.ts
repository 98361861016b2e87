/** The errors that clients have reported to the server. */
import * as v from 'valibot';
import type { HttpClient } from './http.ts';

const entry = v.looseObject({
  log_id: v.string(),
  /** Unix time. Seconds. */
  created_at: v.number(),
  severity: v.string(),
  source: v.string(),
  user: v.nullish(v.string(), null),
  request_url: v.nullish(v.string(), null),
  request_status: v.nullish(v.number(), null),
  message: v.string(),
  traceback: v.nullish(v.string(), null),
});
const page = v.object({ logs: v.array(entry), count: v.number() });

export type ErrorLogPage = v.InferOutput<typeof page>;

export class ErrorLogApi {
  private readonly http: HttpClient;

  constructor(http: HttpClient) {
    this.http = http;
  }

  /** A page of the newest first. @param pageNumber from 1. */
  list(options: {
    markRead: boolean;
    pageSize: number;
    pageNumber: number;
  }): Promise<ErrorLogPage> {
    return this.http.json(page, {
      method: 'GET',
      path: '/logs/error',
      query: {
        mark_read: String(options.markRead),
        page_size: String(options.pageSize),
        page_no: String(options.pageNumber),
      },
    });
  }
}
