/** Background tasks of the server: how far one is, as it happens. */
import * as v from 'valibot';
import { ConnectionError } from './errors.ts';
import type { HttpClient } from './http.ts';
import { readEvents } from './sse.ts';

const PREFIX = 'bgtask_';
const ENDS = ['done', 'partial_success', 'failed', 'cancelled'] as const;
/** Streams that ended without the task having ended, before it is given up. */
const MAX_RECONNECTS = 5;

const told = v.object({
  message: v.optional(v.nullable(v.string()), null),
  current_progress: v.optional(v.nullable(v.number()), null),
  total_progress: v.optional(v.nullable(v.number()), null),
  errors: v.optional(v.nullable(v.array(v.string())), null),
});

export interface TaskEvent {
  readonly state: 'updated' | (typeof ENDS)[number];
  readonly message: string;
  /** Steps done, and all of them; null when the server does not tell. */
  readonly current: number | null;
  readonly total: number | null;
  /** What went wrong although the task went on. */
  readonly errors: readonly string[];
}

function toEvent(name: string, data: string): TaskEvent | null {
  const state = (['updated', ...ENDS] as const).find((known) => name === `${PREFIX}${known}`);
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), told), data);
  if (state === undefined || !parsed.success) return null;
  const { message, current_progress: current, total_progress: total, errors } = parsed.output;
  return { state, message: message ?? '', current, total, errors: errors ?? [] };
}

export class TaskApi {
  private readonly http: HttpClient;

  constructor(http: HttpClient) {
    this.http = http;
  }

  /**
   * What a task tells until it ends; the last event says how. A broken connection is made again.
   * @throws ApiError, ConnectionError.
   */
  async *follow(taskId: string, signal?: AbortSignal): AsyncGenerator<TaskEvent, void, undefined> {
    for (let attempt = 0; attempt <= MAX_RECONNECTS; attempt++) {
      const response = await this.http.send({
        method: 'GET',
        path: '/events/background-task',
        query: { task_id: taskId },
        timeoutMs: null,
        signal,
      });
      for await (const { event, data } of readEvents(response.body ?? new ReadableStream())) {
        const found = toEvent(event, data);
        if (found === null) continue;
        yield found;
        if (found.state !== 'updated') return;
      }
    }
    throw new ConnectionError('', `Lost track of the background task ${taskId}.`);
  }
}
