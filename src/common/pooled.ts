/** Working through many things, a few at a time. */

/**
 * Calls `each` for all items, at most `limit` at a time, in order. The first failure is thrown at
 * once; what has begun goes on, nothing more is begun.
 */
export async function pooled<T>(
  items: readonly T[],
  limit: number,
  each: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  let failed = false;
  const work = async () => {
    for (const item of queue) {
      if (failed) return;
      try {
        await each(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, work));
}
