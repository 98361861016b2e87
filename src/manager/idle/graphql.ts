/** Idle reports as resolvers read them: one look-up per request, however many sessions are listed. */
import { batched } from '../graphql/loaders.ts';
import { type IdleReport, loadIdleReports } from './report.ts';

/** The report of a session that the caller has found. */
export const idleReportOf = batched<string, IdleReport>((ids, { ctx }) =>
  loadIdleReports(ctx, ids),
);
