/** What a backend notes of a kernel on disk, for the agent that comes after this one. */
import * as v from 'valibot';
import type { KernelSpec } from '../../common/protocol/kernel.ts';

/** Where a kernel's service ports were opened. */
export const recordedPlace = {
  /** Host under which they were reached then. */
  kernelHost: v.string(),
  /** The address that they listen on. Agents of before did not note it. */
  bindHost: v.optional(v.string()),
};

const ANY_HOST: ReadonlySet<string | undefined> = new Set(['', '0.0.0.0', '::']);

/**
 * The host under which a kernel's service ports are reached now: where they listen at every address, or
 * at the one that the agent uses still, they have followed whatever the agent goes by today.
 * @param record null when it cannot be read.
 */
export function kernelHostNow(
  record: { readonly kernelHost: string; readonly bindHost?: string | undefined } | null,
  now: { readonly kernelHost: string; readonly bindHost?: string | undefined },
): string {
  if (record === null) return now.kernelHost;
  const hasFollowed =
    record.bindHost !== undefined &&
    (ANY_HOST.has(record.bindHost) || record.bindHost === now.bindHost);
  return hasFollowed ? now.kernelHost : record.kernelHost;
}

/** The record as JSON. The account of the image's registry, which was needed to pull it, is left out. */
export function recordText<R extends { readonly spec: KernelSpec }>(record: R): string {
  const { image } = record.spec;
  return JSON.stringify({
    ...record,
    spec: { ...record.spec, image: { ...image, registryAccount: null } },
  });
}
