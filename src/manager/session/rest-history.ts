/** `POST /scheduling-history/sessions/search`: what was tried with sessions, for superadmins. */
import * as v from 'valibot';
import { isoTime } from '../../common/time.ts';
import type { ManagerContext } from '../context.ts';
import type { Route } from '../http/route.ts';
import {
  idFilter,
  ordered,
  searchPage,
  searchRoute,
  textFilter,
  toFilter,
  toIdFilter,
} from '../http/search.ts';
import {
  type SessionHistoryRow,
  schedulingResults,
  selectSessionHistory,
} from './history-store.ts';

const words = v.nullish(v.pipe(v.array(v.pipe(v.string(), v.maxLength(64))), v.maxLength(100)));
const body = v.object({
  filter: v.nullish(
    v.object({
      session_id: idFilter,
      phase: textFilter,
      from_status: words,
      to_status: words,
      result: v.nullish(v.array(v.picklist(schedulingResults))),
      error_code: textFilter,
      message: textFilter,
    }),
  ),
  order: ordered(['created_at', 'updated_at'], 'desc'),
  ...searchPage,
});

const oneOf = (list: readonly string[] | null | undefined) => (list ? { in: list } : {});

const toItem = (row: SessionHistoryRow) => ({
  ...row,
  sub_steps: row.sub_steps.map((step) => ({
    ...step,
    started_at: isoTime(step.started_at ?? row.created_at),
    ended_at: isoTime(step.ended_at ?? row.updated_at),
  })),
  created_at: isoTime(row.created_at),
  updated_at: isoTime(row.updated_at),
});

export const sessionHistoryRoutes = (ctx: ManagerContext): Route[] => [
  searchRoute(
    {
      path: '/scheduling-history/sessions/search',
      auth: 'superadmin',
      summary: 'List what was tried with sessions, and what came of it.',
      body,
    },
    async ({ filter }, orderBy, wish) => {
      const wanted = {
        sessionId: toIdFilter(filter?.session_id),
        phase: toFilter(filter?.phase),
        fromStatus: oneOf(filter?.from_status),
        toStatus: oneOf(filter?.to_status),
        result: oneOf(filter?.result),
        errorCode: toFilter(filter?.error_code),
        message: toFilter(filter?.message),
      };
      const query = { filter: wanted, orderBy };
      const { rows, total } = await selectSessionHistory(ctx.sql, null, query, wish);
      return { items: rows.map(toItem), total };
    },
  ),
];
