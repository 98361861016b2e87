/** Reports as CSV, and what projects used. For superadmins. */
import * as v from 'valibot';
import type { HttpClient } from './http.ts';

/** A report that sends nothing for so long is given up. Milliseconds. */
const IDLE_TIMEOUT_MS = 120_000;

const field = v.object({
  key: v.string(),
  name: v.string(),
  description: v.optional(v.nullable(v.string()), null),
  field_type: v.string(),
});
const report = v.object({
  report_key: v.string(),
  name: v.string(),
  description: v.string(),
  fields: v.array(field),
});
const reports = v.object({ reports: v.array(report) });
export type Report = v.InferOutput<typeof report>;

export interface ExportRequest {
  /** Keys of the fields; all when absent. */
  readonly fields?: readonly string[];
  /** Conditions by the name of what is compared. */
  readonly filter?: Readonly<Record<string, unknown>>;
  readonly order?: readonly { readonly field: string; readonly direction: 'ASC' | 'DESC' }[];
  /** Of the text, e.g. `utf-8` or `euc-kr`. */
  readonly encoding: string;
}

const number = v.nullish(v.number(), null);
const text = v.nullish(v.string(), null);
const container = v.looseObject({
  name: text,
  access_key: text,
  image_name: text,
  used_days: number,
  created_at: text,
  terminated_at: text,
  smp: number,
  mem_allocated: number,
  cpu_used: number,
  mem_used: number,
  io_read: number,
  io_write: number,
  nfs: v.nullish(v.array(v.string()), null),
  device_type: v.nullish(v.array(v.string()), null),
});
const monthUsage = v.looseObject({
  g_id: v.string(),
  g_name: v.string(),
  domain_name: v.string(),
  g_smp: number,
  g_mem_allocated: number,
  g_cpu_used: number,
  g_mem_used: number,
  g_io_read: number,
  g_io_write: number,
  g_device_type: v.nullish(v.array(v.string()), null),
  c_infos: v.array(container),
});
export type MonthUsage = v.InferOutput<typeof monthUsage>;

const periodUsage = v.looseObject({
  project_id: v.string(),
  project_name: text,
  domain_name: v.string(),
  total_usage: v.looseObject({
    cpu_used: number,
    mem_used: number,
    io_read: number,
    io_write: number,
    device_type: v.nullish(v.array(v.string()), null),
    gpu_allocated: number,
    gpu_mem_allocated: number,
  }),
});
export type PeriodUsage = v.InferOutput<typeof periodUsage>;

export class ReportApi {
  private readonly http: HttpClient;

  constructor(http: HttpClient) {
    this.http = http;
  }

  async list(): Promise<Report[]> {
    return (await this.http.json(reports, { method: 'GET', path: '/export/reports' })).reports;
  }

  /**
   * The CSV of a report, as it comes.
   * @throws ApiError, ConnectionError; the latter also when the server falls silent.
   */
  csv(key: string, body: ExportRequest): AsyncGenerator<Uint8Array, void, undefined> {
    const path = `/export/${encodeURIComponent(key)}/csv`;
    return this.http.bytes({ method: 'POST', path, body }, IDLE_TIMEOUT_MS);
  }

  /** @param month `YYYYMM`. @param projectIds none: all projects. */
  usageOfMonth(month: string, projectIds: readonly string[]): Promise<MonthUsage[]> {
    return this.http.json(v.array(monthUsage), {
      method: 'GET',
      path: '/resource/usage/month',
      query: { month, group_ids: projectIds },
    });
  }

  /** @param first, last days, `YYYYMMDD`. */
  usageOfPeriod(projectId: string, first: string, last: string): Promise<PeriodUsage[]> {
    return this.http.json(v.array(periodUsage), {
      method: 'GET',
      path: '/resource/usage/period',
      query: { project_id: projectId, start_date: first, end_date: last },
    });
  }

  /** Corrects the books of what agents and sessions hold. */
  async recalculateUsage(): Promise<void> {
    await this.http.done({ method: 'POST', path: '/resource/recalculate-usage' });
  }
}
