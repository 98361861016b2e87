/** What sessions add to keypairs in the GraphQL schema. */
import DataLoader from 'dataloader';
import type { GraphqlContext } from '../graphql/context.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { countOccupyingSessions } from './graphql-store.ts';

const countsByRequest = new WeakMap<GraphqlContext, DataLoader<string, number>>();

/** One count per request, however many keypairs are listed. */
function countsOf(context: GraphqlContext): DataLoader<string, number> {
  let counts = countsByRequest.get(context);
  if (!counts) {
    counts = new DataLoader((keys) => countOccupyingSessions(context.ctx.sql, keys));
    countsByRequest.set(context, counts);
  }
  return counts;
}

export const keypairSessionsGraphql: GraphqlModule = {
  typeDefs: /* GraphQL */ `
    type KeyPair {
      concurrency_used: Int
    }
  `,
  resolvers: {
    KeyPair: {
      concurrency_used: ({ access_key }, _args, context) => countsOf(context).load(access_key),
    },
  },
};
