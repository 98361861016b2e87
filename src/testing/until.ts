/** Waiting for a condition, for tests: the only kind of waiting they do. */

const DEADLINE_MS = 15_000;
const POLL_MS = 5;

/**
 * Resolves with what `check` answers once that is neither false nor absent.
 * @param what completes "timed out waiting until …".
 * @throws when it does not come true within `deadlineMs`.
 */
export async function until<T>(
  check: () => T | null | undefined | false | Promise<T | null | undefined | false>,
  what: string,
  deadlineMs = DEADLINE_MS,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const result = await check();
    if (result !== null && result !== undefined && result !== false) return result;
    if (performance.now() > end) throw new Error(`timed out waiting until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
