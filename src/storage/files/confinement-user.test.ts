/** `confinement.test.ts` once more as a normal user, for whom the system refuses more, and earlier. */
import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { requireOrSkip } from '../../testing/services.ts';

/** Of `nobody`, as everywhere; it need not be known to the system. */
const UID = 65_534;
/** Fewer than root tries, since only the refusals differ. */
const PATHS = process.env.BACKEND_FUZZ_PATHS ?? '600';
const TIMEOUT_MS = Math.max(620_000, Number(PATHS) * 60);

const isRoot = process.getuid?.() === 0;
const canRun = requireOrSkip(isRoot ? null : 'only root can become somebody else');

test.skipIf(!canRun)(
  'nothing leaves its folder when the storage proxy is a normal user',
  async () => {
    const file = join(import.meta.dir, 'confinement.test.ts');
    const child = Bun.spawn([process.execPath, 'test', '--timeout', String(TIMEOUT_MS), file], {
      env: { ...process.env, BACKEND_FUZZ_UID: `${UID}`, BACKEND_FUZZ_PATHS: PATHS },
      stdout: 'pipe',
      stderr: 'pipe',
    });
    const said = await new Response(child.stderr).text();
    expect({ code: await child.exited, said }).toEqual({
      code: 0,
      said: expect.stringMatching(/ 5 pass\n 0 fail\n/),
    });
  },
  TIMEOUT_MS,
);
