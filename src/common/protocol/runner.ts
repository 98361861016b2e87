/**
 * The messages between an agent and the runner inside a session: JSON objects, one a line, over a
 * Unix socket that the runner listens on. The agent may reconnect at any time; runs and their
 * buffered output survive a lost connection.
 */
import * as v from 'valibot';
import { completionRequest, executeRequest, executeSlice, fileListing } from './execution.ts';
import { serviceOffer, serviceOptions } from './service.ts';

/** Longest accepted line, either way. Bytes. File data travels in chunks well below it. */
export const MAX_LINE_BYTES = 4 * 1024 * 1024;
/** Largest decoded chunk of file data in one message. Bytes. */
export const FILE_CHUNK_BYTES = 1024 * 1024;
export const RUNNER_PROTOCOL_VERSION = 1;

const runnerOps = v.variant('op', [
  v.object({ op: v.literal('status') }),
  v.object({ op: v.literal('execute'), request: executeRequest }),
  v.object({ op: v.literal('interrupt') }),
  v.object({ op: v.literal('complete'), request: completionRequest }),
  v.object({ op: v.literal('list-files'), path: v.string() }),
  /** Writes `data` (base64) at `offset`; offset 0 truncates. Creates missing folders. */
  v.object({ op: v.literal('write-file'), path: v.string(), offset: v.number(), data: v.string() }),
  /** Reads up to FILE_CHUNK_BYTES at `offset`. */
  v.object({ op: v.literal('read-file'), path: v.string(), offset: v.number() }),
  /** Packs a file or folder into a temporary tar; read it with read-archive, then close it. */
  v.object({ op: v.literal('open-archive'), path: v.string(), maxBytes: v.number() }),
  v.object({ op: v.literal('read-archive'), handle: v.string(), offset: v.number() }),
  v.object({ op: v.literal('close-archive'), handle: v.string() }),
  /** The services that the image defines. */
  v.object({ op: v.literal('list-services') }),
  /** Starts a service unless it runs, and waits until its port takes connections. */
  v.object({
    op: v.literal('start-service'),
    name: v.string(),
    protocol: v.string(),
    ports: v.array(v.number()),
    options: serviceOptions,
  }),
  v.object({ op: v.literal('stop-service'), name: v.string() }),
  /** Ends the user's processes and then the runner. */
  v.object({ op: v.literal('shutdown') }),
]);
export type RunnerOp = v.InferOutput<typeof runnerOps>;

export const runnerRequest = v.object({
  id: v.number(),
  body: runnerOps,
  /** The answer tells when the work was done. */
  timed: v.optional(v.boolean(), false),
});

/** Results by operation. */
export const runnerResults = {
  status: v.object({
    protocol: v.number(),
    /** ISO-8601. */
    startedAt: v.string(),
    /** Languages query mode offers here, the default first: python, javascript, shell. */
    languages: v.array(v.string()),
  }),
  execute: executeSlice,
  interrupt: v.null(),
  complete: v.object({ suggestions: v.array(v.string()) }),
  'list-files': fileListing,
  'write-file': v.object({ written: v.number() }),
  'read-file': v.object({ data: v.string(), eof: v.boolean(), size: v.number() }),
  'open-archive': v.object({ handle: v.string(), size: v.number() }),
  'read-archive': v.object({ data: v.string(), eof: v.boolean() }),
  'close-archive': v.null(),
  'list-services': v.object({
    services: v.array(v.object({ name: v.string(), ...serviceOffer.entries })),
  }),
  'start-service': v.object({ status: v.picklist(['started', 'running']) }),
  'stop-service': v.null(),
  shutdown: v.null(),
} satisfies Record<RunnerOp['op'], v.GenericSchema<unknown, unknown>>;

/** When the runner worked on a request, by its own clock. Milliseconds since 1970. */
const times = v.optional(v.object({ startUnixMs: v.number(), endUnixMs: v.number() }));

export const runnerReply = v.union([
  v.object({ id: v.number(), ok: v.literal(true), result: v.unknown(), times }),
  v.object({
    id: v.number(),
    ok: v.literal(false),
    times,
    error: v.object({
      code: v.picklist(['bad-request', 'not-found', 'forbidden', 'too-large', 'busy', 'failed']),
      message: v.string(),
    }),
  }),
]);
export type RunnerReply = v.InferOutput<typeof runnerReply>;

/**
 * How the agent starts the runner: `backend.ai kernel-runner`, with these environment variables.
 * The user's own variables are passed as usual; these are removed before user code sees them.
 */
export const runnerEnvironment = {
  /** Path of the socket to listen on. */
  socket: 'BACKENDAI_RUNNER_SOCKET',
  /** The image's `ai.backend.runtime-type` label: python, app, …; picks the default language. */
  runtimeType: 'BACKENDAI_RUNNER_RUNTIME_TYPE',
  /** The image's `ai.backend.runtime-path` label: the interpreter's path; may be empty. */
  runtimePath: 'BACKENDAI_RUNNER_RUNTIME_PATH',
  /** Path of a script run by /bin/sh before the socket opens; may be empty. */
  bootstrap: 'BACKENDAI_RUNNER_BOOTSTRAP',
  /** The address that services listen on: every one in a container, the node's where it is shared. */
  serviceHost: 'BACKENDAI_RUNNER_SERVICE_HOST',
  /** Port of the SSH server; without one there is none. */
  sshPort: 'BACKENDAI_RUNNER_SSH_PORT',
  /** Port of the web terminal; without one there is none. */
  terminalPort: 'BACKENDAI_RUNNER_TERMINAL_PORT',
  /** The node's own programs for well-known services, as JSON: name of the service → path. */
  servicePrograms: 'BACKENDAI_RUNNER_SERVICE_PROGRAMS',
  /** Files of public keys, separated by `:`, that may come in beside the user's own. */
  trustedKeys: 'BACKENDAI_RUNNER_TRUSTED_KEYS',
  /** The runtime's own name for the threads that it may start for calls that sleep: RUNNER_THREADS. */
  threads: 'UV_THREADPOOL_SIZE',
  /** The runtime's own name for the memory that it paces its collecting of garbage by: RUNNER_MEMORY_BYTES. */
  memory: 'BUN_JSC_forceRAMSize',
} as const;
/** Enough for the output of 28 programs at a time, two threads each; started only when needed. */
export const RUNNER_THREADS = '64';
/**
 * Far more than the runner keeps. By default the runtime goes by the machine's memory, and lets what an upload
 * leaves behind pile up until it no longer fits into a small session. Bytes.
 */
export const RUNNER_MEMORY_BYTES = String(64 * 1024 * 1024);

const SHIELD_PREFIX = 'BACKENDAI_RUNNER_USER_';
/** Variables that would change how the runner itself starts: its loader's and its runtime's. */
const DISRUPTIVE = /^(LD_|GLIBC_TUNABLES$|MALLOC_|BUN_|NODE_|JSC_|UV_|GOMAXPROCS$)/;

type Variables = Readonly<Record<string, string>>;

/** Renames the user's variables that could keep the runner from starting. */
export const shieldVariables = (variables: Variables): Record<string, string> =>
  Object.fromEntries(
    Object.entries(variables).map(([name, value]) => [
      DISRUPTIVE.test(name) ? `${SHIELD_PREFIX}${name}` : name,
      value,
    ]),
  );

/** Gives them their names back, for user programs. */
export const unshieldVariables = (variables: Variables): Record<string, string> => {
  const result: Record<string, string> = {};
  const shielded: [string, string][] = [];
  for (const [name, value] of Object.entries(variables)) {
    if (name.startsWith(SHIELD_PREFIX)) shielded.push([name.slice(SHIELD_PREFIX.length), value]);
    else result[name] = value;
  }
  return { ...result, ...Object.fromEntries(shielded) };
};
