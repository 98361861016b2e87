/** Follows a background task of the server to its end. */
import * as v from 'valibot';
import type { Client } from '../../client/index.ts';

const progress = v.object({
  message: v.optional(v.nullable(v.string()), ''),
  current_progress: v.optional(v.number(), 0),
  total_progress: v.optional(v.number(), 0),
});
const parsed = v.pipe(v.string(), v.parseJson(), progress);

/** @returns null when it succeeded, else why not. */
export async function followTask(
  client: Client,
  taskId: string,
  report: (text: string) => void,
): Promise<string | null> {
  for await (const { event, data } of await client.folder.taskEvents(taskId)) {
    if (event === 'bgtask_done') return null;
    const found = v.safeParse(parsed, data);
    if (!found.success) continue;
    const { message, current_progress: current, total_progress: total } = found.output;
    if (event !== 'bgtask_updated') return message || 'it was cancelled';
    report(total > 0 ? `${message ?? ''} (${current}/${total})` : (message ?? ''));
  }
  return 'the server ended the report before the task';
}
