/** Code execution for clients: requests as they write them, slices as they read them. */
import * as v from 'valibot';
import { BackendError, errorMessage } from '../../common/errors.ts';
import { parseOutside } from '../../common/parse.ts';
import type {
  CompletionRequest,
  ExecuteRequest,
  ExecuteSlice,
} from '../../common/protocol/execution.ts';
import type { ManagerContext } from '../context.ts';
import { aliased } from '../http/parameters.ts';
import { noteUse } from '../idle/activity.ts';
import { callKernel } from './kernel-call.ts';
import { countQuery, type SessionRecord } from './service.ts';

const nullishText = v.nullish(v.string());

export const executeBody = aliased(
  { run_id: ['runId'] },
  v.object({
    mode: nullishText,
    run_id: v.nullish(v.pipe(v.string(), v.maxLength(64, 'a run id has at most 64 characters'))),
    code: nullishText,
    options: v.nullish(v.record(v.string(), v.unknown())),
  }),
);
type ExecuteBody = v.InferOutput<typeof executeBody>;

const batchOptions = v.object({ clean: nullishText, build: nullishText, exec: nullishText });

const completionOptions = v.object({
  post: v.nullish(v.string(), ''),
  line: v.nullish(v.string(), ''),
  row: v.nullish(v.number(), 0),
  col: v.nullish(v.number(), 0),
});

function parseOptions<S extends v.GenericSchema<unknown, unknown>>(
  schema: S,
  options: unknown,
): v.InferOutput<S> {
  const parsed = parseOutside(schema, options ?? {});
  if (parsed.success) return parsed.output;
  throw new BackendError('InvalidAPIParameters', `options: ${parsed.issues[0].message}`);
}

export type RunRequest = Pick<ExecuteRequest, 'mode' | 'runId' | 'code' | 'options'>;

const RUN_MODES = ['query', 'batch', 'continue', 'input'] as const;

/**
 * The mode of an execution. The Python client sends completions without one, recognisable by the
 * cursor in the options.
 * @throws BackendError InvalidSessionData when it is missing or unknown.
 */
export function executionMode(body: ExecuteBody): ExecuteRequest['mode'] | 'complete' {
  if (body.mode === 'complete') return 'complete';
  if (body.mode == null) {
    if (body.options && 'row' in body.options && 'col' in body.options) return 'complete';
    throw new BackendError(
      'InvalidSessionData',
      'mode is missing; use query, batch, continue or input.',
    );
  }
  const mode = RUN_MODES.find((known) => known === body.mode);
  if (mode) return mode;
  throw new BackendError(
    'InvalidSessionData',
    `mode has an invalid value '${body.mode}'; use query, batch, continue or input.`,
  );
}

/**
 * One step of a run. A run that starts without an id gets one.
 * @throws BackendError InvalidSessionData when a continuation lacks its run id.
 */
export function toRunRequest(
  ctx: Pick<ManagerContext, 'random'>,
  mode: ExecuteRequest['mode'],
  body: ExecuteBody,
): RunRequest {
  const starts = mode === 'query' || mode === 'batch';
  if (!starts && !body.run_id) {
    throw new BackendError('InvalidSessionData', `mode '${mode}' needs the run id of its run.`);
  }
  return {
    mode,
    runId: body.run_id || ctx.random.uuid().replaceAll('-', ''),
    code: body.code ?? '',
    options: mode === 'batch' ? parseOptions(batchOptions, body.options) : {},
  };
}

/**
 * Runs one step on the session's main kernel.
 * @param pace eager answers with the first output, otherwise output is gathered for `waitMs`.
 */
export async function executeStep(
  ctx: ManagerContext,
  session: SessionRecord,
  run: RunRequest,
  pace: { waitMs: number; eager: boolean },
): Promise<ExecuteSlice> {
  const isNew = run.mode === 'query' || run.mode === 'batch';
  return await callKernel(ctx, session, session.mainKernel, async ({ agent, kernelId }) => {
    const [slice] = await Promise.all([
      agent.execute({ kernelId, request: { ...run, ...pace } }),
      isNew ? count(ctx, kernelId) : null,
      noteUse(ctx, session.id),
    ]);
    return slice;
  });
}

/** A statistic that can't be written must not cost the user the output. */
async function count(ctx: ManagerContext, kernelId: string): Promise<void> {
  try {
    await countQuery(ctx, kernelId);
  } catch (error) {
    ctx.log.warn('a query was not counted', { kernelId, error: errorMessage(error) });
  }
}

/** A slice without its run id, as both the REST API and the stream send it. */
export const sliceReply = (slice: ExecuteSlice) => ({
  status: slice.status,
  console: slice.console,
  exitCode: slice.exitCode,
  options: slice.status === 'waiting-input' ? { is_password: slice.isPassword } : null,
  // Generated files stay in the session, where /files and /download reach them.
  files: [],
});

/** Candidates to continue the code before the cursor. */
export async function completeCode(
  ctx: ManagerContext,
  session: SessionRecord,
  body: { code?: string | null | undefined; options?: unknown },
) {
  const request: CompletionRequest = {
    code: body.code ?? '',
    options: parseOptions(completionOptions, body.options),
  };
  const { suggestions } = await callKernel(ctx, session, session.mainKernel, (target) =>
    target.agent.complete({ kernelId: target.kernelId, request }),
  );
  return { status: 'finished', error: null, suggestions };
}
