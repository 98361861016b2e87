/** Reports of a watcher that looks for misuse on this node: `report.<kernel id>.json`, upstream's name. */
import { join } from 'node:path';
import * as v from 'valibot';
import { BackendError, errorMessage } from '../common/errors.ts';

const MAX_BYTES = 1024 * 1024;
const report = v.pipe(v.string(), v.parseJson(), v.record(v.string(), v.unknown()));

/**
 * @param folder null where there is no watcher.
 * @throws BackendError InternalServerError for a file that is no report.
 */
export async function readAbuseReport(
  folder: string | null,
  kernelId: string,
): Promise<Record<string, unknown> | null> {
  if (folder === null) return null;
  const path = join(folder, `report.${kernelId}.json`);
  const file = Bun.file(path);
  if (!(await file.exists())) return null;
  try {
    if (file.size > MAX_BYTES) throw new Error(`it has more than ${MAX_BYTES} bytes`);
    return v.parse(report, await file.text());
  } catch (error) {
    throw new BackendError(
      'InternalServerError',
      `The report on kernel ${kernelId} cannot be read: ${errorMessage(error)}`,
      { cause: error },
    );
  }
}
