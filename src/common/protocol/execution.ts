/**
 * Code execution as it travels runner → agent → manager → client. It is pull-based: each call
 * returns one slice of output, and the runner stops reading from the user's program while its
 * bounded buffer is full. So a runaway print loop is held back instead of filling memory.
 */
import * as v from 'valibot';

/** One console record: `["stdout", text]`, `["media", [mime, data]]`, … Adjacent text is merged. */
export const consoleItem = v.union([
  v.tuple([v.picklist(['stdout', 'stderr', 'html', 'log']), v.string()]),
  v.tuple([v.literal('media'), v.tuple([v.string(), v.string()])]),
]);
export type ConsoleItem = v.InferOutput<typeof consoleItem>;

/** Batch commands; null or "" skips the step, "*" means the runner's own choice. */
const batchOptions = v.object({
  clean: v.optional(v.nullable(v.string())),
  build: v.optional(v.nullable(v.string())),
  exec: v.optional(v.nullable(v.string())),
});

export const executeRequest = v.object({
  runId: v.pipe(v.string(), v.maxLength(64)),
  /** query and batch start a run; continue asks for the next slice; input answers a prompt. */
  mode: v.picklist(['query', 'batch', 'continue', 'input']),
  /** The code (query) or the user's line (input). */
  code: v.string(),
  options: batchOptions,
  /** Longest wait for a slice. Milliseconds. */
  waitMs: v.pipe(v.number(), v.minValue(0), v.maxValue(10_000)),
  /** true: answer as soon as there is any output. false: gather output until `waitMs` is over. */
  eager: v.boolean(),
});
export type ExecuteRequest = v.InferOutput<typeof executeRequest>;

export const executionStatuses = [
  'continued',
  'waiting-input',
  'clean-finished',
  'build-finished',
  'finished',
  'exec-timeout',
] as const;

export const executeSlice = v.object({
  runId: v.string(),
  status: v.picklist(executionStatuses),
  /** Set with clean-finished, build-finished and finished. */
  exitCode: v.nullable(v.number()),
  /** With waiting-input: whether the line must not be echoed. */
  isPassword: v.boolean(),
  console: v.array(consoleItem),
});
export type ExecuteSlice = v.InferOutput<typeof executeSlice>;

export const completionRequest = v.object({
  code: v.string(),
  /** Text after the cursor, the cursor's line, and its row and column (0-based). */
  options: v.object({
    post: v.optional(v.string()),
    line: v.optional(v.string()),
    row: v.optional(v.number()),
    col: v.optional(v.number()),
  }),
});
export type CompletionRequest = v.InferOutput<typeof completionRequest>;

export const fileEntry = v.object({
  /** `rwx` notation with a type letter, as `ls -l` prints it. */
  mode: v.string(),
  size: v.number(),
  /** Seconds since the epoch. */
  ctime: v.number(),
  mtime: v.number(),
  atime: v.number(),
  filename: v.string(),
});
export const fileListing = v.object({
  entries: v.array(fileEntry),
  /** What could not be listed and why; empty when all is well. */
  errors: v.string(),
  abspath: v.string(),
});
export type FileListing = v.InferOutput<typeof fileListing>;

/** Largest file or archive that one upload or download call carries. Bytes. */
export const MAX_TRANSFER_BYTES = 32 * 1024 * 1024;
