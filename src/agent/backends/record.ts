/** What a backend notes of a kernel on disk, for the agent that comes after this one. */
import type { KernelSpec } from '../../common/protocol/kernel.ts';

/** The record as JSON. The account of the image's registry, which was needed to pull it, is left out. */
export function recordText<R extends { readonly spec: KernelSpec }>(record: R): string {
  const { image } = record.spec;
  return JSON.stringify({
    ...record,
    spec: { ...record.spec, image: { ...image, registryAccount: null } },
  });
}
