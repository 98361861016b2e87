/** Libraries that every program in a kernel loads first, as shares of accelerators need them. */

/** @param hooks paths as the kernel sees them. The user's own libraries come after them. */
export function withHooks(
  variables: Readonly<Record<string, string>>,
  hooks: readonly string[],
): Record<string, string> {
  if (hooks.length === 0) return { ...variables };
  const own = variables.LD_PRELOAD ? [variables.LD_PRELOAD] : [];
  return { ...variables, LD_PRELOAD: [...hooks, ...own].join(':') };
}
