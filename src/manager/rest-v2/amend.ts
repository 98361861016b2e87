/** What the newer HTTP operations tell of some rows beside what the schema says of them. */
import * as v from 'valibot';
import type { GraphqlCaller } from '../graphql/context.ts';
import { binarySize } from '../graphql/v2-shapes.ts';
import { findImagesById } from '../image/service.ts';
import { selectFolderQuotas } from './folder-quota-store.ts';
import { toImageNode } from './image-shape.ts';

const BYTES_PER_MIB = 2 ** 20;

const groupsShown = v.array(v.looseObject({ default_session_options: v.looseObject({}) }));

type By = Pick<GraphqlCaller, 'ctx' | 'caller'>;
type Amend = (by: By, rows: readonly unknown[]) => Promise<unknown[]>;

const foldersShown = v.array(v.looseObject({ id: v.string() }));
const kernelsShown = v.array(v.looseObject({ resource: v.looseObject({}) }));

const withQuotas: Amend = async ({ ctx: { sql } }, rows) => {
  const folders = v.parse(foldersShown, rows);
  const quotas = await selectFolderQuotas(
    sql,
    folders.map(({ id }) => id),
  );
  return folders.map((folder) => {
    const quota = quotas.find(({ id }) => id === folder.id);
    const size = quota?.max_size ?? null;
    return {
      ...folder,
      quota: {
        max_size: size === null ? null : binarySize(size * BYTES_PER_MIB),
        max_files: quota?.max_files ?? 0,
      },
    };
  });
};

/** Kernels hold no shares apart from their slots. */
const withShares: Amend = async (_by, rows) =>
  v.parse(kernelsShown, rows).map((kernel) => ({
    ...kernel,
    resource: { ...kernel.resource, shares: null },
  }));

/** No operation sets what kernels of the group start with. */
const withSessionOptions: Amend = async (_by, rows) =>
  v.parse(groupsShown, rows).map((group) => ({
    ...group,
    default_session_options: {
      ...group.default_session_options,
      default_kernel_execution_spec: null,
    },
  }));

const identified = v.array(v.looseObject({ id: v.string() }));

/** In place of the schema's parts of an image, all of it, flat. */
const asImageNodes: Amend = async ({ ctx, caller }, rows) => {
  const ids = v.parse(identified, rows).map(({ id }) => id);
  const images = await findImagesById(ctx.sql, caller, ids);
  return ids.flatMap((id) => images.filter((image) => image.id === id).map(toImageNode));
};

const AMENDS: Readonly<Record<string, Amend>> = {
  adminImagesV2: asImageNodes,
  adminVfoldersV2: withQuotas,
  myVfolders: withQuotas,
  projectVfolders: withQuotas,
  vfolderV2: withQuotas,
  adminResourceGroups: withSessionOptions,
  adminResourceGroupV2: withSessionOptions,
  adminKernelsV2: withShares,
  sessionKernelsV2: withShares,
  'agentV2.kernels': withShares,
};

/** The rows that a root field told, or a list of its row, with what else belongs to them. */
export const amended: (by: By, field: string, rows: readonly unknown[]) => Promise<unknown[]> =
  async (by, field, rows) => (await AMENDS[field]?.(by, rows)) ?? [...rows];
