/**
 * Loaders: what many resolvers of one operation ask for singly is fetched together. Nothing is
 * remembered beyond the operation.
 */
import DataLoader from 'dataloader';
import type { FieldNode, GraphQLResolveInfo } from 'graphql';
import type { GraphqlContext } from './context.ts';

const MAX_BATCH = 1000;

type Batch<Key, Value, Rest extends readonly unknown[]> = (
  keys: readonly Key[],
  context: GraphqlContext,
  ...rest: Rest
) => Promise<ReadonlyMap<Key, Value>>;

function loaderOf<Key, Value>(load: (keys: readonly Key[]) => Promise<ReadonlyMap<Key, Value>>) {
  return new DataLoader<Key, Value | null>(
    async (keys) => {
      const found = await load(keys);
      return keys.map((key) => found.get(key) ?? null);
    },
    { maxBatchSize: MAX_BATCH },
  );
}

/** Looks keys up together, for the whole operation. Null for a key that `batch` leaves out. */
export function batched<Key, Value>(
  batch: Batch<Key, Value, []>,
): (context: GraphqlContext, key: Key) => Promise<Value | null> {
  const loaders = new WeakMap<GraphqlContext, DataLoader<Key, Value | null>>();
  return (context, key) => {
    let loader = loaders.get(context);
    if (!loader) {
      loader = loaderOf((keys) => batch(keys, context));
      loaders.set(context, loader);
    }
    return loader.load(key);
  };
}

/**
 * The same where the answer also depends on the field's arguments and what is selected of it: keys
 * are looked up together for each place in the document.
 */
export function batchedByField<Key, Value, Arguments>(
  batch: Batch<Key, Value, [args: Arguments, info: GraphQLResolveInfo]>,
): (
  context: GraphqlContext,
  key: Key,
  args: Arguments,
  info: GraphQLResolveInfo,
) => Promise<Value | null> {
  const loaders = new WeakMap<GraphqlContext, Map<FieldNode, DataLoader<Key, Value | null>>>();
  return (context, key, args, info) => {
    const [place] = info.fieldNodes;
    if (!place) throw new Error(`the field ${info.fieldName} is resolved for no place`);
    const ofRequest = loaders.get(context) ?? new Map<FieldNode, DataLoader<Key, Value | null>>();
    loaders.set(context, ofRequest);
    let loader = ofRequest.get(place);
    if (!loader) {
      loader = loaderOf((keys) => batch(keys, context, args, info));
      ofRequest.set(place, loader);
    }
    return loader.load(key);
  };
}
